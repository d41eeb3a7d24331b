"""Ports on this machine: is one free, and which are."""

from __future__ import annotations

import errno
import socket
from random import Random

from localstack.errors import PortTakenError

LOOPBACK = "127.0.0.1"

# Below the range from which systems take the ports of outgoing connections (32768 on Linux, 49152 elsewhere): else such a
# connection could take a child's port while the child is being restarted.
_FIRST, _LAST = 20000, 32000
_TRIES = 200


def free_ports(count: int, random: Random, *, avoid: frozenset[int] = frozenset()) -> list[int]:
    """Find distinct ports that nothing listens on.

    Args:
        count: how many.
        random: two stacks that start at once then hardly look at the same ports.
        avoid: ports not to take.

    Raises:
        PortTakenError: no luck.
    """
    found: list[int] = []
    for _ in range(_TRIES * count):
        if len(found) == count:
            return found
        port = random.randint(_FIRST, _LAST)
        if port not in found and port not in avoid and _bind_fault(port) is None:
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
