"""Fleets and workloads worth comparing policies on. A fixed seed makes each repeatable to the last request."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from router.simulation.fleet import Behaviour, Trouble
from router.simulation.workload import Workload


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fleet under a load.

    Attributes:
        name: one word.
        about: a sentence.
        fleet: its endpoints.
        workload: who calls.
        seconds: how long requests arrive.
        degraded: whether anything goes wrong in it.
    """

    name: str
    about: str
    fleet: tuple[Behaviour, ...]
    workload: Workload = field(default=Workload())
    seconds: float = 240.0
    degraded: bool = True


_USD = 1_000_000  # pico-dollars per token for a dollar per million tokens
_ALWAYS = 1e9


def _fleet(
    cheap: tuple[Trouble, ...] = (),
    second: tuple[Trouble, ...] = (),
    third: tuple[Trouble, ...] = (),
    *,
    limit: float = math.inf,
    cheap_room: float = math.inf,
    room: float = math.inf,
    caches: bool = False,
) -> tuple[Behaviour, ...]:
    """Four providers as they are found for a popular open model: three close in price, one dear, fast and small.

    `limit` and `cheap_room` are those of the cheapest, `room` that of the second.
    """
    return (
        Behaviour("cheap", 1 * _USD, first_token=0.6, troubles=cheap, rate_limit=limit, room=cheap_room, caches=caches),
        Behaviour("second", int(1.1 * _USD), first_token=0.5, troubles=second, room=room, caches=caches),
        Behaviour("third", int(1.25 * _USD), first_token=0.45, troubles=third, caches=caches),
        Behaviour("fast", 3 * _USD, first_token=0.25, writing=200.0, room=24, caches=caches),
    )


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("calm", "Nothing goes wrong.", _fleet(), degraded=False),
    Scenario("brownout", "The cheapest takes five times as long, for two minutes.",
             _fleet((Trouble(60, 180, slower=5.0),))),
    Scenario("flaky", "The second leaves every twelfth call hanging, all the time.",
             _fleet(second=(Trouble(0, _ALWAYS, hanging=0.08),))),
    Scenario("impatient", "The same, and callers who have seen nothing after four seconds leave.",
             _fleet(second=(Trouble(0, _ALWAYS, hanging=0.08),)), Workload(patience=4.0)),
    Scenario("outage", "The cheapest hangs for two minutes, and the second has no room for all who come instead.",
             _fleet((Trouble(60, 180, hanging=1.0),), room=30)),
    Scenario("limited", "The cheapest accepts five calls a second, and the second has no room for the rest.",
             _fleet(limit=5.0, room=20)),
    Scenario("crowded", "The cheapest is the one that all want and slows down as they come.",
             _fleet(cheap_room=16, room=40), Workload(patience=30.0)),
    Scenario("mixed", "Eight close in price; two of them small, slow and now and then out of order.",
             (Behaviour("a", int(1.00 * _USD), first_token=0.6),
              Behaviour("b", int(1.02 * _USD), first_token=1.8, writing=30, troubles=(Trouble(0, 1e9, hanging=0.02),)),
              Behaviour("c", int(1.05 * _USD), first_token=0.5),
              Behaviour("d", int(1.15 * _USD), first_token=2.4, writing=25, troubles=(Trouble(100, 200, failing=1.0),)),
              Behaviour("e", int(1.15 * _USD), first_token=0.45),
              Behaviour("f", int(1.20 * _USD), first_token=0.5),
              Behaviour("g", int(1.30 * _USD), first_token=0.4),
              Behaviour("h", int(2.50 * _USD), first_token=0.2, writing=200))),
    Scenario("conversations", "Chats of ten turns whose prompts are cached; the third is five times as slow for two minutes.",
             _fleet(third=(Trouble(60, 180, slower=5.0),), caches=True), Workload(turns=10)),
    Scenario("everything", "A brownout of the cheapest, an outage of the second and a rate limit at once.",
             _fleet((Trouble(30, 150, slower=5.0),), (Trouble(100, 180, hanging=1.0),), limit=8.0, room=40)),
)  # fmt: skip
