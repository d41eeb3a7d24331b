"""A clock that stands still until it is told to go on."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta


class ManualClock:
    """A `Clock` for tests: `advance` moves the time and wakes who sleeps until then, in order."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0
        self._arrived = asyncio.Event()

    def now(self) -> datetime:
        """The start plus what was advanced."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds that were advanced."""
        return self._elapsed

    @property
    def sleepers(self) -> int:
        """How many are asleep."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Return when the clock was advanced by so many seconds; at once (but after other tasks ran) for 0 and below."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._count, future))
        self._arrived.set()
        await future

    async def wait_for_sleepers(self, count: int = 1) -> None:
        """Return when at least `count` are asleep."""
        while self.sleepers < count:
            self._arrived.clear()
            await self._arrived.wait()

    async def advance(self, by: float | timedelta) -> None:
        """Move the time, waking sleepers at their instants; each one's task runs before the next wakes."""
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        target = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            instant, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self._elapsed = max(self._elapsed, instant)
            future.set_result(None)
            await _let_others_run()
        self._elapsed = target
        await _let_others_run()


async def _let_others_run() -> None:
    # A woken task goes through a few callbacks until it waits again.
    for _ in range(10):
        await asyncio.sleep(0)
