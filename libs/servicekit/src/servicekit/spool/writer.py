"""The thread that makes entries durable: what has come in while one fsync ran is written and synced by the next."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.spool import acks, segments
from servicekit.spool.acks import Published
from servicekit.spool.segments import Segment


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """Bounds of the spool.

    Attributes:
        capacity_bytes: of all its files. At REFUSE_SHARE of it new work is refused.
        segment_bytes: size after which a new file is begun.
        retention: how long published entries are kept, to be sent again when the cluster is replaced.
    """

    capacity_bytes: int = 1024 * 1024 * 1024
    segment_bytes: int = 8 * 1024 * 1024
    retention: timedelta = timedelta(hours=1)


REFUSE_SHARE = 0.8
# From here on published entries go before their time is up: room for new work is worth more than a second copy.
_SQUEEZE_SHARE = 0.5
_HOUSEKEEPING_SECONDS = 1.0

Done = Callable[[int, OSError | None], None]


class SpoolWriter:
    """Owns the files. `submit` and `publish` may be called from any thread; `done` is called from the writer's own."""

    def __init__(
        self,
        directory: Path,
        prefix: str,
        found: Sequence[Segment],
        limits: SpoolLimits,
        clock: Clock,
        failpoints: Failpoints,
        done: Done,
    ) -> None:
        """Make the writer.

        Args:
            directory: of the files.
            prefix: of their names.
            found: what is there already, oldest first; none of them is written to again.
            limits: of the spool.
            clock: for the age of files.
            failpoints: where a test kills the process.
            done: called with the number of entries that are durable now, or that failed with an error, in order.
        """
        self._directory = directory
        self._prefix = prefix
        self._limits = limits
        self._clock = clock
        self._failpoints = failpoints
        self._done = done
        self._sealed = list(found)
        self._sealed_bytes = sum(segment.size for segment in found)
        self._current: Segment | None = None
        self._descriptor = -1
        self._next = found[-1].last + 1 if found else 1
        self._wake = threading.Condition()
        self._pending: list[bytes] = []
        self._stopping = False
        self._published = Published()
        self._saved = Published()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name=f"{prefix}-spool", daemon=True)

    def start(self, published: Published) -> None:
        """Begin a file and start the thread.

        Raises:
            OSError: the file cannot be made.
        """
        self._published = self._saved = published
        self._begin_segment()
        self._thread.start()

    def submit(self, framed: bytes) -> None:
        """Hand over an entry."""
        with self._wake:
            self._pending.append(framed)
            self._wake.notify()

    def publish(self, published: Published) -> None:
        """Note how far entries are published; written down within a second."""
        self._published = published

    def stop(self) -> None:
        """Write what is pending, close the files, end the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    @property
    def failure(self) -> OSError | None:
        """The error that keeps entries from becoming durable; None when all is well."""
        return self._failure

    @property
    def size(self) -> int:
        """Bytes of all files."""
        current = self._current
        return self._sealed_bytes + (current.size if current is not None else 0)

    def segments(self) -> list[Segment]:
        """All files, oldest first."""
        current = self._current
        return [*self._sealed, current] if current is not None else [*self._sealed]

    def _run(self) -> None:
        house_kept_at = self._clock.monotonic()
        while True:
            with self._wake:
                if not self._pending and not self._stopping:
                    self._wake.wait(_HOUSEKEEPING_SECONDS)
                batch, self._pending = self._pending, []
                stopping = self._stopping
            if batch:
                self._done(len(batch), self._write(batch))
            now = self._clock.monotonic()
            if stopping or now - house_kept_at >= _HOUSEKEEPING_SECONDS:
                house_kept_at = now
                self._keep_house()
            if stopping and not batch:
                self._seal()
                return

    def _write(self, batch: Sequence[bytes]) -> OSError | None:
        try:
            if self._current is None:
                self._begin_segment()
            current = self._current
            if current is None:
                raise OSError("no segment")
            data = b"".join(batch)
            self._failpoints.reach("spool.writing")
            _write_all(self._descriptor, data)
            self._failpoints.reach("spool.written")
            os.fdatasync(self._descriptor)
            self._failpoints.reach("spool.synced")
            current.size += len(data)
            current.last += len(batch)
            current.modified_at = self._clock.now().timestamp()
            self._next = current.last + 1
        except OSError as error:
            self._abandon(error)
            # Numbers of entries that failed are not given again: their bytes may be in the file after all.
            self._next += len(batch)
            return error
        self._failure = None
        if current.size >= self._limits.segment_bytes:
            self._seal()
        return None

    def _require_room(self) -> None:
        """A disk that is nearly full takes the head of a file and then not its entries, so it is asked before.

        Raises:
            OSError: there is no room for a whole segment.
        """
        status = os.statvfs(self._directory)
        if status.f_bavail * status.f_frsize < self._limits.segment_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _begin_segment(self) -> None:
        self._require_room()
        self._descriptor, path = segments.create(self._directory, self._prefix, self._next)
        now = self._clock.now().timestamp()
        self._current = Segment(path, self._next, self._next - 1, segments.HEAD_BYTES, now)

    def _seal(self) -> None:
        current, self._current = self._current, None
        if current is not None:
            self._sealed.append(current)
            self._sealed_bytes += current.size
            os.close(self._descriptor)

    def _abandon(self, error: OSError) -> None:
        """Leave a file whose state is unknown. After a failed fsync the kernel forgets what it could not write, so a
        second fsync of the same file would succeed without meaning anything."""
        self._failure = error
        current = self._current
        if current is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, current.size)
            with contextlib.suppress(OSError):
                self._seal()

    def _keep_house(self) -> None:
        try:
            if self._current is None:
                self._begin_segment()
            else:
                self._require_room()
            self._failure = None
            current = self._current
            if current is not None and current.last >= current.first and self._age(current) > self._limits.retention:
                self._seal()
            if self._published != self._saved:
                published = self._published
                acks.save(self._directory, published)
                self._saved = published
            self._remove_published()
        except OSError as error:
            self._failure = error

    def _age(self, segment: Segment) -> timedelta:
        return timedelta(seconds=self._clock.now().timestamp() - segment.modified_at)

    def _remove_published(self) -> None:
        """Remove files whose entries are all published (and known to be, after a restart too), oldest first."""
        while self._sealed and self._sealed[0].last <= self._saved.through:
            crowded = self.size > self._limits.capacity_bytes * _SQUEEZE_SHARE
            if not crowded and self._age(self._sealed[0]) <= self._limits.retention:
                return
            self._sealed[0].path.unlink(missing_ok=True)
            self._sealed_bytes -= self._sealed[0].size
            del self._sealed[0]


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
