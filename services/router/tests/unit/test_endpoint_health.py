"""Outages, cooling and recovery, on a made-up clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from contracts.ids import EndpointId
from router.domain.attempts import FailureKind
from router.domain.endpoint_health import Condition, EndpointHealth
from router.domain.health_view import FleetHealth, Showing, Standing
from router.domain.verdicts import Verdict

ID = EndpointId("acme/one@a")
WALL = datetime(2026, 11, 24, 12, tzinfo=UTC)


def fail(health: EndpointHealth, now: float, dispatched_at: float | None = None) -> None:
    trial = health.dispatched(now if dispatched_at is None else dispatched_at)
    health.failed(now, Random(1), dispatched_at=now if dispatched_at is None else dispatched_at, is_trial=trial)


def succeed(health: EndpointHealth, now: float, dispatched_at: float | None = None) -> None:
    trial = health.dispatched(now)
    health.succeeded(now, dispatched_at=now if dispatched_at is None else dispatched_at, is_trial=trial)


def down(now: float = 100.0) -> EndpointHealth:
    health = EndpointHealth()
    for _ in range(3):
        fail(health, now)
    return health


def test_three_failures_in_a_row_are_an_outage() -> None:
    health = EndpointHealth()
    fail(health, 100)
    fail(health, 100)
    succeed(health, 100)
    fail(health, 100.1)
    assert health.condition(100.2) is Condition.UP
    assert down().condition(100) is Condition.DOWN


def test_less_than_four_in_five_successes_are_an_outage() -> None:
    health = EndpointHealth()
    for step in range(8):
        succeed(health, 100 + step)
    fail(health, 108)
    succeed(health, 109)
    fail(health, 110)
    assert health.condition(110) is Condition.UP
    succeed(health, 110)
    fail(health, 110)
    assert health.success_rate(110) == (13, 10 / 13)
    assert health.condition(110) is Condition.DOWN


def test_what_is_older_than_the_window_does_not_count() -> None:
    health = EndpointHealth()
    for second in (100, 103, 106):
        fail(health, second)
        succeed(health, second)
    assert health.success_rate(120) == (6, 0.5)
    assert health.success_rate(137) == (0, 1.0)


def test_r01_an_endpoint_that_always_fails_is_out_after_three_calls() -> None:
    health = EndpointHealth()
    calls = 0
    for tick in range(300):
        now = 100 + tick / 50
        if health.condition(now) is Condition.UP:
            fail(health, now)
            calls += 1
    assert calls == 3


def test_after_its_time_one_call_at_a_time_tries_it() -> None:
    health = down(100)
    assert health.condition(102.4) is Condition.DOWN
    assert health.condition(105) is Condition.TRIAL
    trial = health.dispatched(105)
    assert trial
    assert health.condition(105) is Condition.DOWN
    health.succeeded(106, dispatched_at=105, is_trial=trial)
    assert health.condition(106) is Condition.TRIAL


def test_a_cancelled_trial_frees_the_place() -> None:
    health = down(100)
    health.released(is_trial=health.dispatched(105))
    assert health.condition(105) is Condition.TRIAL


def test_r02_three_successes_bring_it_back_slowly() -> None:
    health = down(100)
    for _ in range(3):
        succeed(health, 106)
    assert health.condition(106) is Condition.UP
    assert health.weight_factor(106.5) == pytest.approx(0.1)
    assert health.weight_factor(121) == pytest.approx(0.5)
    assert health.weight_factor(140) == 1.0
    # What was counted before does not end it again.
    fail(health, 107)
    assert health.condition(107) is Condition.UP


def test_relapses_last_longer_each_time_up_to_a_limit() -> None:
    health, now, waits = down(100), 100.0, []
    for _ in range(9):
        start = now
        while health.condition(now) is not Condition.TRIAL:
            now += 0.5
        waits.append(now - start)
        fail(health, now)
    assert all(5 * 2**n / 2 <= wait <= 5 * 2**n + 0.5 for n, wait in enumerate(waits[:6]))
    assert all(wait <= 300.5 for wait in waits)


def test_answers_from_before_the_outage_do_not_end_it() -> None:
    health = down(100)
    for _ in range(5):
        succeed(health, 106, dispatched_at=90)
    assert health.condition(106) is not Condition.UP


def test_late_failures_of_one_outage_do_not_prolong_it() -> None:
    health = down(100)
    for _ in range(20):
        health.failed(104, Random(1), dispatched_at=99, is_trial=False)
    assert health.condition(105) is Condition.TRIAL


def test_r05_a_rate_limit_is_no_outage_and_lasts_as_long_as_told() -> None:
    health = EndpointHealth()
    for _ in range(5):
        health.rate_limited(100, Random(1), retry_after=37, is_trial=False)
    assert health.condition(136.9) is Condition.FORBIDDEN
    assert health.cooling_for(100) == 37
    assert health.condition(137.1) is Condition.UP
    health.rate_limited(200, Random(1), retry_after=1e9, is_trial=False)
    assert health.condition(799) is Condition.FORBIDDEN
    assert health.condition(801) is Condition.UP


def test_a_rate_limit_without_a_time_doubles_its_guess() -> None:
    health, now, waits = EndpointHealth(), 100.0, []
    for _ in range(9):
        health.rate_limited(now, Random(1), retry_after=None, is_trial=False)
        assert health.condition(now) is Condition.COOLING
        waits.append(health.cooling_for(now))
        now += 1000
    assert all(min(60, 2**n) / 2 <= wait <= min(60, 2**n) for n, wait in enumerate(waits))


def fleet(verdict: Verdict | None = None) -> FleetHealth:
    return FleetHealth(Random(1), lambda _: verdict)


def verdict(healthy: bool, *, age: float = 5.0, sequence: int = 1, epoch: int = 1) -> Verdict:
    checked = WALL - timedelta(seconds=age)
    return Verdict(ID, healthy, epoch, sequence, checked, checked + timedelta(minutes=10))


def standing(health: FleetHealth, now: float = 100.0, wall: datetime = WALL) -> Standing:
    return health.state(ID, now, wall).standing


def test_an_unhealthy_verdict_puts_an_endpoint_last_until_it_is_stale() -> None:
    assert standing(fleet()) is Standing.GOOD
    assert standing(fleet(verdict(True))) is Standing.GOOD
    assert standing(fleet(verdict(False))) is Standing.SUSPECT
    assert standing(fleet(verdict(False, age=91))) is Standing.GOOD
    expired = Verdict(ID, False, 1, 1, WALL - timedelta(seconds=5), WALL - timedelta(seconds=1))
    assert standing(fleet(expired)) is Standing.GOOD


def test_a_healthy_verdict_never_overrides_live_failures() -> None:
    health = fleet(verdict(True, age=0))
    for _ in range(3):
        health.failed(health.dispatched(ID, 100), 100, FailureKind.CONNECT)
    assert standing(health) is Standing.SUSPECT


def test_a_healthy_verdict_ends_the_wait_for_a_trial_and_nothing_else() -> None:
    health = fleet(verdict(True))
    for _ in range(3):
        health.failed(health.dispatched(ID, 100), 100, FailureKind.CONNECT)
    # Checked before the failures: says nothing.
    health.judged(verdict(True, age=5), 101, WALL)
    assert standing(health, 101) is Standing.SUSPECT
    health.judged(verdict(True, age=0), 101, WALL)
    assert standing(health, 101) is Standing.GOOD
    health.failed(health.dispatched(ID, 101), 101, FailureKind.CONNECT)
    assert standing(health, 101) is Standing.SUSPECT


def test_live_answers_contradict_an_older_unhealthy_verdict() -> None:
    health = fleet(verdict(False, age=5))
    health.succeeded(health.dispatched(ID, 90), 94, Showing())
    assert standing(health) is Standing.SUSPECT
    health.succeeded(health.dispatched(ID, 97), 97, Showing())
    assert standing(health) is Standing.GOOD
    health.failed(health.dispatched(ID, 98), 98, FailureKind.SERVER_ERROR)
    assert standing(health) is Standing.SUSPECT


def test_r08_what_is_wrong_with_a_request_is_not_held_against_the_endpoint() -> None:
    health = fleet()
    for kind in (FailureKind.REJECTED, FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_POLICY) * 5:
        health.failed(health.dispatched(ID, 100), 100, kind)
    assert standing(health) is Standing.GOOD


@pytest.mark.parametrize("kind", [FailureKind.KEY_REJECTED, FailureKind.QUOTA_EXHAUSTED, FailureKind.MODEL_MISSING])
def test_a_refused_key_or_model_puts_it_aside_at_once_until_the_key_changes(kind: FailureKind) -> None:
    health = fleet()
    health.failed(health.dispatched(ID, 100), 100, kind)
    assert standing(health, 399) is Standing.SUSPECT
    assert standing(health, 401) is Standing.GOOD
    health.failed(health.dispatched(ID, 402), 402, kind)
    assert standing(health, 403) is Standing.SUSPECT
    health.restart([ID])
    assert standing(health, 403) is Standing.GOOD


def test_later_verdicts_supersede_whatever_the_sequence_of_a_former_run() -> None:
    assert verdict(True, epoch=2, sequence=1).supersedes(verdict(False, epoch=1, sequence=99))
    assert verdict(True, sequence=3).supersedes(verdict(False, sequence=2))
    assert not verdict(True, sequence=2).supersedes(verdict(False, sequence=2))


def test_a_verdict_of_the_routers_region_is_not_replaced_by_one_of_another() -> None:
    here, there, anywhere = (replace(verdict(True), region=region) for region in ("earth", "mars", ""))
    later = replace(there, sequence=9)
    assert not later.replaces(here, "earth")
    assert here.replaces(later, "earth")
    assert later.replaces(there, "earth")
    assert replace(anywhere, sequence=2).replaces(here, "earth")
    assert not there.is_about("earth")
