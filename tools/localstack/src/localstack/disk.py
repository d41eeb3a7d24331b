"""Space on the disk that holds the state."""

from __future__ import annotations

import os
from pathlib import Path

from localstack.errors import DiskFullError

NEEDED_TO_START = 256 * 1024 * 1024
NEEDED_TO_GO_ON = 16 * 1024 * 1024


def free_bytes(path: Path) -> int:
    """Space that this process may use on the file system of `path`."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def check_space(path: Path, needed: int = NEEDED_TO_START) -> None:
    """Check that there is room.

    Raises:
        DiskFullError: there is not.
    """
    free = free_bytes(path)
    if free < needed:
        raise DiskFullError(
            f"the disk is full: {free // 2**20} MiB are free at {path}, {needed // 2**20} MiB are needed"
        )
