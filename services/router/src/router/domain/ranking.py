"""The order in which endpoints are tried: a pure function of demand, prices, health and a random source.

The default draws the first endpoint with a weight of 1/price², and the rest the same way from what is left, as
OpenRouter documents. Endpoints in trouble go last, whatever they cost; they are tried when nothing better is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from contracts.catalog import Endpoint
from router.domain.demand import Demand
from router.domain.eligibility import names
from router.domain.health_view import EndpointState, Standing


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint that can serve the request. `share` is its chance to be tried first, from 0 to 1."""

    endpoint: Endpoint
    state: EndpointState
    share: float


def expected_cost(endpoint: Endpoint, demand: Demand) -> int:
    """What the request would probably cost at the endpoint, in pico-dollars: what endpoints are compared by."""
    price = endpoint.price
    return demand.prompt_tokens * price.prompt + demand.expected_completion_tokens * price.completion + price.request


def weight(cost: int, factor: float = 1.0) -> float:
    """The inverse square of a price, scaled. A free endpoint counts as one pico-dollar, far below any real price."""
    return factor / float(max(cost, 1)) ** 2


def rank(
    endpoints: Sequence[Endpoint], demand: Demand, state_of: Callable[[Endpoint], EndpointState], random: Random
) -> list[Candidate]:
    """Put endpoints in the order of attempts. Those that must not be called at all are left in, at the end."""
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
        return _draw(states, demand, random)
    ordered.sort(key=lambda item: _tier(item[1], demand))
    return [
        Candidate(endpoint, state, 1.0 if position == 0 else 0.0) for position, (endpoint, state) in enumerate(ordered)
    ]


_Stated = tuple[Endpoint, EndpointState]


def _tier(state: EndpointState, demand: Demand) -> tuple[int, bool, int]:
    """Standing first; in one standing those that miss the caller's wishes later, the least bad suspect first."""
    return (state.standing, _misses_wishes(state, demand), state.badness if state.standing is Standing.SUSPECT else 0)


def _misses_wishes(state: EndpointState, demand: Demand) -> bool:
    if demand.min_throughput is not None and state.tokens_per_second is not None:
        return state.tokens_per_second < demand.min_throughput
    if demand.max_latency is not None and state.first_token_seconds is not None:
        return state.first_token_seconds > demand.max_latency
    return False


def _draw(states: list[_Stated], demand: Demand, random: Random) -> list[Candidate]:
    """Weighted sampling without replacement: the smallest of exponential draws is taken with the odds of its weight."""
    weights = [weight(expected_cost(endpoint, demand), state.factor) for endpoint, state in states]
    tiers = [_tier(state, demand)[:2] for _, state in states]
    first = min(tiers)
    total = math.fsum(each for each, tier in zip(weights, tiers, strict=True) if tier == first)
    drawn = []
    for (endpoint, state), each, tier in zip(states, weights, tiers, strict=True):
        share = each / total if tier == first and state.standing is not Standing.FORBIDDEN else 0.0
        badness = state.badness if state.standing is Standing.SUSPECT else 0
        drawn.append((tier, badness, -math.log(1.0 - random.random()) / each, Candidate(endpoint, state, share)))
    drawn.sort(key=lambda item: item[:3])
    return [candidate for *_, candidate in drawn]


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
