"""The format of the spool's files, and its reading.

A segment is a head (magic, number of its first entry) and entries one after another, each with its length and a CRC-32 of
its bytes. It is only ever appended to. A process that is killed leaves at most one torn entry, at the end; a reader stops
there, and the next process begins a new segment.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

MAGIC = b"TPSPOOL\x01"
_HEAD = struct.Struct(">8sQ")
_FRAME = struct.Struct(">II")
HEAD_BYTES = _HEAD.size
# A length beyond this is a torn frame: a record of Kafka is not longer.
MAX_ENTRY_BYTES = 1024 * 1024
_NAME = "{prefix}-{first:020d}.seg"


class SpoolEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record for Kafka: its key, headers and value."""

    key: bytes
    headers: dict[str, str]
    value: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SpoolEntry).decode


@dataclass(slots=True)
class Segment:
    """A file of the spool.

    Attributes:
        path: where it is.
        first: number of its first entry.
        last: number of its last entry, `first - 1` while it has none.
        size: in bytes.
        modified_at: when it was last written to, in Unix seconds.
        torn_bytes: at its end, of an entry that was not written in full.
    """

    path: Path
    first: int
    last: int
    size: int
    modified_at: float
    torn_bytes: int = 0


def frame(key: bytes, headers: Mapping[str, str], value: bytes) -> bytes:
    """Encode an entry with its frame."""
    payload = _encode(SpoolEntry(key, dict(headers), value))
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def entry_of(framed: bytes) -> SpoolEntry:
    """Decode what `frame` has made."""
    return _decode(memoryview(framed)[_FRAME.size :])


def create(directory: Path, prefix: str, first: int) -> tuple[int, Path]:
    """Create an empty segment, durably; return its descriptor and path.

    Raises:
        OSError: no space, or no right to write.
    """
    path = directory / _NAME.format(prefix=prefix, first=first)
    # A segment without entries may be left over from a process that was killed; nothing in it is lost.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, _HEAD.pack(MAGIC, first))
        os.fsync(descriptor)
        sync_directory(directory)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, path


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_entries(path: Path, offset: int = HEAD_BYTES) -> Iterator[tuple[int, SpoolEntry]]:
    """Yield (offset after the entry, entry) for each whole entry from an offset on; stop at the first torn one."""
    with path.open("rb") as file:
        file.seek(offset)
        while True:
            head = file.read(_FRAME.size)
            if len(head) < _FRAME.size:
                return
            length, checksum = _FRAME.unpack(head)
            if not 0 < length <= MAX_ENTRY_BYTES:
                return
            payload = file.read(length)
            if len(payload) < length or zlib.crc32(payload) != checksum:
                return
            offset += _FRAME.size + length
            yield offset, _decode(payload)


def recover(directory: Path, prefix: str) -> list[Segment]:
    """Read all segments of a directory, oldest first. A file whose head is torn has no entries and is removed."""
    segments = []
    for path in sorted(directory.glob(f"{prefix}-*.seg")):
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES or head[:8] != MAGIC:
            path.unlink()
            continue
        (_, first) = _HEAD.unpack(head)
        count, end = 0, HEAD_BYTES
        for after, _ in read_entries(path):
            end = after
            count += 1
        status = path.stat()
        segments.append(Segment(path, first, first + count - 1, status.st_size, status.st_mtime, status.st_size - end))
    return segments
