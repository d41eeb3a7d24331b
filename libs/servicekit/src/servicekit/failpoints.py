"""Named places at which a test can kill the process, as `kill -9` would: no clean-up, no flush, no goodbye."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence


def parse_failpoints(points: Sequence[str], words: Sequence[str]) -> dict[str, int]:
    """Read `point` or `point:n`, which is the n-th time that the point is passed.

    Args:
        points: the places that there are.
        words: what to read.

    Raises:
        ValueError: no such point, or n is not a positive number.
    """
    wanted: dict[str, int] = {}
    for word in words:
        name, _, times = word.partition(":")
        if name not in points:
            raise ValueError(f"no failpoint {name!r}: there are {', '.join(points)}")
        if times and (not times.isdecimal() or int(times) < 1):
            raise ValueError(f"failpoint {word!r}: {times!r} is not a positive number")
        wanted[name] = int(times or 1)
    return wanted


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Failpoints:
    """Kills the process at the points that were named; none by default."""

    def __init__(
        self, points: Sequence[str] = (), words: Sequence[str] = (), *, kill: Callable[[], None] = _kill
    ) -> None:
        """Make failpoints.

        Args:
            points: the places that there are.
            words: the ones to stop at; see `parse_failpoints`.
            kill: what to do there.

        Raises:
            ValueError: a word names no point.
        """
        self._left = parse_failpoints(points, words)
        self._kill = kill

    def reach(self, point: str) -> None:
        """Pass a point."""
        left = self._left.get(point)
        if left is None:
            return
        self._left[point] = left - 1
        if left == 1:
            self._kill()
