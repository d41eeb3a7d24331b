"""An outage from its beginning to its end, at fifty requests a second, on a made-up clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from contracts.ids import EndpointId
from dialects.chat import decode_chat_request
from router.domain.attempts import FailureKind
from router.domain.demand import demand_of
from router.domain.health_view import EndpointState, FleetHealth, Showing
from router.domain.selection import choose
from router.domain.verdicts import Verdict
from router.testing.catalogs import Offer, catalog_of

CATALOG = catalog_of(Offer("a"), Offer("b"))
DEMAND = demand_of(
    decode_chat_request(json.dumps({"model": "acme/one", "messages": [{"role": "user", "content": "Hello"}]}).encode())
)
A = EndpointId("acme/one@a")
START = datetime(2026, 11, 24, tzinfo=UTC)
RATE = 50


class Simulation:
    """Two equal endpoints; `a` is out of order for a while; a prober looks every 30 s."""

    def __init__(self, seed: int, broken: tuple[float, float], *, prober: bool) -> None:
        self.random = Random(seed)
        self.health = FleetHealth(self.random, lambda endpoint_id: self.verdicts.get(endpoint_id))
        self.verdicts: dict[EndpointId, Verdict] = {}
        self.broken = broken
        self.prober = prober
        self.first_calls_of_a: dict[int, int] = {}
        self.failures: list[float] = []
        self.unanswered = 0

    def run(self, seconds: int) -> None:
        for tick in range(seconds * RATE):
            now = tick / RATE
            if self.prober and tick % (30 * RATE) == 7 * RATE:
                self.probe(now)
            self.request(now)

    def is_broken(self, now: float) -> bool:
        return self.broken[0] <= now < self.broken[1]

    def probe(self, now: float) -> None:
        wall = START + timedelta(seconds=now)
        verdict = Verdict(A, not self.is_broken(now), 1, int(now) + 1, wall, wall + timedelta(seconds=90))
        self.verdicts[A] = verdict
        self.health.judged(verdict, now, wall)

    def request(self, now: float) -> None:
        wall = START + timedelta(seconds=now)

        def state_of(endpoint_id: EndpointId) -> EndpointState:
            return self.health.state(endpoint_id, now, wall)

        choice = choose(CATALOG, DEMAND, frozenset("ab"), state_of, self.random, at=wall)
        for place, candidate in enumerate(choice.attempts):
            endpoint_id = candidate.endpoint.id
            dispatch = self.health.dispatched(endpoint_id, now)
            if endpoint_id == A and place == 0:
                self.first_calls_of_a[int(now)] = self.first_calls_of_a.get(int(now), 0) + 1
            if endpoint_id == A and self.is_broken(now):
                self.failures.append(now)
                self.health.failed(dispatch, now, FailureKind.SERVER_ERROR)
                continue
            self.health.showed_life(dispatch, now, None, 0)
            self.health.succeeded(dispatch, now, Showing())
            return
        self.unanswered += 1

    def share_of_a(self, start: int, end: int) -> float:
        return sum(self.first_calls_of_a.get(second, 0) for second in range(start, end)) / ((end - start) * RATE)


@pytest.mark.parametrize("seed", range(20))
def test_r01_and_r02_an_outage_is_left_at_once_and_ended_slowly(seed: int) -> None:
    simulation = Simulation(seed, (20, 200), prober=True)
    simulation.run(300)
    assert simulation.unanswered == 0
    # Out after a few calls, and then only trials.
    assert len([moment for moment in simulation.failures if moment > 26]) <= 12
    assert len(simulation.failures) <= 20
    assert simulation.share_of_a(5, 20) > 0.4
    # The share is a half. A tenth of its weight against all of the other's is an eleventh.
    recovery = next(second for second in range(200, 300) if simulation.first_calls_of_a.get(second, 0) > 1)
    assert simulation.share_of_a(recovery, recovery + 1) <= 0.25
    assert simulation.share_of_a(262, 300) > 0.9 * 0.5 * 0.9


@pytest.mark.parametrize("seed", range(5))
def test_without_a_prober_an_endpoint_comes_back_by_itself(seed: int) -> None:
    simulation = Simulation(seed, (20, 40), prober=False)
    simulation.run(160)
    assert simulation.unanswered == 0
    assert simulation.share_of_a(130, 160) > 0.4
