"""The rate that a provider has shown to accept: set by a burst of 429s, raised while there are none.

Multiplicative decrease over the rate of accepted calls, as TCP and the client side of Netflix's concurrency limits do it;
OpenRouter describes the same as a learned traffic cap. What a provider accepts is counted where a call is sent, not where
its answer begins: a cap that is learned in the first seconds must not depend on how long first tokens take. It is raised
cautiously after a 429 and ever faster without one: right below the limit a step is small, and a cap that was learned far
too low (in a bad minute of the provider, or from few calls) is back within minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# So many 429s within the window are a burst; fewer are left to the cooling alone.
BURST = 3
WINDOW_SECONDS = 10
DECREASE = 0.9
# Every ten seconds without a 429; each step is twice the one before, up to the largest.
INCREASE = 0.01
LARGEST_INCREASE = 0.25
INCREASE_SECONDS = 10.0
LEAST_PER_SECOND = 0.1
# Without a 429 for so long, the cap is no longer known to be true.
FORGET_SECONDS = 600.0


@dataclass(slots=True)
class RateCap:
    """The cap of one endpoint, in calls a second; None while none is learned. Times are monotonic seconds."""

    per_second: float | None = None
    _seconds: list[int] = field(default_factory=lambda: [-1] * WINDOW_SECONDS)
    _sent: list[int] = field(default_factory=lambda: [0] * WINDOW_SECONDS)
    _limited: list[int] = field(default_factory=lambda: [0] * WINDOW_SECONDS)
    _last_limited: float = 0.0
    _lowered_at: float = float("-inf")
    _raised_at: float = 0.0
    _increase: float = INCREASE
    _tokens: float = 0.0
    _filled_at: float = 0.0

    def sent(self, now: float) -> None:
        """Note that a call is sent. It counts as accepted unless a 429 follows."""
        self._count(now, self._sent)
        if self.per_second is not None:
            self._fill(now)
            self._tokens = max(0.0, self._tokens - 1.0)

    def limited(self, now: float) -> None:
        """Note a 429."""
        self._count(now, self._limited)
        self._last_limited = self._raised_at = now
        self._increase = INCREASE
        # Those that follow within the window were sent before the cap held, and say nothing of it.
        if now - self._lowered_at < WINDOW_SECONDS or self._sum(now, self._limited) < BURST:
            return
        accepted = self._sum(now, self._sent) - self._sum(now, self._limited)
        rate = max(LEAST_PER_SECOND, DECREASE * accepted / self._span(now))
        self.per_second = rate if self.per_second is None else min(self.per_second, rate)
        self._tokens, self._filled_at, self._lowered_at = 0.0, now, now

    def reached(self, now: float) -> bool:
        """Whether another call now would be more than the cap allows."""
        if self.per_second is None:
            return False
        if now - self._last_limited > FORGET_SECONDS:
            self.per_second = None
            return False
        self._fill(now)
        return self._tokens < 1.0

    def _fill(self, now: float) -> None:
        """Raise the cap by the steps that are due, and put in what has become free since the last look."""
        if self.per_second is None:
            return
        while now - self._raised_at >= INCREASE_SECONDS:
            self.per_second *= 1.0 + self._increase
            self._increase = min(LARGEST_INCREASE, 2.0 * self._increase)
            self._raised_at += INCREASE_SECONDS
        # A second's worth at most, and never less than one call, or a cap below one a second would let none through.
        room = max(1.0, self.per_second)
        self._tokens = min(room, self._tokens + (now - self._filled_at) * self.per_second)
        self._filled_at = now

    def _count(self, now: float, counts: list[int]) -> None:
        second = int(now)
        index = second % WINDOW_SECONDS
        if self._seconds[index] != second:
            self._seconds[index] = second
            self._sent[index] = self._limited[index] = 0
        counts[index] += 1

    def _span(self, now: float) -> int:
        """Seconds of the window since the first call in it: what came before was no time of refusing."""
        oldest = max(-1, int(now) - WINDOW_SECONDS)
        return int(now) + 1 - min(second for second in self._seconds if second > oldest)

    def _sum(self, now: float, counts: list[int]) -> int:
        oldest = int(now) - WINDOW_SECONDS
        return sum(count for second, count in zip(self._seconds, counts, strict=True) if second > oldest)
