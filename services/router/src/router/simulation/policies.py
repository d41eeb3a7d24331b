"""The ways of ordering endpoints that a simulation compares. All get the same health, failover and retry budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from contracts.catalog import Catalog
from contracts.ids import EndpointId
from router.domain.demand import Demand, Strategy
from router.domain.health_view import EndpointState
from router.domain.ranking import Candidate, Continuation
from router.domain.selection import Choice, choose

OURS = "share"
INVERSE_SQUARE = "inverse-square"


@dataclass(frozen=True, slots=True)
class Question:
    """What a policy may know: what `choose` takes."""

    catalog: Catalog
    demand: Demand
    state_of: Callable[[EndpointId], EndpointState]
    random: Random
    at: datetime
    continuation: Continuation | None = None


Policy = Callable[[Question], Choice]


def _choice(question: Question, demand: Demand, strategy: Strategy = "share") -> Choice:
    return choose(
        question.catalog,
        demand,
        question.catalog.providers,
        question.state_of,
        question.random,
        at=question.at,
        strategy=strategy,
        continuation=question.continuation,
    )


def _strategy(strategy: Strategy) -> Policy:
    return lambda question: _choice(question, question.demand, strategy)


def _cheapest(question: Question) -> Choice:
    return _choice(question, replace(question.demand, sort="price"))


def _reordered(key: Callable[[Candidate, Random], float]) -> Policy:
    """Order by a key within each standing, as routers do that take endpoints in trouble out and share out the rest."""

    def policy(question: Question) -> Choice:
        choice = _cheapest(question)
        drawn = [
            (each.state.standing, key(each, question.random), index, each)
            for index, each in enumerate(choice.candidates)
        ]
        return replace(choice, candidates=tuple(each for *_, each in sorted(drawn, key=lambda item: item[:3])))

    return policy


def _in_flight(candidate: Candidate, random: Random) -> float:
    return candidate.state.in_flight + random.random()


def _recent_first_token(candidate: Candidate, random: Random) -> float:
    """What has not been measured goes first, or it never would be."""
    del random
    return candidate.state.recent_first_token or 0.0


POLICIES: dict[str, Policy] = {
    OURS: _strategy("share"),
    INVERSE_SQUARE: _strategy("price2"),
    "random": _reordered(lambda _, random: random.random()),
    "cheapest": _cheapest,
    "least-busy": _reordered(_in_flight),
    "latency": _reordered(_recent_first_token),
}
"""By name. `share` is what the router does by default, `inverse-square` what `strategy: price2` asks for."""
