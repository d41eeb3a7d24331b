"""How fast an endpoint has been over the last five minutes, by the size of the prompt."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field

from router.domain.histogram import Distribution, WindowedHistogram

# Prompt tokens at which the next class begins: reading a long prompt takes longer, so it must not be measured by short ones.
PROMPT_CLASSES = (1_000, 8_000, 32_000)
# With fewer answers of a class, all classes together say more.
MIN_OF_CLASS = 5
# Only from so many answers on may their percentiles cut a wait short.
MIN_FOR_LIMITS = 20
FIRST_TOKEN_LIMIT_SECONDS = (5.0, 60.0)
STALL_LIMIT_SECONDS = (15.0, 60.0)
# How fast the newest first-token times replace older ones where an endpoint is compared with others at this moment. Longer
# times count sooner than shorter ones: who has become slow is left at once, who has become fast is believed after a while.
RISING_SECONDS = 5.0
FALLING_SECONDS = 15.0
# So many calls that wait for their first token are a crowd, whose waiting says something.
MIN_WAITING = 3
# Calls that arrive evenly at an endpoint that takes S seconds have waited S/2 on average at any moment, and more where times
# vary much. Between the two: soon enough to see a stall, and not yet troubled by a few long prompts.
_WAITING_FACTOR = 1.5
# A call that was given up counts at least so much: its true time is even longer, and others that wait will not tell.
_GIVEN_UP_WEIGHT = 0.1
# Where nothing is known yet, a caller who leaves earlier says nothing.
_LONG_SECONDS = 2.0
_FIRST_TOKEN_FACTOR = 3.0
_STALL_FACTOR = 3.0


def _classes() -> list[WindowedHistogram]:
    return [WindowedHistogram() for _ in range(len(PROMPT_CLASSES) + 1)]


@dataclass(slots=True)
class EndpointSpeed:
    """First-token times in seconds, tokens per second, and the longest pauses within answers in seconds."""

    _by_class: list[WindowedHistogram] = field(default_factory=_classes)
    _first_token: WindowedHistogram = field(default_factory=WindowedHistogram)
    _throughput: WindowedHistogram = field(default_factory=WindowedHistogram)
    _pause: WindowedHistogram = field(default_factory=WindowedHistogram)
    _recent: float | None = None
    _recent_at: float = 0.0
    _waiting: int = 0
    _waiting_since: float = 0.0

    def began_waiting(self, at: float) -> None:
        """Note that a stream was asked for."""
        self._waiting += 1
        self._waiting_since += at

    def ended_waiting(self, at: float) -> None:
        """Note that the stream asked for at that moment has begun, or never will."""
        if self._waiting:
            self._waiting -= 1
            self._waiting_since = self._waiting_since - at if self._waiting else 0.0

    def recent_first_token(self, now: float) -> float | None:
        """What a first token takes about now; None when not known.

        Where calls are waiting for longer than it usually takes, it is that: an endpoint that has become slow is seen to be
        slow before the first slow answer has begun.
        """
        if self._waiting >= MIN_WAITING:
            return max(_WAITING_FACTOR * (now - self._waiting_since / self._waiting), self._recent or 0.0)
        return self._recent

    def gave_up(self, now: float, at: float) -> None:
        """Note that the stream asked for at that moment had not begun when somebody lost patience.

        The router's own limit and a caller who leaves are the same here: a first token takes at least as long as that. It
        counts where it is longer than usual, or callers that leave soon would make an endpoint that hangs look as before.
        """
        self.ended_waiting(at)
        if now - at > (_LONG_SECONDS if self._recent is None else self._recent):
            self._move(now, now - at, _GIVEN_UP_WEIGHT)

    def record_first_token(self, now: float, seconds: float, prompt_tokens: int) -> None:
        """Note how long the first token took."""
        self._move(now, seconds, 0.0)
        self._first_token.record(now, seconds)
        self._by_class[bisect_right(PROMPT_CLASSES, prompt_tokens)].record(now, seconds)

    def _move(self, now: float, seconds: float, least: float) -> None:
        """Move what is recent towards a new time, by its weight or at least `least`."""
        if self._recent is None:
            self._recent = seconds
        else:
            # The longer ago the last one, the less it counts, so that this moves as fast at any rate of calls.
            scale = RISING_SECONDS if seconds > self._recent else FALLING_SECONDS
            weight = max(least, 1.0 - math.exp(-max(now - self._recent_at, 0.01) / scale))
            self._recent += weight * (seconds - self._recent)
        self._recent_at = now

    def record_throughput(self, now: float, tokens_per_second: float) -> None:
        """Note the rate of an answer."""
        self._throughput.record(now, tokens_per_second)

    def record_pause(self, now: float, seconds: float) -> None:
        """Note the longest pause between two events of a stream."""
        self._pause.record(now, seconds)

    def first_token(self, now: float, prompt_tokens: int) -> Distribution | None:
        """First-token times of prompts of this size, or of all where there are few."""
        of_class = self._by_class[bisect_right(PROMPT_CLASSES, prompt_tokens)].distribution(now)
        if of_class is not None and of_class.count >= MIN_OF_CLASS:
            return of_class
        return self._first_token.distribution(now)

    def throughput(self, now: float) -> Distribution | None:
        """Tokens per second."""
        return self._throughput.distribution(now)

    def first_token_limit(self, now: float, prompt_tokens: int) -> float | None:
        """How long to wait for a first token: three times the 95th percentile, within bounds; None when not known."""
        found = self.first_token(now, prompt_tokens)
        if found is None or found.count < MIN_FOR_LIMITS:
            return None
        return _clamp(_FIRST_TOKEN_FACTOR * found.p95, FIRST_TOKEN_LIMIT_SECONDS)

    def is_overdue(self, now: float, waited: float, prompt_tokens: int) -> bool:
        """Whether a first token that has not come by now is far later than usual, whoever lost patience."""
        found = self.first_token(now, prompt_tokens)
        return found is not None and found.count >= MIN_FOR_LIMITS and waited > _FIRST_TOKEN_FACTOR * found.p95

    def stall_limit(self, now: float) -> float | None:
        """How long to wait within a stream: three times the 99th percentile of longest pauses; None when not known."""
        found = self._pause.distribution(now)
        if found is None or found.count < MIN_FOR_LIMITS:
            return None
        return _clamp(_STALL_FACTOR * found.p99, STALL_LIMIT_SECONDS)


def _clamp(value: float, bounds: tuple[float, float]) -> float:
    return min(bounds[1], max(bounds[0], value))
