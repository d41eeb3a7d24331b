"""A write-ahead log of what was begun and has not ended, so that a process that is killed does not forget it.

Every note is in the kernel's hands before `begin` returns: a killed process (`kill -9`, out of memory) loses nothing. The disk
follows within `SYNC_SECONDS`, so a machine that loses its power may lose the notes of these last milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)

SYNC_SECONDS: Final = 0.005
REFUSE_SHARE: Final = 0.8
POINTS: Final = (
    "journal.opening",  # nothing is written, nothing has begun
    "journal.opened",  # the note is written, nothing has begun
    "journal.ended",  # the end is written, memory does not know yet
)
"""The places at which a test can kill a process that has a journal."""

_NAME: Final = "journal-{:020d}.log"
_FRAME: Final = struct.Struct(">II")
_HEAD: Final = struct.Struct(">BH")
_BEGIN: Final = 1
_END: Final = 2
_MAX_ENTRY: Final = 64 * 1024


class JournalError(Exception):
    """A note could not be written, so nothing may begin."""


@dataclass(slots=True)
class _Segment:
    path: Path
    number: int
    size: int = 0
    open: int = 0


class Journal(Component):
    """Notes in a directory, of which it is the only user. Not for several threads."""

    name = "journal"

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        capacity_bytes: int = 256 * 1024 * 1024,
        segment_bytes: int = 4 * 1024 * 1024,
        failpoints: Failpoints | None = None,
    ) -> None:
        """Make a journal.

        Args:
            directory: made when it is missing.
            clock: paces the disk.
            capacity_bytes: of all files. At REFUSE_SHARE of it nothing new is accepted.
            segment_bytes: after which a new file is begun. A file goes once everything in it and before it has ended.
            failpoints: where a test kills the process, of `POINTS`.
        """
        self._directory = directory
        self._clock = clock
        self._capacity = capacity_bytes
        self._segment_bytes = segment_bytes
        self._failpoints = failpoints or Failpoints()
        self._segments: list[_Segment] = []
        self._open: dict[str, _Segment] = {}
        self._left: dict[str, bytes] = {}
        self._descriptor = -1
        self._lock = -1
        self._written = asyncio.Event()
        self._stopping = False
        self._failing = False

    @property
    def left(self) -> Mapping[str, bytes]:
        """What an earlier process began and did not end: the note of each by its key. As of `start`."""
        return self._left

    @property
    def accepting(self) -> bool:
        """Whether something new may begin."""
        return self._descriptor >= 0 and not self._failing and self.size < self._capacity * REFUSE_SHARE

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(segment.size for segment in self._segments)

    @property
    def open(self) -> int:
        """How many have begun and not ended, earlier processes' too."""
        return len(self._open)

    async def start(self) -> None:
        """Read what is there.

        Raises:
            OSError: the directory cannot be used, or another process uses it.
        """
        await asyncio.to_thread(self._recover)

    def begin(self, key: str, note: bytes) -> None:
        """Note that something begins; returns once a kill cannot undo it.

        Raises:
            JournalError: the note is not written, or there is no room for it.
        """
        if not self.accepting and not self._retry():
            raise JournalError("the journal takes nothing")
        self._failpoints.reach("journal.opening")
        segment = self._write(_BEGIN, key, note)
        if segment is None:
            raise JournalError("the journal could not be written")
        segment.open += 1
        self._open[key] = segment
        self._failpoints.reach("journal.opened")

    def end(self, key: str) -> None:
        """Note that it has ended. What is not open is ignored. Where it cannot be written, a later process meets it again."""
        segment = self._open.pop(key, None)
        if segment is None:
            return
        self._write(_END, key, b"")
        self._failpoints.reach("journal.ended")
        segment.open -= 1
        self._tidy()

    async def run(self) -> None:
        """Bring what was written to the disk, a few milliseconds behind."""
        while not self._stopping:
            await self._written.wait()
            await self._clock.sleep(SYNC_SECONDS)
            self._written.clear()
            descriptor = self._descriptor
            if descriptor >= 0:
                try:
                    await asyncio.to_thread(os.fdatasync, descriptor)
                except OSError as error:
                    if descriptor == self._descriptor:  # else it was closed, synced, for the next file
                        self._fail(error)

    async def stop(self, grace: timedelta) -> None:
        """Close the files."""
        self._stopping = True
        self._written.set()
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(os.fdatasync, self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def in_flight(self) -> int:
        """How many have begun and not ended."""
        return len(self._open)

    def _recover(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OSError(f"{self._directory} is in use by another process") from None
        for path in sorted(self._directory.glob("journal-*.log")):
            segment = _Segment(path, int(path.stem.partition("-")[2]), path.stat().st_size)
            self._segments.append(segment)
            for kind, key, note in _entries(path.read_bytes()):
                if kind == _BEGIN:
                    segment.open += 1
                    self._open[key], self._left[key] = segment, note
                elif key in self._open:
                    self._open.pop(key).open -= 1
                    del self._left[key]
        self._begin_segment()
        self._tidy()
        _log.info("journal.opened", files=len(self._segments), left=len(self._left))

    def _begin_segment(self) -> None:
        number = self._segments[-1].number + 1 if self._segments else 1
        path = self._directory / _NAME.format(number)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._segments.append(_Segment(path, number))

    def _write(self, kind: int, key: str, note: bytes) -> _Segment | None:
        name = key.encode()
        payload = _HEAD.pack(kind, len(name)) + name + note
        data = _FRAME.pack(len(payload), zlib.crc32(payload)) + payload
        segment = self._segments[-1]
        try:
            if self._descriptor < 0:
                raise OSError("the journal is closed")
            if os.write(self._descriptor, data) != len(data):
                raise OSError("a note was written in part")
        except OSError as error:
            self._fail(error)
            return None
        segment.size += len(data)
        self._written.set()
        if segment.size >= self._segment_bytes:
            self._roll()
        return segment

    def _roll(self) -> None:
        """Go on in a new file. Where there can be none, the old one grows on."""
        descriptor = self._descriptor
        try:
            self._begin_segment()
        except OSError as error:
            _log.warning("journal.roll_failed", error=error.strerror or type(error).__name__)
            return
        with contextlib.suppress(OSError):
            os.fdatasync(descriptor)
        os.close(descriptor)

    def _fail(self, error: OSError) -> None:
        """Leave a file whose end is unknown: a reader stops at what was written in part, and would miss what follows."""
        _log.error("journal.write_failed", error=error.strerror or str(error))
        self._failing = True

    def _retry(self) -> bool:
        """Try another file after a failure."""
        if not self._failing or self._stopping or self._descriptor < 0:
            return False
        descriptor = self._descriptor
        try:
            self._begin_segment()
        except OSError:
            return False
        os.close(descriptor)
        self._failing = False
        return self.accepting

    def _tidy(self) -> None:
        """Remove files in whose entries nothing is open, oldest first: an end never goes before its beginning."""
        while len(self._segments) > 1 and not self._segments[0].open:
            self._segments.pop(0).path.unlink(missing_ok=True)


def _entries(data: bytes) -> Iterator[tuple[int, str, bytes]]:
    """Read whole entries up to the first torn one."""
    at = 0
    while at + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, at)
        at += _FRAME.size
        payload = data[at : at + length]
        if not _HEAD.size <= length <= _MAX_ENTRY or len(payload) < length or zlib.crc32(payload) != checksum:
            return
        kind, name = _HEAD.unpack_from(payload)
        key = payload[_HEAD.size : _HEAD.size + name].decode()
        yield kind, key, payload[_HEAD.size + name :]
        at += length
