"""The order in which endpoints are tried: a pure function of demand, prices, health and a random source.

The first endpoint is drawn by share of traffic, and the rest the same way from what is left. Endpoints in trouble go last,
whatever they cost; they are tried when nothing better is left. `router.domain.shares` says how large the shares are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from contracts.catalog import Endpoint
from contracts.ids import EndpointId
from router.domain.customer_keys import CustomerKey
from router.domain.demand import Demand, Strategy
from router.domain.eligibility import names
from router.domain.health_view import EndpointState, Standing
from router.domain.shares import expected_cost, paces, weights
from router.domain.wishes import misses_wishes

# A conversation leaves its endpoint when that has this many calls more in flight than the idlest, or half as many again
# as the others have on average: a warm cache is not worth a queue (vLLM's router uses the same two bounds).
MOST_AHEAD = 64
MOST_RELATIVE = 1.5


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint that can serve the request. `share` is its chance to be tried first, from 0 to 1."""

    endpoint: Endpoint
    state: EndpointState
    share: float
    customer_key: CustomerKey | None = None
    """The key of the caller's organisation that it is called with; None for the operator's."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """The conversation that a request is part of: a digest, and where it was answered last."""

    key: bytes
    last: EndpointId | None = None


def rank(
    endpoints: Sequence[Endpoint],
    demand: Demand,
    state_of: Callable[[Endpoint], EndpointState],
    random: Random,
    *,
    strategy: Strategy = "share",
    continuation: Continuation | None = None,
) -> list[Candidate]:
    """Put endpoints in the order of attempts. Those that must not be called at all are left in, at the end.

    Args:
        endpoints: those that can serve the request.
        demand: what it asks.
        state_of: what is known of an endpoint.
        random: decides the draws.
        strategy: how traffic is shared out where the caller has chosen no order.
        continuation: the conversation, for which the draws are the same at every turn and at every router.
    """
    states = [(endpoint, state_of(endpoint)) for endpoint in endpoints]
    if not states:
        return []
    if len(states) == 1:
        endpoint, state = states[0]
        return [Candidate(endpoint, state, 0.0 if state.standing is Standing.FORBIDDEN else 1.0)]
    if demand.order:
        ordered = _by_order(states, demand)
    elif demand.sort in ("price", "throughput", "latency"):
        ordered = sorted(states, key=_SORT_KEYS[demand.sort](demand))
    else:
        drawn = _draw(states, demand, random, strategy, continuation)
        return _stay(drawn, demand, strategy, continuation) if continuation is not None else drawn
    ordered.sort(key=lambda item: _tier(item[1], demand))
    return [
        Candidate(endpoint, state, 1.0 if position == 0 else 0.0) for position, (endpoint, state) in enumerate(ordered)
    ]


_Stated = tuple[Endpoint, EndpointState]


def _tier(state: EndpointState, demand: Demand) -> tuple[int, bool, int]:
    """Standing first; in one standing those that miss the caller's wishes later, the least bad suspect first."""
    return (state.standing, misses_wishes(state, demand), state.badness if state.standing is Standing.SUSPECT else 0)


def _draw(
    states: list[_Stated], demand: Demand, random: Random, strategy: Strategy, continuation: Continuation | None
) -> list[Candidate]:
    """Weighted sampling without replacement: the smallest of exponential draws is taken with the odds of its weight."""
    tiers = [_tier(state, demand)[:2] for _, state in states]
    first = min(tiers)
    by_weight = weights(states, demand, strategy)
    total = math.fsum(each for each, tier in zip(by_weight, tiers, strict=True) if tier == first)
    drawn = []
    for (endpoint, state), each, tier in zip(states, by_weight, tiers, strict=True):
        share = each / total if tier == first and state.standing is not Standing.FORBIDDEN else 0.0
        badness = state.badness if state.standing is Standing.SUSPECT else 0
        chance = random.random()
        if continuation is not None and is_cache_cheaper(endpoint):
            chance = _chance_of(continuation, endpoint.id)
        drawn.append((tier, badness, -math.log(1.0 - chance) / each, Candidate(endpoint, state, share)))
    drawn.sort(key=lambda item: item[:3])
    return [candidate for *_, candidate in drawn]


def is_cache_cheaper(endpoint: Endpoint) -> bool:
    """Whether it pays to come back to the endpoint with a prompt that it has seen."""
    return endpoint.price.cached < endpoint.price.prompt


def _chance_of(continuation: Continuation, endpoint_id: EndpointId) -> float:
    """A number from 0 up to 1 that is the same for the same conversation and endpoint, and as good as random."""
    digest = hashlib.blake2b(endpoint_id.encode(), key=continuation.key, digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)


def _stay(drawn: list[Candidate], demand: Demand, strategy: Strategy, continuation: Continuation) -> list[Candidate]:
    """Put the endpoint that answered last in front, unless that costs more than the warm cache gives."""
    place = next((index for index, each in enumerate(drawn) if each.endpoint.id == continuation.last), 0)
    last = drawn[place]
    if place == 0 or not is_cache_cheaper(last.endpoint) or _tier(last.state, demand) > _tier(drawn[0].state, demand):
        return drawn
    if strategy == "share" and not paces([(each.endpoint, each.state) for each in drawn], demand)[place]:
        return drawn
    loads = [each.state.in_flight for each in drawn]
    if last.state.in_flight > max(MOST_AHEAD + min(loads), MOST_RELATIVE * sum(loads) / len(loads)):
        return drawn
    return [last, *drawn[:place], *drawn[place + 1 :]]


def _by_order(states: list[_Stated], demand: Demand) -> list[_Stated]:
    """Those that the caller names first, in its order; one name may mean several endpoints: the cheapest first."""

    def place(item: _Stated) -> tuple[int, int]:
        position = next((index for index, slug in enumerate(demand.order) if names(slug, item[0])), len(demand.order))
        return position, expected_cost(item[0], demand)

    return sorted(states, key=place)


def _price_key(demand: Demand) -> Callable[[_Stated], tuple[float, int]]:
    return lambda item: (0.0, expected_cost(item[0], demand))


def _throughput_key(demand: Demand) -> Callable[[_Stated], tuple[float, int]]:
    return lambda item: (-(item[1].tokens_per_second or 0.0), expected_cost(item[0], demand))


def _latency_key(demand: Demand) -> Callable[[_Stated], tuple[float, int]]:
    # What has not been measured goes after what has.
    return lambda item: (item[1].first_token_seconds or math.inf, expected_cost(item[0], demand))


_SORT_KEYS: dict[str, Callable[[Demand], Callable[[_Stated], tuple[float, int]]]] = {
    "price": _price_key,
    "throughput": _throughput_key,
    "latency": _latency_key,
}
