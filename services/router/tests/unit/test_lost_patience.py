"""What a caller who leaves before the first token says of the endpoint, and how much of prompts is cached there."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest

from contracts.ids import EndpointId
from router.domain.attempts import FailureKind
from router.domain.health_view import EndpointState, FleetHealth, Showing, Standing
from router.domain.speed import MIN_FOR_LIMITS

ID = EndpointId("acme/one@a")
WALL = datetime(2026, 11, 24, 12, tzinfo=UTC)


def known() -> FleetHealth:
    """An endpoint whose first tokens take half a second."""
    health = FleetHealth(Random(1), lambda _: None)
    for number in range(MIN_FOR_LIMITS):
        dispatch = health.dispatched(ID, float(number), stream=True)
        health.showed_life(dispatch, number + 0.5, 0.5, 10)
        health.succeeded(dispatch, number + 0.6, Showing())
    return health


def leave(health: FleetHealth, at: float, after: float) -> None:
    dispatch = health.dispatched(ID, at, stream=True, prompt_tokens=10)
    health.abandoned(dispatch, at + after)


def state(health: FleetHealth, now: float) -> EndpointState:
    return health.state(ID, now, WALL, 10)


def test_callers_who_waited_far_longer_than_usual_have_met_failures() -> None:
    health = known()
    for number in range(3):
        leave(health, 30.0 + number, after=4.0)
    found = state(health, 37.0)
    assert found.standing is Standing.SUSPECT
    assert found.calls == MIN_FOR_LIMITS + 3
    assert found.in_flight == 0


def test_callers_who_waited_a_little_longer_make_it_look_slower_and_nothing_else() -> None:
    health = known()
    for number in range(20):
        leave(health, 30.0 + number, after=1.2)
    found = state(health, 52.0)
    assert found.standing is Standing.GOOD
    assert found.success == 1.0
    assert found.recent_first_token == pytest.approx(1.2, rel=0.1)


def test_callers_who_leave_after_the_first_token_say_nothing() -> None:
    health = known()
    for number in range(5):
        dispatch = health.dispatched(ID, 30.0 + number, stream=True, prompt_tokens=10)
        health.showed_life(dispatch, 30.5 + number, 0.5, 10)
        health.abandoned(dispatch, 60.0 + number)
    found = state(health, 65.0)
    assert found.standing is Standing.GOOD
    assert found.recent_first_token == pytest.approx(0.5)


def test_a_call_that_ends_without_a_time_says_nothing() -> None:
    health = known()
    dispatch = health.dispatched(ID, 30.0, stream=True)
    health.abandoned(dispatch)
    found = state(health, 90.0)
    assert (found.in_flight, found.success) == (0, 1.0)
    assert found.recent_first_token == pytest.approx(0.5)


def test_a_timeout_shows_how_slow_it_is() -> None:
    health = known()
    dispatch = health.dispatched(ID, 30.0, stream=True)
    health.failed(dispatch, 35.0, FailureKind.TIMEOUT)
    found = state(health, 35.0).recent_first_token
    assert found is not None
    assert found > 1.0
    refused = health.dispatched(ID, 36.0, stream=True)
    health.failed(refused, 36.1, FailureKind.RATE_LIMITED)
    assert state(health, 36.1).recent_first_token == found


def test_the_cache_hit_rate_is_an_average_of_many_prompts() -> None:
    health = FleetHealth(Random(1), lambda _: None)
    random = Random(2)
    rates = []
    for number in range(600):
        dispatch = health.dispatched(ID, float(number))
        health.succeeded(dispatch, float(number), Showing(cache_hit_rate=float(random.random() < 0.7)))
        rate = state(health, float(number)).cache_hit_rate
        assert rate is not None
        rates.append(rate)
    assert min(rates[100:]) > 0.5
    assert max(rates[100:]) < 0.9
