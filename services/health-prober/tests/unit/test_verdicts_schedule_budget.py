from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import NanoUsd
from health_prober.domain.budget import DaySpend, add_cost, affords, next_day, spend_on
from health_prober.domain.probe import ProbeOutcome, ProbeResult
from health_prober.domain.schedule import Cadence, first_delay, missed_ticks, next_delay
from health_prober.domain.verdict import Health, Standing, judge

CADENCE = Cadence(timedelta(seconds=30), timedelta(seconds=10), timedelta(seconds=1), jitter=0.2)


def after(*results: ProbeResult) -> Standing:
    standing = Standing()
    for result in results:
        standing = judge(standing, ProbeOutcome(result), failures_to_unhealthy=2)
    return standing


OK, BAD, GONE = ProbeResult.OK, ProbeResult.BAD_ANSWER, ProbeResult.UNREACHABLE
LIMITED, REFUSED = ProbeResult.RATE_LIMITED, ProbeResult.REFUSED


@pytest.mark.parametrize(
    ("results", "health", "failures"),
    [
        ([], None, 0),
        ([OK], Health.HEALTHY, 0),
        ([BAD], None, 1),
        ([OK, BAD], Health.HEALTHY, 1),
        ([OK, BAD, BAD], Health.UNHEALTHY, 2),
        ([GONE, GONE], Health.UNHEALTHY, 2),
        ([OK, BAD, OK, BAD], Health.HEALTHY, 1),
        ([BAD, BAD, BAD, OK], Health.HEALTHY, 0),
        ([LIMITED] * 9, None, 0),
        ([OK, LIMITED, REFUSED], Health.HEALTHY, 0),
        ([OK, BAD, LIMITED, BAD], Health.UNHEALTHY, 2),
        ([BAD, BAD, LIMITED], Health.UNHEALTHY, 2),
        ([ProbeResult.UNAUTHORIZED] * 2, Health.UNHEALTHY, 2),
        ([ProbeResult.TIMEOUT] * 2, Health.UNHEALTHY, 2),
    ],
)
def test_one_success_is_health_and_two_failures_in_a_row_are_not(
    results: list[ProbeResult], health: Health | None, failures: int
) -> None:
    standing = after(*results)
    assert (standing.health, standing.consecutive_failures) == (health, failures)


@pytest.mark.parametrize(
    ("results", "seconds"),
    [
        ([], 30),
        ([OK], 30),
        ([OK, BAD], 10),
        ([OK, BAD, BAD], 10),
        ([OK, GONE], 1),
        ([OK, GONE, GONE], 10),
        ([LIMITED], 30),
    ],
)
def test_an_endpoint_in_doubt_is_probed_sooner(results: list[ProbeResult], seconds: int) -> None:
    assert next_delay(CADENCE, after(*results), 2, draw=0.5) == timedelta(seconds=seconds)


@given(draw=st.floats(min_value=0, max_value=1))
def test_intervals_vary_by_the_jitter_and_no_more(draw: float) -> None:
    assert timedelta(seconds=24) <= next_delay(CADENCE, Standing(), 2, draw) <= timedelta(seconds=36)
    assert timedelta(0) <= first_delay(CADENCE, draw) <= timedelta(seconds=6)


@pytest.mark.parametrize(
    ("due", "started", "missed"), [(10, 10, 0), (10, 9, 0), (10, 39, 0), (10, 40, 1), (10, 131, 4), (10, 5000, 166)]
)
def test_ticks_that_passed_while_waiting_are_counted(due: float, started: float, missed: int) -> None:
    assert missed_ticks(due, started, timedelta(seconds=30)) == missed
    assert missed_ticks(due, started, timedelta(0)) == 0


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_a_day_begins_with_nothing_spent() -> None:
    today = date(2026, 11, 24)
    assert spend_on(None, NOON) == DaySpend(today, NanoUsd(0))
    assert spend_on(DaySpend(date(2026, 11, 23), NanoUsd(5)), NOON) == DaySpend(today, NanoUsd(0))
    assert spend_on(DaySpend(today, NanoUsd(5)), NOON) == DaySpend(today, NanoUsd(5))


def test_the_day_is_that_of_utc() -> None:
    late = datetime(2026, 11, 24, 23, tzinfo=timezone(timedelta(hours=-5)))
    assert spend_on(None, late).day == date(2026, 11, 25)
    assert next_day(late) == datetime(2026, 11, 26, tzinfo=UTC)
    assert next_day(NOON) == datetime(2026, 11, 25, tzinfo=UTC)


@given(
    cap=st.integers(min_value=0, max_value=10**6),
    costs=st.lists(st.integers(min_value=0, max_value=10**5), max_size=50),
)
def test_a_cap_is_never_passed_by_probes_that_cost_at_most_what_was_foreseen(cap: int, costs: list[int]) -> None:
    highest = NanoUsd(max(costs, default=0))
    spend = spend_on(None, NOON)
    for cost in costs:
        if affords(spend, NanoUsd(cap), highest):
            spend = add_cost(spend, NanoUsd(cost))
    assert spend.spent <= cap
