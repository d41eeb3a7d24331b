"""What other routers have seen, folded into what this one believes, on a made-up clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import EndpointId
from router.domain.attempts import FailureKind
from router.domain.health_view import EndpointState, FleetHealth, Showing, Standing
from router.domain.observations import EndpointObservation, Ignored, Observation, ObservationFilter
from router.domain.verdicts import Verdict

ID = EndpointId("acme/one@a")
WALL = datetime(2026, 11, 24, 12, tzinfo=UTC)
# The monotonic clock of the router under test at that time, and the Unix time.
NOW, UNIX = 1000.0, int(WALL.timestamp())


def seen(ago: float, sequence: int = 1, instance: str = "b", region: str = "local", **counts: object) -> Observation:
    """What a router saw of the endpoint in a second that began so long before `WALL`."""
    endpoint = EndpointObservation(ID, **counts)  # type: ignore[arg-type]  # the names are those of its fields
    return Observation(instance, 1, sequence, UNIX - int(ago), region, (endpoint,))


class Bench:
    """The health of a fleet that hears of others, and its clock."""

    def __init__(self, *observations: Observation) -> None:
        self.verdicts: dict[EndpointId, Verdict] = {}
        self.health = FleetHealth(Random(7), self.verdicts.get)
        self.filter = ObservationFilter("a")
        self.hear(*observations)

    def hear(self, *observations: Observation, after: float = 0.0) -> None:
        wall = WALL + timedelta(seconds=after)
        for observation in observations:
            if self.filter.refuse(observation, wall.timestamp()) is None:
                self.health.heard(observation, NOW + after, wall, same_region=observation.region == "local")

    def judge(self, verdict: Verdict, after: float = 0.0) -> None:
        old = self.verdicts.get(verdict.endpoint_id)
        if old is None or verdict.supersedes(old):
            self.verdicts[verdict.endpoint_id] = verdict
            self.health.judged(verdict, NOW + after, WALL + timedelta(seconds=after))

    def state(self, after: float = 0.0) -> EndpointState:
        return self.health.state(ID, NOW + after, WALL + timedelta(seconds=after))

    def standing(self, after: float = 0.0) -> Standing:
        return self.state(after).standing

    def fail(self, after: float = 0.0, times: int = 1) -> None:
        for _ in range(times):
            self.health.failed(self.health.dispatched(ID, NOW + after), NOW + after, FailureKind.SERVER_ERROR)

    def succeed(self, after: float = 0.0, times: int = 1) -> None:
        for _ in range(times):
            self.health.succeeded(self.health.dispatched(ID, NOW + after), NOW + after, Showing())


@pytest.mark.parametrize(
    ("ok", "failed", "standing"),
    [(0, 4, Standing.GOOD), (0, 5, Standing.SUSPECT), (15, 4, Standing.SUSPECT), (16, 4, Standing.GOOD)],
)
def test_a_burst_of_failures_elsewhere_is_an_outage_by_the_same_rule(ok: int, failed: int, standing: Standing) -> None:
    assert Bench(seen(0, ok=ok, failed=failed)).standing() is standing


def test_failures_elsewhere_and_here_add_up() -> None:
    bench = Bench(seen(1, failed=3))
    bench.fail()
    assert bench.standing() is Standing.GOOD
    bench.fail()
    assert bench.standing() is Standing.SUSPECT


def test_five_failures_in_a_row_count_however_good_it_was_before() -> None:
    bench = Bench(seen(5, 1, ok=500), seen(5, 1, "c", ok=500))
    bench.hear(seen(3, 2, ok=20, failed=3, consecutive_failures=3))
    assert bench.standing() is Standing.GOOD
    bench.hear(seen(3, 2, "c", ok=0, failed=3, consecutive_failures=3))
    # Whose good calls of this second were later than whose bad ones is not known.
    assert bench.standing() is Standing.GOOD
    bench.hear(seen(2, 3, failed=1, consecutive_failures=4))
    assert bench.standing() is Standing.GOOD
    bench.hear(seen(1, 3, "c", failed=1, consecutive_failures=4))
    assert bench.standing() is Standing.SUSPECT


def test_a_good_call_of_our_own_outweighs_a_row_of_failures_elsewhere() -> None:
    bench = Bench(seen(3, ok=100))
    bench.succeed(-0.5)
    bench.hear(seen(1, 2, failed=9, consecutive_failures=9))
    assert bench.standing() is Standing.GOOD


def test_an_endpoint_that_is_down_elsewhere_is_tried_by_one_call_at_a_time_after_a_while() -> None:
    bench = Bench(seen(0, failed=6))
    assert bench.standing(2.0) is Standing.SUSPECT
    assert bench.standing(6.5) is Standing.GOOD
    trial = bench.health.dispatched(ID, NOW + 6.5)
    assert trial.is_trial
    assert bench.standing(6.5) is Standing.SUSPECT
    # A trial that fails makes it an outage of our own.
    bench.health.failed(trial, NOW + 7, FailureKind.CONNECT)
    assert bench.standing(9) is Standing.SUSPECT
    assert bench.standing(12.1) is Standing.GOOD


def test_own_trials_end_an_outage_elsewhere_and_it_starts_slowly() -> None:
    bench = Bench(seen(0, failed=6))
    bench.succeed(6.5, times=2)
    assert bench.health.dispatched(ID, NOW + 6.6).is_trial
    bench.succeed(6.7)
    assert not bench.health.dispatched(ID, NOW + 6.8).is_trial
    assert bench.state(7.5).factor == pytest.approx(0.1)
    assert bench.state(22).factor == pytest.approx(0.5)


def test_three_good_calls_elsewhere_end_an_outage_that_was_met_elsewhere_and_it_starts_slowly() -> None:
    bench = Bench(seen(9, 1, ok=100, failed=50), seen(4, 2, ok=2))
    bench.hear(seen(3, 3, "c", failed=1))
    assert bench.standing(-1.9) is Standing.SUSPECT
    bench.hear(seen(2, 4, ok=2), seen(1, 5, "c", ok=1))
    assert bench.standing() is Standing.GOOD
    assert not bench.health.dispatched(ID, NOW).is_trial
    assert bench.state(1).factor == pytest.approx(0.1)
    # What was before the recovery does not end it again.
    bench.hear(seen(0, 6, ok=5, failed=1))
    assert bench.standing() is Standing.GOOD


def test_good_calls_elsewhere_never_override_failures_of_our_own() -> None:
    bench = Bench()
    bench.fail(-30, times=3)
    # Two relapses: it is down for ten seconds at least.
    bench.fail(-24)
    bench.fail(-6)
    bench.hear(seen(6, ok=500))
    assert bench.standing() is Standing.SUSPECT
    # Once it has served others since, a call may try it sooner, and nothing more.
    bench.hear(seen(4, 2, ok=3))
    assert bench.standing(-1.1) is Standing.SUSPECT
    trial = bench.health.dispatched(ID, NOW - 1)
    assert trial.is_trial
    assert bench.standing() is Standing.SUSPECT
    bench.health.failed(trial, NOW, FailureKind.SERVER_ERROR)
    bench.hear(seen(-1, 3, ok=500), after=1)
    # If it fails for us alone, that is tried no more often than every five seconds.
    assert bench.standing(4.9) is Standing.SUSPECT
    assert bench.standing(5.1) is Standing.GOOD


def test_what_others_get_with_their_keys_does_not_bring_back_one_that_refuses_ours() -> None:
    bench = Bench()
    bench.health.failed(bench.health.dispatched(ID, NOW - 20), NOW - 20, FailureKind.KEY_REJECTED)
    bench.hear(seen(10, ok=500))
    assert bench.standing() is Standing.SUSPECT


def test_a_time_that_a_provider_has_named_elsewhere_holds_here() -> None:
    bench = Bench(seen(0, rate_limited=1, cooling_until=UNIX + 37.0))
    assert bench.standing(36.9) is Standing.FORBIDDEN
    assert bench.state(7).cooling_for == pytest.approx(30)
    assert bench.standing(37.1) is Standing.GOOD
    # A guess of our own does not weaken it.
    bench.hear(seen(0, 2, cooling_until=UNIX + 50.0))
    bench.health.failed(bench.health.dispatched(ID, NOW + 40), NOW + 40, FailureKind.RATE_LIMITED)
    assert bench.standing(40.1) is Standing.FORBIDDEN


def test_another_region_tells_of_named_times_only() -> None:
    bench = Bench(seen(0, region="mars", failed=50, consecutive_failures=50))
    assert bench.standing() is Standing.GOOD
    bench.hear(seen(0, 2, region="mars", cooling_until=UNIX + 20.0))
    assert bench.standing() is Standing.FORBIDDEN


def test_speed_elsewhere_stands_in_until_there_is_one_of_our_own() -> None:
    bench = Bench(
        seen(0, first_token_count=4, first_token_seconds=2.0, throughput_count=2, throughput_tokens_per_second=90.0)
    )
    assert bench.state().first_token_seconds == pytest.approx(0.5)
    assert bench.state().tokens_per_second == pytest.approx(45)
    bench.health.showed_life(bench.health.dispatched(ID, NOW), NOW, 3.0, 10)
    own = bench.state(1.5).first_token_seconds
    assert own == pytest.approx(3.0, rel=0.05)
    assert Bench(seen(0, first_token_count=1, first_token_seconds=1.0)).state(31).first_token is None


def test_live_calls_elsewhere_contradict_an_older_unhealthy_verdict() -> None:
    bench = Bench()
    bench.judge(Verdict(ID, False, 1, 1, WALL - timedelta(seconds=5), WALL + timedelta(seconds=85)))
    assert bench.standing() is Standing.SUSPECT
    bench.hear(seen(2, ok=1, last_success=UNIX - 1.5))
    assert bench.standing() is Standing.GOOD
    bench.hear(seen(1, 2, failed=1, last_failure=UNIX - 0.5))
    assert bench.standing() is Standing.SUSPECT


def test_r10_without_the_bus_a_router_is_back_to_its_own_experience_in_90_seconds() -> None:
    bench = Bench(seen(0, failed=20, cooling_until=UNIX + 600.0))
    bench.judge(Verdict(ID, False, 1, 1, WALL, WALL + timedelta(minutes=10)))
    other = EndpointId("acme/one@b")
    bench.health.failed(bench.health.dispatched(other, NOW), NOW, FailureKind.KEY_REJECTED)
    assert bench.standing(80) is Standing.FORBIDDEN
    state = bench.state(91)
    assert (state.standing, state.known, state.factor) == (Standing.GOOD, False, 1.0)
    # Its own experience is kept.
    assert bench.health.state(other, NOW + 91, WALL + timedelta(seconds=91)).standing is Standing.SUSPECT


def test_own_repeated_late_and_early_observations_do_not_count() -> None:
    filter_ = ObservationFilter("a")
    one = seen(0)
    assert filter_.refuse(one, UNIX) is None
    assert filter_.refuse(one, UNIX + 20) is Ignored.REPEATED
    assert filter_.refuse(replace(one, instance="a"), UNIX) is Ignored.OWN
    # A router that was started again counts from 1 again.
    assert filter_.refuse(replace(one, epoch=2), UNIX) is None
    assert filter_.refuse(replace(one, sequence=2), UNIX + 29.9) is None
    assert filter_.refuse(replace(one, sequence=3), UNIX + 30) is Ignored.LATE
    assert filter_.refuse(replace(one, sequence=4), UNIX - 6) is Ignored.AHEAD
    # What was counted is still known when the next one is, and forgotten when a repeat of it would be late.
    assert filter_.refuse(replace(one, sequence=2), UNIX + 29.95) is Ignored.REPEATED
    assert filter_.refuse(replace(one, sequence=5, second=UNIX + 40), UNIX + 40) is None
    assert len(filter_._counted) == 1


def test_a_clock_that_is_wrong_makes_no_evidence_that_lasts() -> None:
    bench = Bench(seen(0, failed=9, last_failure=UNIX + 1e9))
    assert bench.standing() is Standing.SUSPECT
    assert bench.standing(31) is Standing.GOOD


def test_a_router_tells_what_its_calls_have_shown_since_the_last_time() -> None:
    bench = Bench()
    assert bench.health.observed(NOW, WALL) == ()
    dispatch = bench.health.dispatched(ID, NOW)
    bench.health.showed_life(dispatch, NOW + 0.25, 0.25, 10)
    bench.health.succeeded(dispatch, NOW + 0.5, Showing(tokens_per_second=40.0))
    bench.fail(0.75, times=2)
    bench.health.failed(bench.health.dispatched(ID, NOW + 0.8), NOW + 0.8, FailureKind.RATE_LIMITED, retry_after=37)
    # What is wrong with the request or the caller says nothing.
    bench.health.failed(bench.health.dispatched(ID, NOW + 0.9), NOW + 0.9, FailureKind.REJECTED)
    bench.health.abandoned(bench.health.dispatched(ID, NOW + 0.9))
    (told,) = bench.health.observed(NOW + 1, WALL + timedelta(seconds=1))
    assert told == EndpointObservation(
        ID,
        ok=1,
        failed=2,
        rate_limited=1,
        consecutive_failures=2,
        first_token_count=1,
        first_token_seconds=0.25,
        throughput_count=1,
        throughput_tokens_per_second=40.0,
        cooling_until=UNIX + 37.8,
        last_success=UNIX + 0.5,
        last_failure=UNIX + 0.75,
    )
    assert bench.health.observed(NOW + 2, WALL + timedelta(seconds=2)) == ()


def test_what_one_router_tells_puts_the_endpoint_aside_at_the_other() -> None:
    teller, listener = Bench(), Bench()
    teller.fail(0.2, times=6)
    told = teller.health.observed(NOW + 1, WALL + timedelta(seconds=1))
    listener.hear(Observation("b", 1, 1, UNIX, "local", told), after=1)
    assert teller.standing(1) is listener.standing(1) is Standing.SUSPECT


@st.composite
def messages(draw: st.DrawFn) -> Sequence[Observation | Verdict]:
    """What two routers and a prober, each started anew once, may have sent within half a minute."""
    found: list[Observation | Verdict] = []
    for instance in ("b", "c"):
        seconds = draw(st.lists(st.integers(0, 25), max_size=6, unique=True))
        for sequence, ago in enumerate(sorted(seconds, reverse=True), start=1):
            failed = draw(st.integers(0, 8))
            found.append(
                replace(
                    seen(
                        ago,
                        sequence,
                        instance,
                        region=draw(st.sampled_from(["local", "local", "mars"])),
                        ok=draw(st.integers(0, 20)),
                        failed=failed,
                        consecutive_failures=draw(st.integers(0, 8)) if failed else 0,
                        cooling_until=draw(st.none() | st.floats(-5, 40).map(lambda at: UNIX + at)),
                        last_failure=UNIX - ago + 0.5 if failed else None,
                    ),
                    epoch=draw(st.integers(1, 2)),
                )
            )
    for sequence in range(1, draw(st.integers(0, 4)) + 1):
        checked = WALL - timedelta(seconds=draw(st.integers(0, 60)))
        expires = checked + timedelta(seconds=90)
        found.append(Verdict(ID, draw(st.booleans()), draw(st.integers(1, 2)), sequence, checked, expires))
    return found


@given(sent=messages(), own=st.lists(st.tuples(st.integers(-20, -1), st.booleans()), max_size=6), data=st.data())
def test_whatever_the_order_and_the_repeats_of_messages_the_standing_is_the_same(
    sent: Sequence[Observation | Verdict], own: Sequence[tuple[int, bool]], data: st.DataObject
) -> None:
    repeats = data.draw(st.lists(st.sampled_from(sent), max_size=6)) if sent else []
    shuffled = data.draw(st.permutations([*sent, *repeats]))
    benches = Bench(), Bench()
    for bench, order in zip(benches, (sent, shuffled), strict=True):
        for at, good in sorted(own):
            bench.succeed(at) if good else bench.fail(at)
        for message in order:
            bench.hear(message) if isinstance(message, Observation) else bench.judge(message)
    for after in (0, 1, 2.6, 5, 9, 17, 29, 45, 91):
        one, other = (bench.state(after) for bench in benches)
        assert (one.standing, one.factor, one.cooling_for, one.known) == (
            other.standing,
            other.factor,
            other.cooling_for,
            other.known,
        )
