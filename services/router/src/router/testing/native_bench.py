"""A router's inside over providers that speak dialects of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from router.attempt import Patience
from router.testing.scripted_provider import Script, ScriptedProvider
from router.testing.wires import WIRES, Wire
from router.testing.workbench import Workbench

NAMES = list(WIRES)
# Far beyond every limit that tests set: a wait that nothing ends fails there and does not hold up the run.
HANG_SECONDS = 20.0
# Where a provider says nothing. Long enough for the one beside it, which answers on the same busy machine.
SHORT = Patience(first_token=1.5, stall=1.5, answer=1.5, usage=1.5)


def other_than(wire: Wire, step: int = 1) -> Wire:
    """Another dialect: what is sent to a second provider then cannot be a copy of what was sent to the first."""
    return WIRES[NAMES[(NAMES.index(wire.dialect) + step) % len(NAMES)]]


@dataclass(frozen=True)
class Place:
    """A provider: its dialect, and what it does; or, in the place of that, the origin where it should be."""

    wire: Wire
    at: Script | str


@dataclass(frozen=True)
class Reached:
    """The inside of the router, and the providers that were started for it, in the order of their prices."""

    router: Workbench
    providers: Sequence[ScriptedProvider]


class OpenNativeBench(Protocol):
    """Makes a router's inside over providers a, b, c ... of rising prices."""

    async def __call__(self, *by_price: Place, patience: Patience = ...) -> Reached:
        """Make it for the rest of the test."""
        ...
