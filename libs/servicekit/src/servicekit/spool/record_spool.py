"""Records on local disk until Kafka has them: durable once `keep` is done, and kept a while longer, to be sent again."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import deque
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path

from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.spool import acks, segments
from servicekit.spool.acks import Published
from servicekit.spool.reader import SpoolReader
from servicekit.spool.segments import SpoolEntry
from servicekit.spool.writer import REFUSE_SHARE, SpoolLimits, SpoolWriter

_log = get_logger(__name__)

# Entries that are kept in memory too, so that the publisher need not read what was just written.
_RECENT_ENTRIES = 4_096


class SpoolError(Exception):
    """A record could not be made durable."""


class RecordSpool(Component):
    """Records in a directory, of which it is the only user."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        limits: SpoolLimits,
        *,
        prefix: str = "records",
        failpoints: Failpoints | None = None,
        error: type[Exception] = SpoolError,
    ) -> None:
        """Make a spool.

        Args:
            directory: made when it is missing.
            clock: for the age of files.
            limits: of the directory.
            prefix: of the names of its files.
            failpoints: where a test kills the process, of `POINTS`.
            error: what is raised when a record could not be made durable.
        """
        self.name = f"{prefix}-spool"
        self._directory = directory
        self._prefix = prefix
        self._clock = clock
        self._limits = limits
        self._failpoints = failpoints or Failpoints()
        self._error = error
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = -1
        self._writer: SpoolWriter | None = None
        self._reader = SpoolReader()
        self._waiting: deque[tuple[asyncio.Future[None], bytes]] = deque()
        self._recent: deque[tuple[int, bytes]] = deque(maxlen=_RECENT_ENTRIES)
        self._submitted = 0
        self._durable = 0
        self._arrived = asyncio.Event()
        self.published = Published()

    async def start(self) -> None:
        """Read what is there.

        Raises:
            OSError: the directory cannot be used, or another process uses it.
        """
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OSError(f"{self._directory} is in use by another process") from None
        found = segments.recover(self._directory, self._prefix)
        self.published = acks.load(self._directory)
        last = found[-1].last if found else 0
        if self.published.through > last:
            # The files are not those that the note was made of.
            self.published = Published()
        self._submitted = self._durable = last
        self._writer = SpoolWriter(
            self._directory, self._prefix, found, self._limits, self._clock, self._failpoints, self._on_done
        )
        self._writer.start(self.published)
        _log.info(
            "spool.opened",
            spool=self._prefix,
            segments=len(found),
            entries=sum(segment.last - segment.first + 1 for segment in found),
            unpublished=last - self.published.through,
            torn_bytes=sum(segment.torn_bytes for segment in found),
        )

    @property
    def accepting(self) -> bool:
        """Whether there is room for further work, and the disk takes it."""
        writer = self._writer
        return (
            writer is not None and writer.failure is None and writer.size < self._limits.capacity_bytes * REFUSE_SHARE
        )

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return self._writer.size if self._writer is not None else 0

    def keep(self, entry: SpoolEntry) -> Awaitable[None]:
        """Keep a record. Need not be awaited; awaiting it raises the spool's error when it could not be made durable."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Not everybody waits for it, and asyncio complains of errors that nobody has seen.
        future.add_done_callback(_see)
        if self._writer is None:
            future.set_exception(self._error("the spool is closed"))
            return future
        framed = segments.frame(entry.key, entry.headers, entry.value)
        self._waiting.append((future, framed))
        self._writer.submit(framed)
        return future

    def _on_done(self, count: int, error: OSError | None) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._resolve, count, error)

    def _resolve(self, count: int, error: OSError | None) -> None:
        if error is not None:
            _log.error(
                "spool.write_failed", spool=self._prefix, entries=count, error=error.strerror or type(error).__name__
            )
        for _ in range(count):
            future, framed = self._waiting.popleft()
            self._submitted += 1
            if error is None:
                self._recent.append((self._submitted, framed))
            if future.cancelled():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(self._error("the record could not be written"))
        if error is None:
            self._durable = self._submitted
            self._arrived.set()

    @property
    def backlog(self) -> int:
        """Entries that are durable and not published."""
        return max(0, self._durable - self.published.through)

    async def read_after(self, number: int, limit: int) -> Sequence[tuple[int, SpoolEntry]]:
        """Return the next durable entries after a number, at most `limit`; wait for one if need be.

        Numbers ascend; some may be missing. For one reader, which asks for what it has not had, or begins anew.
        """
        while True:
            while self._durable <= number:
                self._arrived.clear()
                await self._arrived.wait()
            recent = self._recent
            while recent and recent[0][0] <= number:
                recent.popleft()
            if recent and recent[0][0] == number + 1:
                found = [(each, segments.entry_of(framed)) for each, framed in islice(recent, limit)]
            else:
                files = self._writer.segments() if self._writer is not None else []
                found = await asyncio.to_thread(self._reader.read, files, number, self._durable, limit)
            if found:
                return found
            # Whatever had these numbers did not become durable.
            number = self._durable

    def note_published(self, published: Published) -> None:
        """Note how far the entries are published."""
        self.published = published
        if self._writer is not None:
            self._writer.publish(published)

    async def stop(self, grace: timedelta) -> None:
        """Make what is pending durable and close the files."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.to_thread(writer.stop)
            # Let the last results come through from the writer's thread.
            await asyncio.sleep(0)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def in_flight(self) -> int:
        """Entries that are not durable yet."""
        return len(self._waiting)


def _see(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()
