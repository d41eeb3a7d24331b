"""Spending by period, and rate limits on the wire."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit, rate_limits_from_proto, rate_limits_to_proto
from contracts.spend import PeriodSpend, Spend, SpendInterval, spend_from_proto, spend_to_proto
from turnpike.accounts.v1 import records_pb2

# A Saturday.
DAY = date(2026, 10, 31)
SPEND = Spend(DAY, PeriodSpend(100, 1, 2, 3), PeriodSpend(1_000, 10, 20, 30))


@pytest.mark.parametrize(
    ("day", "daily", "weekly", "monthly"),
    [
        (DAY - timedelta(days=1), 1, 2, 3),  # a clock that is behind resets nothing
        (DAY, 1, 2, 3),
        (date(2026, 11, 1), 0, 2, 0),  # a Sunday, and another month
        (date(2026, 11, 2), 0, 0, 0),
    ],
)
def test_what_was_spent_in_a_period_that_is_over_counts_no_more(
    day: date, daily: int, weekly: int, monthly: int
) -> None:
    seen = SPEND.at(day)
    assert seen.credit == PeriodSpend(100, daily, weekly, monthly)
    assert seen.byok == PeriodSpend(1_000, 10 * daily, 10 * weekly, 10 * monthly)
    assert SPEND.within(SpendInterval.DAILY, day) == daily
    assert SPEND.within(SpendInterval.WEEKLY, day) == weekly
    assert SPEND.within(SpendInterval.MONTHLY, day, with_byok=True) == 11 * monthly
    assert SPEND.within(SpendInterval.NEVER, day, with_byok=True) == 1_100


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (SpendInterval.DAILY, datetime(2026, 11, 1, tzinfo=UTC)),
        (SpendInterval.WEEKLY, datetime(2026, 11, 2, tzinfo=UTC)),
        (SpendInterval.MONTHLY, datetime(2026, 11, 1, tzinfo=UTC)),
        (SpendInterval.NEVER, None),
    ],
)
def test_a_period_ends_at_midnight_utc(interval: SpendInterval, expected: datetime | None) -> None:
    assert interval.resets_at(datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)) == expected
    elsewhere = datetime(2026, 11, 1, 5, tzinfo=timezone(timedelta(hours=8)))
    assert interval.resets_at(elsewhere) == expected


def test_figures_survive_the_wire() -> None:
    assert spend_from_proto(spend_to_proto(SPEND)) == SPEND
    assert spend_from_proto(records_pb2.Spend(day=-5)).day == date(1970, 1, 1)


def test_rate_limits_survive_the_wire() -> None:
    limits = (
        RateLimit(LimitedQuantity.REQUESTS, RateInterval.MINUTE, 5),
        RateLimit(LimitedQuantity.SPEND, RateInterval.DAY, 10**12, "acme/one"),
        RateLimit(LimitedQuantity.CONCURRENCY, RateInterval.NONE, 2),
    )
    assert rate_limits_from_proto(rate_limits_to_proto(limits)) == limits


@pytest.mark.parametrize(
    "message",
    [
        records_pb2.RateLimit(interval=records_pb2.RATE_INTERVAL_DAY, amount=1),
        records_pb2.RateLimit(quantity=records_pb2.LIMITED_QUANTITY_TOKENS, amount=1),
        records_pb2.RateLimit(quantity=records_pb2.LIMITED_QUANTITY_CONCURRENCY),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused(message: records_pb2.RateLimit) -> None:
    with pytest.raises(ValueError, match=r"rate limit|amount|interval"):
        rate_limits_from_proto([message])
