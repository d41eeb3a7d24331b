"""What live traffic shows of one endpoint: outages, cooling, recovery. Times are seconds of one monotonic clock.

An endpoint goes down after three failures in a row, or when less than 80 % of at least five calls in 30 s succeed. It
stays down for 5 s, doubling with each relapse to 300 s, half of it random so that routers do not return together. Then
one call at a time tries it; three successes bring it back, at a tenth of its share, growing over 30 s. A rate limit is
never an outage.

What other routers have seen (`evidence`) counts by the same rule, as far as our own calls do not say otherwise: it can put
an endpoint aside and let it be tried again, but an outage that our own calls have met ends with our own calls.

Sources: Finagle's failure accrual (the rate, the window, the jitter), Envoy's slow start (the ramp).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum
from random import Random

from router.domain.evidence import MAX_AGE_SECONDS, QUIET, Evidence, Outlook, OwnCalls
from router.domain.histogram import Distribution
from router.domain.outages import DOWN_SECONDS, TRIALS_TO_RECOVER, WINDOW_SECONDS, is_outage
from router.domain.rate_cap import RateCap
from router.domain.rolling import RollingCounts
from router.domain.speed import EndpointSpeed

MAX_CONSECUTIVE_FAILURES = 3
MAX_DOWN_SECONDS = 300.0
SLOW_START_SECONDS = 30.0
SLOW_START_FLOOR = 0.1
MAX_COOLING_SECONDS = 600.0
# Without Retry-After the wait doubles from a second to this.
MAX_GUESSED_COOLING_SECONDS = 60.0
# A key or a model that the provider does not know stays unknown until somebody acts; asking again is only a probe.
DISABLED_SECONDS = 300.0
# The longer view, which prices are weighed by: five minutes in steps of ten seconds.
LONG_STEP_SECONDS = 10
LONG_STEPS = 30
# A success in the last so many seconds shows that an endpoint serves.
PROOF_SECONDS = 30.0
# Prompts differ much in how much of them is cached, so many of them must be weighed.
_SMOOTHING = 0.02


class Condition(IntEnum):
    """What may be done with an endpoint, best first."""

    UP = 0
    TRIAL = 1
    """Was down; the next call may try it."""
    COOLING = 2
    """Said 429 without saying for how long, or is at the rate that it has shown to accept."""
    DOWN = 3
    FORBIDDEN = 4
    """Said 429 and for how long: no call until then."""


@dataclass(slots=True)
class EndpointHealth:
    """The record of one endpoint. Everything that changes it takes the time."""

    consecutive_failures: int = 0
    last_success: float | None = None
    in_flight: int = 0
    cache_hit_rate: float | None = None
    cache_answers: int = 0
    speed: EndpointSpeed = field(default_factory=EndpointSpeed)
    cap: RateCap = field(default_factory=RateCap)
    elsewhere: Evidence | None = None
    """What other routers have seen, None while nothing was heard."""
    _recent: RollingCounts = field(default_factory=lambda: RollingCounts(width_seconds=1, slots=WINDOW_SECONDS))
    _long: RollingCounts = field(
        default_factory=lambda: RollingCounts(width_seconds=LONG_STEP_SECONDS, slots=LONG_STEPS)
    )
    _last_sign_of_life: float | None = None
    _is_down: bool = False
    _is_refused: bool = False
    _known_outlook: Outlook = QUIET
    _outlook_of: tuple[int, int] | None = None
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

    def condition(self, now: float, invited_at: float | None = None) -> Condition:
        """Say what may be done with the endpoint.

        Args:
            now: when.
            invited_at: when a probe has succeeded that still counts. It ends the wait for the next trial, and nothing
                else: a probe is small, and live traffic may still fail; but an endpoint that has healed need not wait
                minutes.
        """
        if self.elsewhere is not None and now < self.elsewhere.cooling_until:
            return Condition.FORBIDDEN
        if now < self._cooling_until:
            return Condition.FORBIDDEN if self._cooling_is_told else Condition.COOLING
        opens_at = self._opens_at(now, invited_at)
        if opens_at is None:
            return Condition.COOLING if self.cap.reached(now) else Condition.UP
        return Condition.TRIAL if now >= opens_at and not self._trials_in_flight else Condition.DOWN

    def weight_factor(self, now: float) -> float:
        """Share of its weight that the endpoint gets while it starts slowly, from SLOW_START_FLOOR to 1."""
        if self._recovered_at is None and self.elsewhere is None:
            return 1.0
        elsewhere = self._outlook(now).recovered_at
        recoveries = [at for at in (self._recovered_at, elsewhere) if at is not None]
        if not recoveries:
            return 1.0
        return min(1.0, max(SLOW_START_FLOOR, (now - max(recoveries)) / SLOW_START_SECONDS))

    def cooling_for(self, now: float) -> float:
        """Seconds until the rate limit is over, 0 when there is none."""
        elsewhere = 0.0 if self.elsewhere is None else self.elsewhere.cooling_until
        return max(0.0, self._cooling_until - now, elsewhere - now)

    def success_rate(self, now: float) -> tuple[int, float]:
        """Calls in the window, and the share of them that succeeded (1 when there were none)."""
        ok, failed = self._recent.totals(now)
        total = ok + failed
        return total, (ok / total if total else 1.0)

    def long_success_rate(self, now: float) -> float:
        """Share of the calls of five minutes that succeeded; one success is assumed, so that one failure is not all."""
        ok, failed = self._long.totals(now)
        return (ok + 1) / (ok + failed + 1)

    def long_calls(self, now: float) -> int:
        """Calls of five minutes that succeeded or failed."""
        ok, failed = self._long.totals(now)
        return ok + failed

    def is_known(self, now: float) -> bool:
        """Whether a call of ours has ever told something of it, or lately one of another router."""
        if self.last_success is not None or self.consecutive_failures > 0:
            return True
        heard = self.elsewhere
        return heard is not None and now - max(heard.last_success, heard.last_failure) <= MAX_AGE_SECONDS

    @property
    def served_at(self) -> float | None:
        """When it last served a call, ours or another router's; None if calls have failed since."""
        if self.consecutive_failures:
            return None
        heard = self.elsewhere
        if heard is None or heard.last_success <= heard.last_failure:
            return self.last_success
        return heard.last_success if self.last_success is None else max(self.last_success, heard.last_success)

    @property
    def told_cooling_until(self) -> float | None:
        """When the provider wants to be called again, as it has told us."""
        return self._cooling_until if self._cooling_is_told else None

    def first_token(self, now: float, prompt_tokens: int) -> Distribution | None:
        """First-token times of prompts of this size; the mean of the other routers while there are none of our own."""
        found = self.speed.first_token(now, prompt_tokens)
        return self.elsewhere.first_token.distribution(now) if found is None and self.elsewhere is not None else found

    def throughput(self, now: float) -> Distribution | None:
        """Tokens per second; the mean of the other routers while there are none of our own."""
        found = self.speed.throughput(now)
        return self.elsewhere.throughput.distribution(now) if found is None and self.elsewhere is not None else found

    def is_proven(self, now: float) -> bool:
        """Whether it has shown lately that it serves, and nothing since that it does not."""
        life = self._last_sign_of_life
        return life is not None and now - life <= PROOF_SECONDS and life >= self._last_failure and not self._is_down

    def dispatched(self, now: float, invited_at: float | None = None) -> bool:
        """Note that a call starts; say whether it is a trial, which its end must be told."""
        opens_at = self._opens_at(now, invited_at)
        is_trial = opens_at is not None and now >= opens_at
        self._trials_in_flight += is_trial
        self.in_flight += 1
        self.cap.sent(now)
        return is_trial

    def showed_life(self, now: float, first_token_seconds: float | None, prompt_tokens: int) -> None:
        """Note the first token of an answer, or a whole one."""
        self._last_sign_of_life = now
        if first_token_seconds is not None:
            self.speed.record_first_token(now, first_token_seconds, prompt_tokens)

    def released(self, *, is_trial: bool) -> None:
        """Note that a call ended without telling anything of the endpoint: cancelled, or refused as invalid."""
        # A record that was restarted meets the ends of calls that its former self has started.
        self._trials_in_flight = max(0, self._trials_in_flight - is_trial)
        self.in_flight = max(0, self.in_flight - 1)

    def succeeded(
        self,
        now: float,
        *,
        dispatched_at: float,
        is_trial: bool,
        tokens_per_second: float | None = None,
        longest_pause: float | None = None,
        cache_hit_rate: float | None = None,
    ) -> None:
        """Note that a call gave a whole answer.

        Args:
            now: when.
            dispatched_at: when the call was sent.
            is_trial: as `dispatched` said.
            tokens_per_second: None where the answer was too short to tell.
            longest_pause: seconds between two events of a stream.
            cache_hit_rate: share of the prompt that the provider had in its cache.
        """
        self.released(is_trial=is_trial)
        if self._is_down or self._known_outlook.is_down:
            self._outlook_of = None
        self._recent.succeeded(now)
        self._long.succeeded(now)
        self.consecutive_failures = 0
        self._rate_limits = 0
        self.last_success = now
        if tokens_per_second is not None:
            self.speed.record_throughput(now, tokens_per_second)
        if longest_pause is not None:
            self.speed.record_pause(now, longest_pause)
        if cache_hit_rate is not None:
            self.cache_answers += 1
            weight = max(_SMOOTHING, 1.0 / self.cache_answers)
            self.cache_hit_rate = (1.0 - weight) * (self.cache_hit_rate or 0.0) + weight * cache_hit_rate
        # An answer that began before the outage says nothing about its end.
        if self._is_down and dispatched_at >= self._down_since:
            self._trial_successes += 1
            if self._trial_successes >= TRIALS_TO_RECOVER:
                self._recover(now)

    def failed(self, now: float, random: Random, *, dispatched_at: float, is_trial: bool) -> None:
        """Note that a call failed in a way that the endpoint is to blame for."""
        self.released(is_trial=is_trial)
        self._outlook_of = None
        self._recent.failed(now)
        self._long.failed(now)
        self._last_failure = now
        self.consecutive_failures += 1
        if self._is_down:
            if is_trial or dispatched_at >= self._down_until:
                self._go_down(now, random)
            return
        # A trial that failed confirms what other routers have seen.
        if is_trial or self.consecutive_failures >= MAX_CONSECUTIVE_FAILURES or is_outage(*self._recent.totals(now)):
            self._go_down(now, random)

    def rate_limited(self, now: float, random: Random, *, retry_after: float | None, is_trial: bool) -> None:
        """Note a 429. `retry_after` is in seconds, None when the provider did not say."""
        self.released(is_trial=is_trial)
        self.cap.limited(now)
        if retry_after is not None:
            until = now + min(MAX_COOLING_SECONDS, max(1.0, retry_after))
            self._cooling_is_told = True
        else:
            # Once its rate is learned, the cap holds calls back, and a long pause would leave that rate unused.
            learned = self.cap.per_second is not None
            guess = 1.0 if learned else min(MAX_GUESSED_COOLING_SECONDS, 2.0**self._rate_limits)
            until = now + guess * (0.5 + random.random() / 2)
            # A guess never weakens what the provider has said.
            self._cooling_is_told = self._cooling_is_told and now < self._cooling_until
        self._cooling_until = max(self._cooling_until, until)
        self._rate_limits = min(self._rate_limits + 1, 10)

    def disabled(self, now: float, *, is_trial: bool) -> None:
        """Note that the provider refused the key or does not know the model."""
        self.released(is_trial=is_trial)
        self._outlook_of = None
        self._recent.failed(now)
        self._long.failed(now)
        self._last_failure = now
        self.consecutive_failures += 1
        self._is_down = True
        self._down_since = now
        self._down_until = now + DISABLED_SECONDS
        self._trial_successes = TRIALS_TO_RECOVER - 1
        self._is_refused = True

    def _opens_at(self, now: float, invited_at: float | None) -> float | None:
        """When the endpoint may be tried, None when it is not down."""
        outlook = self._outlook(now)
        if self._is_down:
            opens_at, failed_at = self._down_until, self._last_failure
            # Others have been served since; whether we are again, our own trials must show, and they are not made more
            # often than at the beginning of an outage, because ours may be a trouble of our own. What others get with
            # their keys says nothing of ours.
            if outlook.good >= TRIALS_TO_RECOVER and not self._is_refused:
                opens_at = min(opens_at, failed_at + DOWN_SECONDS)
        elif outlook.is_down and self.elsewhere is not None:
            opens_at, failed_at = outlook.failed_at + self.elsewhere.hold_seconds, outlook.failed_at
        else:
            return None
        return min(opens_at, now) if invited_at is not None and invited_at > failed_at else opens_at

    def _outlook(self, now: float) -> Outlook:
        """What all calls say, computed once a second unless something has come that may change it."""
        if self.elsewhere is None:
            return QUIET
        moment = (math.floor(now), self.elsewhere.revision)
        if self._outlook_of != moment:
            self._outlook_of, self._known_outlook = moment, self._look_out(self.elsewhere, now)
        return self._known_outlook

    def _look_out(self, elsewhere: Evidence, now: float) -> Outlook:
        own = OwnCalls(
            self._recent, self.consecutive_failures, self._last_failure, self._recovered_at, is_down=self._is_down
        )
        return elsewhere.outlook(now, own)

    def _go_down(self, now: float, random: Random) -> None:
        if self._recovered_at is not None and now - self._recovered_at > MAX_DOWN_SECONDS:
            self._relapses = 0
        seconds = min(MAX_DOWN_SECONDS, DOWN_SECONDS * 2**self._relapses)
        self._relapses = min(self._relapses + 1, 10)
        self._is_down = True
        self._is_refused = False
        self._down_since = now
        self._down_until = now + seconds * (0.5 + random.random() / 2)
        self._trial_successes = 0

    def _recover(self, now: float) -> None:
        self._is_down = False
        self._recovered_at = now
        # What was counted before the recovery would end it at the next failure, and would cost it its share for five minutes:
        # the outage has been paid for, and the slow start is there for the doubt that is left.
        self._recent.clear()
        self._long.clear()
