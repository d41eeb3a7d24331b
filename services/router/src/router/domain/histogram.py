"""Distributions over the last five minutes, in constant memory: log-linear buckets in one-minute windows.

A bucket is 5 % wide, so a percentile is right to within 2.5 %, which is far below what these figures vary by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WINDOW_SECONDS = 60
WINDOWS = 5
_WIDTH = math.log(1.05)
_SMALLEST = 1e-4
_MOST_BUCKETS = 400
_MIDDLES = tuple(_SMALLEST * math.exp((bucket + 0.5) * _WIDTH) for bucket in range(_MOST_BUCKETS + 1))


@dataclass(frozen=True, slots=True)
class Distribution:
    """Percentiles of what was seen; `count` values."""

    count: int
    p01: float
    p10: float
    p25: float
    p50: float
    p75: float
    p90: float
    p95: float
    p99: float


class WindowedHistogram:
    """Counts positive values. Times are seconds of one monotonic clock, never going back."""

    __slots__ = ("_cached", "_cached_at", "_counts", "_minutes")

    def __init__(self) -> None:
        self._minutes = [-1] * WINDOWS
        self._counts: list[dict[int, int]] = [{} for _ in range(WINDOWS)]
        self._cached: Distribution | None = None
        self._cached_at = -math.inf

    def record(self, now: float, value: float) -> None:
        """Count a value."""
        minute = int(now // WINDOW_SECONDS)
        index = minute % WINDOWS
        if self._minutes[index] != minute:
            self._minutes[index] = minute
            self._counts[index].clear()
        counts = self._counts[index]
        bucket = min(_MOST_BUCKETS, int(math.log(max(value, _SMALLEST) / _SMALLEST) / _WIDTH))
        counts[bucket] = counts.get(bucket, 0) + 1

    def distribution(self, now: float) -> Distribution | None:
        """Return the percentiles of the last five minutes, None when nothing was seen.

        They are computed once a second at most: a choice asks for them at every request.
        """
        second = math.floor(now)
        if second != self._cached_at:
            self._cached_at = second
            self._cached = self._compute(now)
        return self._cached

    def _compute(self, now: float) -> Distribution | None:
        oldest = int(now // WINDOW_SECONDS) - WINDOWS
        merged: dict[int, int] = {}
        for minute, counts in zip(self._minutes, self._counts, strict=True):
            if minute > oldest:
                for bucket, count in counts.items():
                    merged[bucket] = merged.get(bucket, 0) + count
        total = sum(merged.values())
        if not total:
            return None
        return Distribution(total, *_percentiles(sorted(merged.items()), total))


_SHARES = (0.01, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99)


def _percentiles(ordered: list[tuple[int, int]], total: int) -> list[float]:
    """The middles of the buckets that hold the values of these ranks (nearest rank), in one pass."""
    found: list[float] = []
    ranks = [max(1, math.ceil(total * share)) for share in _SHARES]
    seen = 0
    for bucket, count in ordered:
        seen += count
        while len(found) < len(ranks) and seen >= ranks[len(found)]:
            found.append(_MIDDLES[bucket])
    return found
