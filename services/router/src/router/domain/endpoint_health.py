"""What live traffic shows of one endpoint: outages, cooling, recovery. Times are seconds of one monotonic clock.

An endpoint goes down after three failures in a row, or when less than 80 % of at least five calls in 30 s succeed. It
stays down for 5 s, doubling with each relapse to 300 s, half of it random so that routers do not return together. Then
one call at a time tries it; three successes bring it back, at a tenth of its share, growing over 30 s. A rate limit is
never an outage.

Sources: Finagle's failure accrual (the rate, the window, the jitter), Envoy's slow start (the ramp).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from random import Random

WINDOW_SECONDS = 30
MIN_SAMPLES = 5
MIN_SUCCESS_RATE = 0.8
MAX_CONSECUTIVE_FAILURES = 3
DOWN_SECONDS = 5.0
MAX_DOWN_SECONDS = 300.0
TRIALS_TO_RECOVER = 3
SLOW_START_SECONDS = 30.0
SLOW_START_FLOOR = 0.1
MAX_COOLING_SECONDS = 600.0
# Without Retry-After the wait doubles from a second to this.
MAX_GUESSED_COOLING_SECONDS = 60.0
# A key or a model that the provider does not know stays unknown until somebody acts; asking again is only a probe.
DISABLED_SECONDS = 300.0
_SMOOTHING = 0.2


class Condition(IntEnum):
    """What may be done with an endpoint, best first."""

    UP = 0
    TRIAL = 1
    """Was down; the next call may try it."""
    COOLING = 2
    """Said 429 without saying for how long."""
    DOWN = 3
    FORBIDDEN = 4
    """Said 429 and for how long: no call until then."""


@dataclass(slots=True)
class EndpointHealth:
    """The record of one endpoint. Everything that changes it takes the time."""

    _seconds: list[int] = field(default_factory=lambda: [-1] * WINDOW_SECONDS)
    _ok: list[int] = field(default_factory=lambda: [0] * WINDOW_SECONDS)
    _failed: list[int] = field(default_factory=lambda: [0] * WINDOW_SECONDS)
    consecutive_failures: int = 0
    last_success: float | None = None
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None
    _is_down: bool = False
    _down_since: float = 0.0
    _down_until: float = 0.0
    _relapses: int = 0
    _trials_in_flight: int = 0
    _trial_successes: int = 0
    _last_failure: float = -1.0
    _recovered_at: float | None = None
    _cooling_until: float = 0.0
    _cooling_is_told: bool = False
    _rate_limits: int = 0

    def condition(self, now: float) -> Condition:
        """Say what may be done with the endpoint."""
        if now < self._cooling_until:
            return Condition.FORBIDDEN if self._cooling_is_told else Condition.COOLING
        if not self._is_down:
            return Condition.UP
        return Condition.TRIAL if now >= self._down_until and not self._trials_in_flight else Condition.DOWN

    def weight_factor(self, now: float) -> float:
        """Share of its weight that the endpoint gets while it starts slowly, from SLOW_START_FLOOR to 1."""
        if self._recovered_at is None:
            return 1.0
        return min(1.0, max(SLOW_START_FLOOR, (now - self._recovered_at) / SLOW_START_SECONDS))

    def cooling_for(self, now: float) -> float:
        """Seconds until the rate limit is over, 0 when there is none."""
        return max(0.0, self._cooling_until - now)

    def success_rate(self, now: float) -> tuple[int, float]:
        """Calls in the window, and the share of them that succeeded (1 when there were none)."""
        oldest = int(now) - WINDOW_SECONDS
        ok = failed = 0
        for index, second in enumerate(self._seconds):
            if second > oldest:
                ok += self._ok[index]
                failed += self._failed[index]
        total = ok + failed
        return total, (ok / total if total else 1.0)

    def dispatched(self, now: float) -> bool:
        """Note that a call starts; say whether it is a trial, which its end must be told."""
        is_trial = self._is_down and now >= self._down_until
        self._trials_in_flight += is_trial
        return is_trial

    def released(self, *, is_trial: bool) -> None:
        """Note that a call ended without telling anything of the endpoint: cancelled, or refused as invalid."""
        # A record that was restarted meets the ends of calls that its former self has started.
        self._trials_in_flight = max(0, self._trials_in_flight - is_trial)

    def succeeded(
        self,
        now: float,
        *,
        dispatched_at: float,
        is_trial: bool,
        first_token_seconds: float | None = None,
        tokens_per_second: float | None = None,
    ) -> None:
        """Note that a call gave a whole answer."""
        self.released(is_trial=is_trial)
        self._count(now, self._ok)
        self.consecutive_failures = 0
        self._rate_limits = 0
        self.last_success = now
        if first_token_seconds is not None:
            self.first_token_seconds = _smooth(self.first_token_seconds, first_token_seconds)
        if tokens_per_second is not None:
            self.tokens_per_second = _smooth(self.tokens_per_second, tokens_per_second)
        # An answer that began before the outage says nothing about its end.
        if self._is_down and dispatched_at >= self._down_since:
            self._trial_successes += 1
            if self._trial_successes >= TRIALS_TO_RECOVER:
                self._recover(now)

    def failed(self, now: float, random: Random, *, dispatched_at: float, is_trial: bool) -> None:
        """Note that a call failed in a way that the endpoint is to blame for."""
        self.released(is_trial=is_trial)
        self._count(now, self._failed)
        self._last_failure = now
        self.consecutive_failures += 1
        if self._is_down:
            if is_trial or dispatched_at >= self._down_until:
                self._go_down(now, random)
            return
        samples, rate = self.success_rate(now)
        if self.consecutive_failures >= MAX_CONSECUTIVE_FAILURES or (
            samples >= MIN_SAMPLES and rate < MIN_SUCCESS_RATE
        ):
            self._go_down(now, random)

    def rate_limited(self, now: float, random: Random, *, retry_after: float | None, is_trial: bool) -> None:
        """Note a 429. `retry_after` is in seconds, None when the provider did not say."""
        self.released(is_trial=is_trial)
        if retry_after is not None:
            until = now + min(MAX_COOLING_SECONDS, max(1.0, retry_after))
            self._cooling_is_told = True
        else:
            guess = min(MAX_GUESSED_COOLING_SECONDS, 2.0**self._rate_limits)
            until = now + guess * (0.5 + random.random() / 2)
            # A guess never weakens what the provider has said.
            self._cooling_is_told = self._cooling_is_told and now < self._cooling_until
        self._cooling_until = max(self._cooling_until, until)
        self._rate_limits = min(self._rate_limits + 1, 10)

    def disabled(self, now: float, *, is_trial: bool) -> None:
        """Note that the provider refused the key or does not know the model."""
        self.released(is_trial=is_trial)
        self._count(now, self._failed)
        self._last_failure = now
        self.consecutive_failures += 1
        self._is_down = True
        self._down_since = now
        self._down_until = now + DISABLED_SECONDS
        self._trial_successes = TRIALS_TO_RECOVER - 1

    def invite(self, now: float, checked_at: float) -> None:
        """Note that a probe has succeeded: it ends the wait for the next trial, and nothing else.

        A probe is small, and live traffic may still fail; but an endpoint that has healed need not wait minutes.
        """
        if self._is_down and checked_at > self._last_failure:
            self._down_until = min(self._down_until, now)

    def _go_down(self, now: float, random: Random) -> None:
        if self._recovered_at is not None and now - self._recovered_at > MAX_DOWN_SECONDS:
            self._relapses = 0
        seconds = min(MAX_DOWN_SECONDS, DOWN_SECONDS * 2**self._relapses)
        self._relapses = min(self._relapses + 1, 10)
        self._is_down = True
        self._down_since = now
        self._down_until = now + seconds * (0.5 + random.random() / 2)
        self._trial_successes = 0

    def _recover(self, now: float) -> None:
        self._is_down = False
        self._recovered_at = now
        # What was counted before the recovery would end it at the next failure.
        self._seconds = [-1] * WINDOW_SECONDS

    def _count(self, now: float, counts: list[int]) -> None:
        second = int(now)
        index = second % WINDOW_SECONDS
        if self._seconds[index] != second:
            self._seconds[index] = second
            self._ok[index] = self._failed[index] = 0
        counts[index] += 1


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else old + _SMOOTHING * (new - old)
