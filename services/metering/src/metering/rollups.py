"""Keeps the rollups up to date: whatever came since the last look is found by when it was inserted, not by when it began."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

from metering.domain.errors import UsageLogError
from metering.domain.rollups import RULES, SETTLING, Rollup, RollupProgress, RollupStore, UnixSeconds, in_statements
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)

_SETTLING_S: Final = int(SETTLING.total_seconds())


class Rollups(Component):
    """Looks for new rows, and adds their buckets up anew.

    Several instances may do it at once: a bucket that is added up twice is the same. So the instances that read usage
    events do it, and usually one does.
    """

    name = "rollups"

    def __init__(
        self, store: RollupStore, clock: Clock, interval: timedelta, *, is_in_charge: Callable[[], bool]
    ) -> None:
        """Make the component.

        Args:
            store: keeps them.
            clock: to wait with.
            interval: between two looks.
            is_in_charge: whether this instance is to do it now.
        """
        self._store = store
        self._clock = clock
        self._interval_s = interval.total_seconds()
        self._is_in_charge = is_in_charge
        self._stopping = asyncio.Event()
        self._failing = False

    async def run(self) -> None:
        """Look again and again until `stop`."""
        while not self._stopping.is_set():
            if self._is_in_charge():
                await self._try()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._stopping.wait()

    async def stop(self, grace: timedelta) -> None:
        """Stop looking."""
        self._stopping.set()

    async def refresh(self, *rollups: Rollup) -> int:
        """Bring rollups, or all of them, up to date, and say how many buckets were added up.

        Raises:
            UsageLogError: the store cannot be reached; what was done is not lost.
        """
        return sum([await self._refresh(rollup) for rollup in rollups or Rollup])

    async def _refresh(self, rollup: Rollup) -> int:
        rule = RULES[rollup]
        now = await self._store.now()
        before = await self._store.progress(rollup)
        # A bucket that is over may still get rows from inserts that are under way: those are found by their insertion.
        over = UnixSeconds(now - now % rule.seconds) if rule.closed_only else UnixSeconds(now + rule.seconds)
        buckets = await self._store.touched(
            rollup, UnixSeconds(before.seen_until - _SETTLING_S), (before.closed_until, over), over
        )
        done = 0
        for some in in_statements(buckets, rule):
            if self._stopping.is_set():
                return done
            await self._store.rebuild(rollup, some)
            done += len(some)
        closed_until = over if rule.closed_only else UnixSeconds(now - now % rule.seconds)
        await self._store.advance(rollup, RollupProgress(now, closed_until))
        return len(buckets)

    async def _try(self) -> None:
        try:
            await self.refresh()
        except UsageLogError as error:
            if not self._failing:
                _log.warning("rollups.failed", error=type(error).__name__, reason=str(error))
            self._failing = True
        else:
            self._failing = False
