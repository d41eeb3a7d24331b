"""One stack a state directory: a lock that dies with its holder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localstack.errors import AlreadyRunningError, StateDamagedError


@contextmanager
def owned(lock_file: Path) -> Iterator[None]:
    """Own the state directory of `lock_file` for the length of the block.

    The kernel drops the lock with the process, however it ends, so a file that a crash left behind locks nothing. The pid
    in it is for people.

    Raises:
        AlreadyRunningError: another process owns it.
        StateDamagedError: the file cannot be written.
    """
    try:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StateDamagedError(f"cannot open {lock_file}: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunningError(
                f"a stack is already running in {lock_file.parent} (pid {pid}); stop it, or use another --state-dir"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
