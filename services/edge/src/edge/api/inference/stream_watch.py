"""Looks after the streams that are open: a comment for those with nothing to say, an end for readers that take nothing.

One loop for all of them, so that a stream itself costs no timer and no task.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final, Protocol

from servicekit.clock import Clock
from servicekit.lifecycle import Component

_TICKS_PER_INTERVAL: Final = 8
_MAX_TICK_S: Final = 0.25
# A comment is written at once or not at all.
_WRITE_S: Final = 0.05


class OpenStream(Protocol):
    """A stream that is looked after; times are by the monotonic clock."""

    last_write_s: float
    blocked_since_s: float | None

    async def keep_alive(self) -> None:
        """Send a comment."""
        ...

    def abort(self) -> None:
        """Close the connection at once."""
        ...

    def abandon(self) -> None:
        """End the answer with an error, because the process ends."""
        ...


class StreamWatch(Component):
    """Looks after open streams."""

    name = "stream-watch"

    def __init__(self, clock: Clock, keep_alive: timedelta, reader_timeout: timedelta) -> None:
        """Make a watch.

        Args:
            clock: tells how long a stream has been silent.
            keep_alive: without an event until a comment is sent.
            reader_timeout: for a reader that takes nothing.
        """
        self._clock = clock
        self._keep_alive_s = keep_alive.total_seconds()
        self._reader_timeout_s = reader_timeout.total_seconds()
        self._streams: set[OpenStream] = set()
        self._stopping = asyncio.Event()

    def add(self, stream: OpenStream) -> None:
        """Look after a stream from now on."""
        self._streams.add(stream)

    def remove(self, stream: OpenStream) -> None:
        """Leave a stream alone."""
        self._streams.discard(stream)

    def abandon_all(self) -> None:
        """End every stream with an error."""
        for stream in list(self._streams):
            stream.abandon()

    async def run(self) -> None:
        """Look at the streams several times in each interval."""
        tick = min(self._keep_alive_s / _TICKS_PER_INTERVAL, _MAX_TICK_S)
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._look_often(tick))
            await self._stopping.wait()
            looking.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Stop looking."""
        self._stopping.set()

    async def _look_often(self, tick: float) -> None:
        while True:
            await self._clock.sleep(tick)
            await self.look()

    async def look(self) -> None:
        """Look at every stream once."""
        now = self._clock.monotonic()
        for stream in list(self._streams):
            if stream.blocked_since_s is not None:
                if now - stream.blocked_since_s >= self._reader_timeout_s:
                    stream.abort()
            elif now - stream.last_write_s >= self._keep_alive_s:
                try:
                    async with asyncio.timeout(_WRITE_S):
                        await stream.keep_alive()
                except (ConnectionError, TimeoutError):
                    # Its own loop learns of it by its next write, or by the end of the connection.
                    continue
