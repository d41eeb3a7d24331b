"""Keys that were found by their digests under the previous pepper move to those under the current one, beside the requests."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final, Protocol

from opentelemetry.metrics import Meter

from edge.domain.errors import EdgeError
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec

_log = get_logger(__name__)

MOVED: Final = CounterSpec("edge.keys.moved", "{key}", "Keys that this edge had moved to the current pepper.")
# What accounts takes in one call.
_TOGETHER: Final = 100
_MAX_KEYS: Final = 10_000
_LOOK_S: Final = 0.5
# After an outage or a refusal: keys do not move before every process has both peppers.
_BACKOFF_S: Final = 30.0
# A key that is still used under its previous digest this long after it was moved is asked about once more.
_AGAIN_S: Final = 60.0


class KeyMover(Protocol):
    """Has keys looked up by their digests under the current pepper."""

    async def move(self, digests: Mapping[str, str]) -> int:
        """Move keys, 100 at most: from their digests under the previous pepper to those under the current one.

        Returns:
            How many were moved; what had moved before or is gone is not among them.

        Raises:
            RefusedError: the owner of the keys has other peppers.
            DependencyError: nobody answered.
        """
        ...


class KeyMoves(Component):
    """Notes keys and has them moved, some at a time. What there is no room for is noted when the key is used again."""

    name = "key-moves"

    def __init__(self, mover: KeyMover, clock: Clock, meter: Meter) -> None:
        """Make the component.

        Args:
            mover: asks the owner of the keys.
            clock: paces the questions.
            meter: counts what was moved.
        """
        self._mover = mover
        self._clock = clock
        self._moved = MOVED.create(meter)
        self._waiting: OrderedDict[str, str] = OrderedDict()
        # When those that were asked about may be noted again, by the monotonic clock; the oldest first.
        self._asked: OrderedDict[str, float] = OrderedDict()
        self._stopping = asyncio.Event()

    def note(self, previous: str, digest: str) -> None:
        """Remember that a key has to move from one digest to another."""
        if previous in self._asked or len(self._waiting) >= _MAX_KEYS:
            return
        self._waiting[previous] = digest

    async def run(self) -> None:
        """Have keys moved until `stop`."""
        while not self._stopping.is_set():
            pause = _LOOK_S
            try:
                await self.move_waiting()
            except EdgeError as error:
                _log.warning("keys.move_deferred", error=type(error).__name__, reason=str(error))
                pause = _BACKOFF_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def stop(self, grace: timedelta) -> None:
        """Ask no more. What waits is noted again by whoever uses it."""
        self._stopping.set()

    async def move_waiting(self) -> None:
        """Have everything that waits moved.

        Raises:
            EdgeError: the owner of the keys refused or did not answer; the rest waits on.
        """
        now = self._clock.monotonic()
        while self._asked and next(iter(self._asked.values())) <= now:
            self._asked.popitem(last=False)
        while self._waiting:
            moves = dict(list(self._waiting.items())[:_TOGETHER])
            moved = await self._mover.move(moves)
            self._moved.add(moved)
            _log.info("keys.moved", count=moved, asked=len(moves))
            for previous in moves:
                del self._waiting[previous]
                self._asked[previous] = now + _AGAIN_S
            while len(self._asked) > _MAX_KEYS:
                self._asked.popitem(last=False)
