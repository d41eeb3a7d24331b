"""Ports on this machine: is one free, which are, and that nobody else takes them in the meantime."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import tempfile
from functools import cache
from pathlib import Path
from random import Random

from localstack.errors import PortTakenError

LOOPBACK = "127.0.0.1"

# Below the range from which systems take the ports of outgoing connections (32768 on Linux, 49152 elsewhere): else such a
# connection could take a child's port while the child is being restarted.
_FIRST, _LAST = 20000, 32000
_TRIES = 200


def free_ports(count: int, random: Random, *, avoid: frozenset[int] = frozenset()) -> list[int]:
    """Find distinct ports that nothing listens on, and keep them for this process.

    Between the choice of a port and its use lie seconds: a database is made, a model is loaded. For as long as this process
    lives no port is given twice on this machine to one user's processes, so that stacks that start at once do not meet.

    Args:
        count: how many.
        random: by which they are drawn.
        avoid: ports not to take.

    Raises:
        PortTakenError: no luck, or the file in which ports are kept cannot be opened.
    """
    found: list[int] = []
    for _ in range(_TRIES * count):
        if len(found) == count:
            return found
        port = random.randint(_FIRST, _LAST)
        if port not in avoid and _bind_fault(port) is None and _reserve(port):
            found.append(port)
    if len(found) == count:
        return found
    raise PortTakenError(f"no free ports between {_FIRST} and {_LAST} on {LOOPBACK}")


def check_free(port: int) -> None:
    """Check that a port can be listened on.

    Raises:
        PortTakenError: it cannot, with the reason.
    """
    fault = _bind_fault(port)
    if fault is not None:
        reason = "is taken" if fault.errno == errno.EADDRINUSE else f"cannot be used: {fault.strerror}"
        raise PortTakenError(f"port {port} {reason}; choose another one with --port, or --port 0 for any free one")


@cache
def _reservations() -> tuple[int, set[int]]:
    # The file is never closed: closing any descriptor of it would give up every lock that this process has there.
    path = Path(tempfile.gettempdir()) / f"turnpike-ports-{os.getuid()}"
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), set()
    except OSError as error:
        raise PortTakenError(f"ports cannot be kept in {path}: {error.strerror}") from error


def _reserve(port: int) -> bool:
    """Lock the byte of a port. The kernel drops the lock with the process, however it ends; children do not inherit it."""
    descriptor, own = _reservations()
    if port in own:  # a lock of one's own is no obstacle
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):  # POSIX has both
        return False
    own.add(port)
    return True


def _bind_fault(port: int) -> OSError | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without it, connections that ended a minute ago would make the port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None
