from __future__ import annotations

from pathlib import Path

import pytest

from contracts.testing.examples import iter_examples
from contracts.usage import InvalidUsageEventError
from metering.convert import checked_event_from_bytes, usage_event_from_bytes, usage_row_from_proto, usage_row_to_proto
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

EXAMPLES = dict(iter_examples(UsageEvent, Path(__file__).parents[4] / "protos" / "examples"))


def without_hold(event: UsageEvent) -> UsageEvent:
    """What was held is for the ledger; no row has it."""
    kept = UsageEvent()
    kept.CopyFrom(event)
    kept.ClearField("lease_id")
    kept.ClearField("hold_nano_usd")
    return kept


@pytest.mark.parametrize("name", EXAMPLES)
def test_published_example_is_accepted_and_comes_back_equal_but_for_expenses_and_hold(name: str) -> None:
    event, checked = checked_event_from_bytes(EXAMPLES[name].SerializeToString())
    row = usage_row_from_proto(event)
    expected = without_hold(EXAMPLES[name])
    for attempt in expected.attempts:
        attempt.ClearField("expense")

    assert usage_row_to_proto(row) == expected
    assert usage_row_from_proto(event, checked) == row


def test_row_has_what_all_cancelled_copies_cost_and_no_attempt_gains_an_expense() -> None:
    event = UsageEvent()
    event.CopyFrom(EXAMPLES["completed_after_hedge"])
    event.attempts.append(event.attempts[0])
    row = usage_row_from_proto(event)

    assert row.hedge_cost_nano_usd == 2 * 22_410
    assert row.provider_cost_nano_usd == row.cost_nano_usd == 34_800
    # Reading the absent expense of an attempt must not make one.
    assert [attempt.HasField("expense") for attempt in event.attempts] == [True, False, True]
    assert usage_row_from_proto(EXAMPLES["completed_after_failover"]).hedge_cost_nano_usd == 0


def test_enumeration_values_of_a_later_version_are_kept() -> None:
    event = UsageEvent()
    event.CopyFrom(EXAMPLES["completed"])
    event.status = event.attempts[0].outcome = event.usage.source = 99  # type: ignore[assignment]  # not known yet
    row = usage_row_from_proto(event)

    assert (row.status, row.attempts[0].outcome, row.token_source) == ("99", "99", "99")
    assert usage_row_to_proto(row) == without_hold(event)


def test_times_are_cut_to_milliseconds() -> None:
    event = UsageEvent()
    event.CopyFrom(EXAMPLES["completed"])
    event.started_at.nanos = 125_999_999

    assert usage_row_to_proto(usage_row_from_proto(event)).started_at.nanos == 125_000_000


def changed(field: str, value: int) -> bytes:
    event = UsageEvent()
    event.CopyFrom(EXAMPLES["completed"])
    if field == "rank":
        event.rank = value  # type: ignore[assignment]  # out of range on purpose
    else:
        getattr(event, field).FromSeconds(value)
    return event.SerializeToString()


def beyond_time() -> bytes:
    event = UsageEvent()
    event.CopyFrom(EXAMPLES["completed"])
    event.started_at.seconds = 10**15  # no calendar has it
    return event.SerializeToString()


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (None, "no value"),
        (b"\xff\xff", "not a UsageEvent"),
        (b"", "org_id is empty"),
        (changed("started_at", 0), "between 2020 and 2100"),
        (changed("ended_at", 253_402_300_799), "between 2020 and 2100"),
        (beyond_time(), "between 2020 and 2100"),
        (changed("rank", 256), "rank is out of range"),
        (changed("rank", -1), "rank is out of range"),
    ],
)
def test_record_that_the_store_could_not_take_is_refused_by_name(value: bytes | None, rule: str) -> None:
    with pytest.raises(InvalidUsageEventError, match=rule):
        usage_event_from_bytes(value)
