"""How far the spool has been published, and to which cluster: one small file, replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from servicekit.spool.segments import sync_directory

_NAME = "published.json"


class Published(msgspec.Struct, frozen=True):
    """Every entry up to `through` is acknowledged by the cluster. 0 and "" at the beginning."""

    cluster_id: str = ""
    through: int = 0


def load(directory: Path) -> Published:
    """Read the file. What is missing or unreadable counts as nothing: a repeat is harmless, a gap is not."""
    try:
        return msgspec.json.decode((directory / _NAME).read_bytes(), type=Published)
    except (OSError, msgspec.MsgspecError):
        return Published()


def save(directory: Path, published: Published) -> None:
    """Replace the file, durably.

    Raises:
        OSError: no space, or no right to write.
    """
    temporary = directory / (_NAME + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(published))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(directory / _NAME)
    sync_directory(directory)
