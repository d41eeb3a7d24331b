"""Runs one policy over one scenario: a queue of moments in virtual time, and the router's own pure code.

A request goes the way of `router.generation`: a choice, attempts with the router's limits, the retry budget, and what every
attempt tells the endpoint's health. What is left out is what needs no time here: the edge, dialects, usage events.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta

from contracts.ids import EndpointId
from router.domain import retry_budget
from router.domain.attempts import AttemptFailure, FailureKind
from router.domain.demand import Demand
from router.domain.fallback import FailedAttempt
from router.domain.health_view import EndpointState, FleetHealth, Showing
from router.domain.itinerary import Itinerary
from router.domain.ranking import Continuation
from router.domain.retry_budget import RetryBudget
from router.domain.selection import Choice
from router.domain.stickiness import Conversation, StickyPlaces
from router.simulation.chance import source_of
from router.simulation.fleet import MODEL, Reply, SimulatedEndpoint, catalog_of
from router.simulation.measured import Answer, Measured
from router.simulation.policies import Policy, Question
from router.simulation.scenarios import Scenario
from router.simulation.workload import Call

_START = datetime(2026, 1, 1, tzinfo=UTC)
# As the router's settings have them.
_FIRST_TOKEN_LIMIT_SECONDS = 60.0

_Steps = Generator[float, None, None]


def simulate(scenario: Scenario, policy: Policy, seed: int) -> Measured:
    """Run one policy over one scenario to the end of its last request."""
    return _Simulation(scenario, policy, seed).run()


class _Simulation:
    """One run. The same seed gives the same calls whatever the policy."""

    def __init__(self, scenario: Scenario, policy: Policy, seed: int) -> None:
        self.random = source_of("router", seed)
        self.health = FleetHealth(source_of("health", seed), lambda _: None)
        self.retries = RetryBudget()
        self.places = StickyPlaces()
        self.measured = Measured(scenario.workload.patience)
        self._catalog = catalog_of(scenario.fleet)
        self._policy = policy
        self._calls = scenario.workload.calls(scenario.seconds, source_of("workload", seed))
        self._endpoints = {
            endpoint.id: SimulatedEndpoint(behaviour, endpoint, source_of(behaviour.name, seed))
            for behaviour, endpoint in zip(scenario.fleet, self._catalog.endpoints.values(), strict=True)
        }
        self._queue: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()

    def run(self) -> Measured:
        for call in self._calls:
            self.at(call.at, _Request(self, call).begin)
        while self._queue:
            now, _, what = heapq.heappop(self._queue)
            what(now)
        return self.measured

    def at(self, moment: float, what: Callable[[float], None]) -> None:
        """Do something later, what is due at the same moment in the order of these calls."""
        heapq.heappush(self._queue, (moment, next(self._numbers), what))

    def choose(self, demand: Demand, now: float, continuation: Continuation | None) -> Choice:
        wall = _START + timedelta(seconds=now)

        def state_of(endpoint_id: EndpointId) -> EndpointState:
            return self.health.state(endpoint_id, now, wall, demand.prompt_tokens)

        return self._policy(Question(self._catalog, demand, state_of, self.random, wall, continuation))

    def endpoint(self, endpoint_id: EndpointId) -> SimulatedEndpoint:
        return self._endpoints[endpoint_id]


class _Request:
    """One request on its way: a generator of the moments at which it goes on."""

    def __init__(self, around: _Simulation, call: Call) -> None:
        self._around = around
        self._call = call
        self._deadline = call.at + around.measured.patience
        self._now = call.at
        self._steps = self._live()
        self._conversation: Conversation | None = None
        if call.conversation is not None:
            self._conversation = Conversation(call.conversation.to_bytes(16), named=False)

    def begin(self, now: float) -> None:
        """Go on from one moment to the next."""
        self._now = now
        moment = next(self._steps, None)
        if moment is not None:
            self._around.at(moment, self.begin)

    @property
    def _seconds_left(self) -> float:
        return self._deadline - self._now

    def _live(self) -> _Steps:
        around, call = self._around, self._call
        demand = Demand(models=(MODEL,), prompt_tokens=call.prompt_tokens, output_limit=call.completion_tokens)
        itinerary = Itinerary(self._choose(demand).attempts, around.random)
        failed: list[FailedAttempt] = []
        while self._seconds_left > 0 and (leg := itinerary.next_leg(failed, self._seconds_left)) is not None:
            if leg.pause:
                yield self._now + leg.pause
            holds_retry = False
            if failed:
                until = self._now + min(retry_budget.WAIT_SECONDS, self._seconds_left)
                while not around.health.is_proven(leg.endpoint.id, self._now):
                    holds_retry = around.retries.take(MODEL)
                    if holds_retry or self._now >= until:
                        break
                    yield self._now + retry_budget.LOOK_SECONDS
                if not holds_retry and not around.health.is_proven(leg.endpoint.id, self._now):
                    break
            around.retries.began(MODEL)
            failure = yield from self._attempt(around.endpoint(leg.endpoint.id))
            around.retries.ended(MODEL)
            if holds_retry:
                around.retries.give_back(MODEL)
            if failure is None:
                return
            failed.append(FailedAttempt(leg.endpoint, AttemptFailure(failure)))
        around.measured.lost.append(call.at)

    def _choose(self, demand: Demand) -> Choice:
        continuation = None
        if self._conversation is not None:
            last = self._around.places.find(self._conversation, self._now)
            continuation = Continuation(self._conversation.key, last)
        return self._around.choose(demand, self._now, continuation)

    def _attempt(self, endpoint: SimulatedEndpoint) -> Generator[float, None, FailureKind | None]:
        """Call an endpoint; return why that failed, None after a whole answer."""
        around, health, call = self._around, self._around.health, self._call
        around.measured.attempts[endpoint.behaviour.name] += 1
        limit, _ = health.limits(endpoint.endpoint.id, self._now, call.prompt_tokens)
        limit = min(_FIRST_TOKEN_LIMIT_SECONDS, limit or _FIRST_TOKEN_LIMIT_SECONDS)
        dispatch = health.dispatched(endpoint.endpoint.id, self._now, stream=True, prompt_tokens=call.prompt_tokens)
        reply = endpoint.began(self._now, call)
        yield self._now + min(reply.seconds, limit, self._seconds_left)
        if self._seconds_left <= 0:
            endpoint.ended()
            health.abandoned(dispatch, self._now)
            return FailureKind.TIMEOUT
        failure = reply.failure or (FailureKind.TIMEOUT if reply.seconds > limit else None)
        if failure is not None:
            endpoint.ended()
            health.failed(dispatch, self._now, failure)
            return failure
        health.showed_life(dispatch, self._now, reply.seconds, call.prompt_tokens)
        around.measured.answers.append(Answer(call.at, self._now - call.at, endpoint.behaviour.name))
        around.measured.cost += endpoint.cost(call, reply.cached_tokens)
        yield self._now + reply.writing
        endpoint.ended()
        health.succeeded(dispatch, self._now, self._showing(reply))
        around.retries.succeeded()
        if self._conversation is not None:
            around.places.answered(
                self._conversation, endpoint.endpoint.id, self._now, cached_tokens=reply.cached_tokens
            )
        return None

    def _showing(self, reply: Reply) -> Showing:
        rate = self._call.completion_tokens / reply.writing if reply.writing > 0 else None
        return Showing(rate, cache_hit_rate=reply.cached_tokens / self._call.prompt_tokens)
