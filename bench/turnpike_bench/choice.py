"""`python -m turnpike_bench.choice`: what choosing an endpoint costs, by the size of the catalogue and of the model."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from contracts.catalog import Catalog
from contracts.ids import EndpointId
from dialects.chat import decode_chat_request
from router.domain.demand import demand_of
from router.domain.health_view import EndpointState, FleetHealth, Showing
from router.domain.ranking import Continuation
from router.domain.selection import choose
from router.domain.stickiness import conversation_of
from turnpike_bench.catalogs import made_up_catalog

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = b'{"model":"bench/m0","messages":[{"role":"user","content":"What does a choice cost?"}],"max_tokens":100}'
# (models, endpoints of each); the last is one model with a thousand.
SIZES = ((10, 4), (250, 4), (2_500, 4), (1, 15), (67, 15), (1, 1_000))


@dataclass(frozen=True)
class ChoiceCost:
    """CPU of one choice in microseconds: the choice alone, and with reading the demand off a request."""

    models: int
    endpoints: int
    choice_us: float
    with_demand_us: float


def measure(models: int, endpoints: int, *, rounds: int = 2_000) -> ChoiceCost:
    """Measure choices in a catalogue with live health figures for every endpoint of the model."""
    catalog = made_up_catalog(models, endpoints)
    health = _warmed(catalog)
    request = decode_chat_request(REQUEST)
    demand, random = demand_of(request), Random(1)
    credentials = frozenset(catalog.providers)

    def state_of(endpoint_id: EndpointId) -> EndpointState:
        return health.state(endpoint_id, 100.0, NOW, 20)

    def once() -> None:
        choose(catalog, demand, credentials, state_of, random, at=NOW)

    def whole() -> None:
        conversation = conversation_of(request, "org")
        choose(
            catalog,
            demand_of(request),
            credentials,
            state_of,
            random,
            at=NOW,
            continuation=Continuation(conversation.key),
        )

    return ChoiceCost(models, models * endpoints, _cpu_us(once, rounds), _cpu_us(whole, rounds))


def _warmed(catalog: Catalog) -> FleetHealth:
    """Health with a few answers of every endpoint of the first model."""
    health = FleetHealth(Random(1), lambda _: None)
    for endpoint in next(iter(catalog.models.values())).endpoints:
        for number in range(30):
            dispatch = health.dispatched(endpoint.id, 70.0 + number, stream=True)
            health.showed_life(dispatch, 70.5 + number, 0.5, 20)
            health.succeeded(dispatch, 70.9 + number, Showing(tokens_per_second=80.0))
    return health


def _cpu_us(call: Callable[[], None], rounds: int) -> float:
    """CPU of one call in microseconds: the best of five series, because what else the machine does only ever adds."""
    series = max(1, rounds // 5)
    for _ in range(100):
        call()
    best = math.inf
    for _ in range(5):
        start = time.process_time()
        for _ in range(series):
            call()
        best = min(best, (time.process_time() - start) / series)
    return best * 1e6


def table(costs: Sequence[ChoiceCost]) -> str:
    """Show the costs."""
    lines = [f"{'models':>8}{'endpoints':>11}{'choice µs':>11}{'with demand µs':>16}"]
    lines += [
        f"{each.models:>8}{each.endpoints:>11}{each.choice_us:>11.1f}{each.with_demand_us:>16.1f}" for each in costs
    ]
    return "\n".join(lines)


def main() -> int:
    print(table([measure(models, endpoints) for models, endpoints in SIZES]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
