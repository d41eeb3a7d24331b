"""What share of the traffic each endpoint should get.

`price2` is OpenRouter's documented rule: the inverse square of the price. `share` puts an adjusted price in its place:
what the request will really cost there, cached prompts included, made dearer by slow first tokens, slow writing and
failures. Two further rules follow what OpenRouter says of its newer router:

- a competitive edge: beyond one and a half times the best adjusted price, the share drops fast;
- a pace: an endpoint whose first tokens take much longer now than those of its rivals, which cost about the same or less,
  loses share, and all but a small exploration share when it is far behind or fails too often. It keeps that because an
  endpoint that gets no traffic is never seen to have improved. Dearer endpoints are no rivals: that one of them is very
  fast is no reason to send everybody there.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from contracts.catalog import Endpoint
from contracts.operations import Operation
from router.domain.demand import Demand, Strategy
from router.domain.health_view import EndpointState, Standing

# Split over the endpoints that would get less than their part of it.
EXPLORATION = 0.01
# A first token after two seconds counts like a tenth of the price; so does writing at no speed at all beside the fastest.
FIRST_TOKEN_SECONDS = 2.0
FIRST_TOKEN_PENALTY = 0.1
THROUGHPUT_PENALTY = 0.1
LEAST_SUCCESS = 0.05
# Within this factor of the best adjusted price endpoints compete; beyond it their weight falls with the fourth power more.
COMPETITIVE_EDGE = 1.5
EDGE_POWER = 4
# Far behind: a first token that takes more than three times the fastest rival's and a second more, or less than 95 %
# success over at least twenty calls while a rival does better (OpenRouter's "lower priority"). Beyond half of that time the
# weight falls steadily, so that load moves away from an endpoint as it fills up, and not to and fro.
BEHIND_FACTOR = 3.0
BEHIND_SECONDS = 1.0
GOOD_SUCCESS = 0.95
MIN_CALLS = 20

Stated = tuple[Endpoint, EndpointState]


def expected_cost(endpoint: Endpoint, demand: Demand) -> int:
    """What the request would probably cost at the endpoint, in pico-dollars: what endpoints are compared by."""
    price = endpoint.price
    pico = demand.prompt_tokens * price.prompt + demand.expected_completion_tokens * price.completion + price.request
    if demand.operation is Operation.COMPLETION:
        return pico
    return (
        pico
        + demand.images * price.image
        + demand.audio_ms * price.second // 1_000
        + demand.characters * price.character
        + demand.search_units * price.search_unit
    )


def weights(states: Sequence[Stated], demand: Demand, strategy: Strategy) -> list[float]:
    """Return the weight of each endpoint; only their ratios mean anything. All are above 0."""
    if strategy == "price2":
        return [_inverse_square(float(expected_cost(endpoint, demand)), state.factor) for endpoint, state in states]
    fastest = max((state.tokens_per_second or 0.0 for _, state in states), default=0.0)
    effective = [effective_cost(endpoint, state, demand) for endpoint, state in states]
    costs = [_adjusted(cost, state, fastest) for cost, (_, state) in zip(effective, states, strict=True)]
    kept = _paces([state for _, state in states], effective)
    edge = COMPETITIVE_EDGE * min(cost for cost, pace in zip(costs, kept, strict=True) if pace > 0.0)
    return _with_exploration(
        [
            _inverse_square(cost, state.factor) * _beyond(cost, edge) * pace
            for cost, pace, (_, state) in zip(costs, kept, states, strict=True)
        ]
    )


def _beyond(cost: float, edge: float) -> float:
    return 1.0 if cost <= edge else float((edge / cost) ** EDGE_POWER)


def paces(states: Sequence[Stated], demand: Demand) -> list[float]:
    """What each endpoint keeps of its weight beside its rivals, from 1 to 0 for one that is far behind. Never all 0."""
    return _paces([state for _, state in states], [effective_cost(*pair, demand) for pair in states])


def _paces(states: Sequence[EndpointState], costs: Sequence[float]) -> list[float]:
    good = [pair for pair in zip(costs, states, strict=True) if pair[1].standing is Standing.GOOD]
    half = _limit(min((_first_token(state) for _, state in good), default=math.inf)) / 2
    if all((state.recent_first_token or 0.0) <= half and _judged_success(state) >= GOOD_SUCCESS for state in states):
        return [1.0] * len(states)
    # By cost, with the shortest time and the best success up to each.
    rivals = sorted((cost, _first_token(state), _judged_success(state)) for cost, state in good)
    ordered = [cost for cost, *_ in rivals]
    times = list(accumulate((time for _, time, _ in rivals), min, initial=math.inf))
    successes = list(accumulate((success for *_, success in rivals), max, initial=0.0))
    found = []
    for cost, state in zip(costs, states, strict=True):
        number = bisect_right(ordered, COMPETITIVE_EDGE * cost)
        found.append(_pace(state, times[number], successes[number]))
    # One may be the fastest and another the one that fails least.
    return found if any(found) else [1.0] * len(states)


def _pace(state: EndpointState, fastest: float, best_success: float) -> float:
    """The part of its weight that an endpoint keeps beside the fastest and the most reliable of its rivals."""
    if _judged_success(state) < min(GOOD_SUCCESS, best_success):
        return 0.0
    now, limit = state.recent_first_token, _limit(fastest)
    return 1.0 if now is None or math.isinf(limit) else min(1.0, max(0.0, 2.0 * (1.0 - now / limit)))


def _first_token(state: EndpointState) -> float:
    """What a first token takes now, infinite when not known: nobody is measured by it."""
    return math.inf if state.recent_first_token is None else state.recent_first_token


def _limit(fastest: float) -> float:
    return BEHIND_FACTOR * fastest + BEHIND_SECONDS


def _judged_success(state: EndpointState) -> float:
    """The success rate, good as long as there are too few calls to say."""
    return state.success if state.calls >= MIN_CALLS else 1.0


def effective_cost(endpoint: Endpoint, state: EndpointState, demand: Demand) -> float:
    """The cost in pico-dollars that a request is expected to have here, with as much of it cached as usual."""
    price = endpoint.price
    cached = demand.prompt_tokens * (state.cache_hit_rate or 0.0)
    return (
        (demand.prompt_tokens - cached) * price.prompt
        + cached * price.cached
        + demand.expected_completion_tokens * price.completion
        + price.request
    )


def _adjusted(cost: float, state: EndpointState, fastest: float) -> float:
    """The cost with what slowness and failures are worth. What is not known counts as good.

    `fastest` is the best median of tokens per second among the endpoints that are compared.
    """
    slowness = FIRST_TOKEN_PENALTY * (state.recent_first_token or 0.0) / FIRST_TOKEN_SECONDS
    if fastest > 0.0 and state.tokens_per_second is not None:
        slowness += THROUGHPUT_PENALTY * max(0.0, 1.0 - state.tokens_per_second / fastest)
    return cost * (1.0 + slowness) / max(LEAST_SUCCESS, state.success)


def _inverse_square(cost: float, factor: float) -> float:
    """A free endpoint counts as one pico-dollar, far below any real price."""
    return factor / max(cost, 1.0) ** 2


def _with_exploration(plain: Sequence[float]) -> list[float]:
    """Normalise, and raise those that would get almost nothing to their part of the exploration share."""
    total = math.fsum(plain)
    shares = [each / total for each in plain]
    least = EXPLORATION / len(shares)
    poor = sum(share < least for share in shares)
    if not poor:
        return shares
    rich = math.fsum(share for share in shares if share >= least)
    given = least * poor
    return [least if share < least else share / rich * (1.0 - given) for share in shares]
