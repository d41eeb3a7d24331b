"""A table's entries on disk, for a start without Kafka.

The file begins with the time of the last contact with the cluster, at a fixed place, so that it can be renewed without
writing the entries again: 8 bytes magic, 8 bytes milliseconds since 1970, 8 bytes number of entries (big endian), then the
entries.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

_MAGIC: Final = b"SKTABLE1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = struct.Struct(">q")
_COUNT: Final = struct.Struct(">Q")
_HEAD_BYTES: Final = len(_MAGIC) + _TIME.size + _COUNT.size
_LENGTHS: Final = struct.Struct(">II")


@dataclass(frozen=True)
class Snapshot:
    """What a file holds: encoded entries, and when they were last known to be current."""

    contact: datetime
    entries: tuple[tuple[str, bytes], ...]


def read_snapshot(path: Path) -> Snapshot | None:
    """Read a file; None if there is none or it is not whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if data[: len(_MAGIC)] != _MAGIC:
        return None
    try:
        (milliseconds,) = _TIME.unpack_from(data, len(_MAGIC))
        (count,) = _COUNT.unpack_from(data, len(_MAGIC) + _TIME.size)
        entries = tuple(_entries(data, _HEAD_BYTES))
        contact = _EPOCH + timedelta(milliseconds=milliseconds)
    except (struct.error, ValueError, OverflowError):
        return None
    return Snapshot(contact, entries) if len(entries) == count else None


def write_snapshot(path: Path, contact: datetime, entries: Collection[tuple[str, bytes]]) -> None:
    """Replace a file as a whole; readable by the owner only.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(_MAGIC)
        file.write(_TIME.pack(_milliseconds(contact)))
        file.write(_COUNT.pack(len(entries)))
        for key, value in entries:
            encoded = key.encode()
            file.write(_LENGTHS.pack(len(encoded), len(value)))
            file.write(encoded)
            file.write(value)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def renew_snapshot(path: Path, contact: datetime) -> None:
    """Set the time of the last contact; nothing if there is no file.

    Raises:
        OSError: it cannot be written.
    """
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return
    with file:
        file.seek(len(_MAGIC))
        file.write(_TIME.pack(_milliseconds(contact)))


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _entries(data: bytes, offset: int) -> Iterator[tuple[str, bytes]]:
    while offset < len(data):
        key_length, value_length = _LENGTHS.unpack_from(data, offset)
        start = offset + _LENGTHS.size
        middle, offset = start + key_length, start + key_length + value_length
        if offset > len(data):
            raise ValueError("cut off")
        yield data[start:middle].decode(), data[middle:offset]
