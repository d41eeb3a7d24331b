"""The deadline of what is being served, carried by the current context into the calls that are made for it.

The server binds it for each RPC; a service of another protocol binds its own. Work that outlives its cause, such as
a publication, belongs into a component of its own, not into a task of the RPC.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def bind_deadline(seconds: float) -> None:
    """Let the current task (and those that it starts) have this many seconds from now."""
    _deadline.set(time.monotonic() + seconds)


def remaining_seconds() -> float | None:
    """What is left, 0 if nothing; None without a deadline."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def limited_timeout(seconds: float) -> float:
    """This many seconds, or what is left of the deadline if that is less."""
    left = remaining_seconds()
    return seconds if left is None else min(seconds, left)
