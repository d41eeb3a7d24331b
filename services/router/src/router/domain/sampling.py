"""Which endpoints of a model with very many are looked at for one request.

Weighing costs some ten microseconds an endpoint, so a model with a thousand would cost more to choose for than to call. Beyond
`MANY` endpoints a request looks at a random sample that has `ENOUGH` in good standing, and shares the traffic out among these: the
"power of d choices" (Mitzenmacher, 2001), by which the best of a few drawn at random comes close to the best of all. When few are in
good standing, or few can serve the request, the sample grows until it has enough of them or has seen all, so nothing that can serve
is missed, and a request that nothing can serve is told every reason.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from datetime import datetime
from random import Random

from contracts.catalog import Endpoint, Model
from contracts.ids import EndpointId
from dialects.parameters import supports
from router.domain.demand import Demand
from router.domain.eligibility import Exclusion, partition, soft_parameters
from router.domain.health_view import EndpointState, Standing
from router.domain.ranking import Continuation

# The longest list of providers of a real model is 15; above that weighing all of them exceeds 200 microseconds.
MANY = 16
# Three times the attempts that a request makes. 10 of 1,000 take 150 microseconds, and the cheapest of 10 drawn is among the
# cheapest fifth of all in 89 of 100 draws.
ENOUGH = 10


def looks_at_all(model: Model, demand: Demand) -> bool:
    """Whether every endpoint must be seen: there are few, or what is asked is about all (an order, the best by a figure, a tier)."""
    return len(model.endpoints) <= MANY or bool(demand.order or demand.sort or demand.pooled or demand.tier)


def sample(
    model: Model,
    demand: Demand,
    credentials: Container[str],
    state_of: Callable[[Endpoint], EndpointState],
    random: Random,
    *,
    at: datetime,
    continuation: Continuation | None = None,
) -> tuple[list[Endpoint], list[Exclusion]]:
    """Draw endpoints until enough of those that can serve the request are in good standing.

    Args:
        model: the model.
        demand: what the request asks.
        credentials: slugs of the providers that can be called.
        state_of: what is known of an endpoint.
        random: decides the draws.
        at: the time, with a zone.
        continuation: the conversation: it gets the same draws at every turn, and the endpoint that answered it last is looked at.

    Returns:
        The drawn endpoints that can serve the request, and the drawn ones that cannot.
    """
    # The source of a conversation is its own, so that every router draws the same.
    source = random if continuation is None else Random(continuation.key)  # noqa: S311 - spreads load, guards nothing
    soft = soft_parameters(demand)
    eligible: list[Endpoint] = []
    excluded: list[Exclusion] = []
    good = 0
    for endpoint in _drawn(model.endpoints, source, None if continuation is None else continuation.last):
        can, cannot = partition(model, (endpoint,), demand, credentials, at)
        eligible += can
        excluded += cannot
        if (
            can
            and state_of(endpoint).standing is Standing.GOOD
            and all(supports(parameter, endpoint.supported_parameters) for parameter in soft)
        ):
            good += 1
            if good == ENOUGH:
                break
    return eligible, excluded


def _drawn(endpoints: Sequence[Endpoint], source: Random, first: EndpointId | None) -> Iterator[Endpoint]:
    """Every endpoint once, in random order, each drawn only when it is asked for; `first` in front, if it is one of them."""
    seen: set[int] = set()
    if first is not None:
        seen.update(index for index, endpoint in enumerate(endpoints) if endpoint.id == first)
        yield from (endpoints[index] for index in seen.copy())
    count = len(endpoints)
    # Up to half of them, a draw is new at least every second time; after that it is cheaper to shuffle the rest.
    while 2 * len(seen) < count:
        index = int(source.random() * count)
        if index not in seen:
            seen.add(index)
            yield endpoints[index]
    rest = [index for index in range(count) if index not in seen]
    source.shuffle(rest)
    yield from (endpoints[index] for index in rest)
