"""Counts of good and bad calls over the last seconds or minutes, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator

# Before every slot that a monotonic clock can show; a clock of a test may begin at 0 and hear of what was before.
_NEVER = -(2**62)


class RollingCounts:
    """Counts in slots of equal width; a slot that falls out of the window is forgotten. Times are monotonic seconds."""

    __slots__ = ("_failed", "_newest", "_ok", "_slots", "_totals", "_width")

    def __init__(self, *, width_seconds: int, slots: int) -> None:
        self._width = width_seconds
        self._slots = [_NEVER] * slots
        self._ok = [0] * slots
        self._failed = [0] * slots
        self._totals: tuple[int, int] | None = None
        """What `_newest`, the slot that was asked for last, has shown; None after a change."""
        self._newest = _NEVER

    def succeeded(self, now: float) -> None:
        """Count a good call."""
        self.add(now, 1, 0)

    def failed(self, now: float) -> None:
        """Count a bad call."""
        self.add(now, 0, 1)

    def totals(self, now: float) -> tuple[int, int]:
        """Return the good and the bad calls within the window."""
        newest = int(now // self._width)
        if self._totals is None or newest != self._newest:
            self._totals, self._newest = self._sum(newest - len(self._slots)), newest
        return self._totals

    def _sum(self, oldest: int) -> tuple[int, int]:
        ok = failed = 0
        for index, slot in enumerate(self._slots):
            if slot > oldest:
                ok += self._ok[index]
                failed += self._failed[index]
        return ok, failed

    def add(self, at: float, ok: int, failed: int) -> None:
        """Count several calls, in any order of time; what a newer slot has pushed out of the window is not counted."""
        slot = int(at // self._width)
        index = slot % len(self._slots)
        if self._slots[index] > slot:
            return
        if self._slots[index] != slot:
            self._slots[index] = slot
            self._ok[index] = self._failed[index] = 0
        self._ok[index] += ok
        self._failed[index] += failed
        self._totals = None

    def filled(self) -> Iterator[tuple[int, int, int]]:
        """Yield number, good and bad calls of every slot that was ever counted in, in no order."""
        for index, slot in enumerate(self._slots):
            if slot != _NEVER:
                yield slot, self._ok[index], self._failed[index]

    def clear(self) -> None:
        """Forget everything."""
        self._slots = [_NEVER] * len(self._slots)
        self._totals = None
