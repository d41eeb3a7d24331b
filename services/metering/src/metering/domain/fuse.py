"""Stops the service when the topic is full of records that break a rule, instead of setting all of them aside."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FuseLimits:
    """When the fuse blows.

    `consecutive` bad records in a row, or more than `ratio` (0 to 1) of the last `window` records; the ratio counts once
    the window is full, because the first few records say nothing.
    """

    consecutive: int = 100
    ratio: float = 0.5
    window: int = 1_000


class Fuse:
    """Counts good and bad records. Once blown it stays blown."""

    def __init__(self, limits: FuseLimits) -> None:
        self._limits = limits
        self._recent: deque[bool] = deque(maxlen=limits.window)
        self._bad = 0
        self._in_a_row = 0
        self._blown: str | None = None

    @property
    def blown(self) -> str | None:
        """Why the fuse blew, or None."""
        return self._blown

    def good(self) -> None:
        """Count a record that met every rule."""
        self._in_a_row = 0
        # Where all of a full window are good, one more changes nothing: that is nearly every event.
        if self._bad or len(self._recent) < self._limits.window:
            self._count(bad=False)

    def bad(self) -> None:
        """Count a record that broke a rule."""
        self._in_a_row += 1
        self._count(bad=True)
        if self._blown is None:
            self._blown = self._verdict()

    def _count(self, *, bad: bool) -> None:
        if len(self._recent) == self._limits.window:
            self._bad -= self._recent[0]
        self._recent.append(bad)
        self._bad += bad

    def _verdict(self) -> str | None:
        if self._in_a_row >= self._limits.consecutive:
            return f"{self._in_a_row} invalid usage events in a row"
        if len(self._recent) == self._limits.window and self._bad > self._limits.ratio * self._limits.window:
            return f"{self._bad} of the last {self._limits.window} usage events are invalid"
        return None
