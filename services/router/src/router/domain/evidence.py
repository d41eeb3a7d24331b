"""What other routers have seen of one endpoint in the last half minute, and what that means together with our own calls.

Nothing here depends on the order in which observations arrive: counts are added under the second that they belong to,
instants only grow, and the outlook is computed from the seconds in their own order whenever it is asked for.

Source: the rule is that of the local outage (`outages`); reading it off a set of facts makes it a join of replicas, as in
state-based CRDTs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from router.domain.histogram import Distribution
from router.domain.observations import EndpointObservation
from router.domain.outages import DOWN_SECONDS, MIN_SAMPLES, TRIALS_TO_RECOVER, WINDOW_SECONDS, is_outage
from router.domain.rolling import RollingCounts

# Nothing that was heard holds for longer than this after its second, whatever it says: when the bus is gone, a router is
# back to its own experience.
MAX_AGE_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the calls of all routers say. Times are monotonic seconds.

    Attributes:
        is_down: whether they show an outage that is not over.
        failed_at: when the last call failed anywhere.
        good: calls that succeeded anywhere in the seconds after that one.
        recovered_at: when the last outage was seen to be over.
    """

    is_down: bool = False
    failed_at: float = -math.inf
    good: int = 0
    recovered_at: float | None = None


QUIET = Outlook()


@dataclass(frozen=True, slots=True)
class OwnCalls:
    """What this router has seen itself."""

    counts: RollingCounts
    consecutive_failures: int
    last_failure: float
    recovered_at: float | None
    is_down: bool


@dataclass(frozen=True, slots=True)
class _Streak:
    """Failures in a row that a router has told at the end of a second, and its good calls within the same second."""

    failures: int
    ok: int


@dataclass(slots=True)
class _Mean:
    """Sums by second, of which the mean is wanted."""

    _seconds: dict[int, tuple[int, float]] = field(default_factory=dict)
    _known: tuple[int, Distribution | None] | None = None
    """The mean as of a second: a choice asks for it at every request."""

    def add(self, second: int, count: int, total: float) -> None:
        """Add to a second; seconds that are out of the window are dropped when a newer one begins."""
        if not count:
            return
        self._known = None
        if second not in self._seconds:
            oldest = max((second, *self._seconds)) - WINDOW_SECONDS
            self._seconds = {key: value for key, value in self._seconds.items() if key > oldest}
        counted, sum_ = self._seconds.get(second, (0, 0.0))
        self._seconds[second] = (counted + count, sum_ + total)

    def distribution(self, now: float) -> Distribution | None:
        """The mean of the window in the place of every percentile; None when there is none."""
        second = math.floor(now)
        if self._known is None or self._known[0] != second:
            self._known = second, self._distribution(second - WINDOW_SECONDS)
        return self._known[1]

    def _distribution(self, oldest: int) -> Distribution | None:
        found = [value for key, value in self._seconds.items() if key > oldest]
        count = sum(count for count, _ in found)
        if not count:
            return None
        mean = math.fsum(total for _, total in found) / count
        return Distribution(count, *([mean] * 8))


@dataclass(slots=True)
class Evidence:
    """What was heard of one endpoint. `hold_seconds` is how long after the last failure nobody tries it again."""

    hold_seconds: float = DOWN_SECONDS
    last_success: float = -math.inf
    last_failure: float = -math.inf
    cooling_until: float = -math.inf
    first_token: _Mean = field(default_factory=_Mean)
    throughput: _Mean = field(default_factory=_Mean)
    revision: int = 0
    """Grows with everything that may change the outlook."""
    _counts: RollingCounts = field(default_factory=lambda: RollingCounts(width_seconds=1, slots=WINDOW_SECONDS))
    _streaks: dict[int, dict[str, _Streak]] = field(default_factory=dict)

    def add_cooling(self, at: float, until: float) -> None:
        """Note that the provider told a router, about `at`, not to call before `until`."""
        self.cooling_until = max(self.cooling_until, min(until, at + MAX_AGE_SECONDS))

    def add(self, instance: str, at: float, seen: EndpointObservation, offset: float) -> None:
        """Count what a router has seen.

        Args:
            instance: the router.
            at: the middle of the second, on our clock.
            seen: what it saw.
            offset: what to add to a Unix time to get ours.
        """
        self.revision += 1
        second, latest = math.floor(at), at + 1.0
        self._counts.add(at, seen.ok, seen.failed)
        if seen.ok:
            self.last_success = max(self.last_success, _moved(seen.last_success, offset, at, latest))
        if seen.failed:
            self.last_failure = max(self.last_failure, _moved(seen.last_failure, offset, at, latest))
            self._add_streak(second, instance, _Streak(seen.consecutive_failures, seen.ok))
        self.first_token.add(second, seen.first_token_count, seen.first_token_seconds)
        self.throughput.add(second, seen.throughput_count, seen.throughput_tokens_per_second)

    def outlook(self, now: float, own: OwnCalls) -> Outlook:
        """Say what this and our own calls show together.

        Second by second, as far back as the window: an outage begins as it does for one router, and also when five calls
        in a row have failed, whoever made them; it ends with three good calls after the last bad one. What was before
        our own recovery is over.
        """
        oldest = math.floor(now) - WINDOW_SECONDS
        since = -math.inf if own.recovered_at is None else math.floor(own.recovered_at)
        # Most endpoints are well most of the time, and then this is all that a choice pays for.
        told = self.last_success > own.last_failure if own.is_down else self.last_failure > since
        if not told or max(self.last_failure, self.last_success) < oldest:
            return QUIET
        replay = _Replay()
        for second, (ok, failed) in sorted(self._merged(own, oldest, since).items()):
            streaks = dict(self._streaks.get(second, {}))
            if second == _second(own.last_failure) and own.consecutive_failures:
                own_ok = sum(good for slot, good, _ in own.counts.filled() if slot == second)
                streaks[""] = _Streak(own.consecutive_failures, own_ok)
            replay.step(second, ok, failed, streaks)
        return Outlook(
            is_down=replay.is_down,
            failed_at=max(self.last_failure, own.last_failure),
            good=replay.good,
            recovered_at=replay.recovered_at,
        )

    def _merged(self, own: OwnCalls, oldest: int, since: float) -> dict[int, tuple[int, int]]:
        merged = {slot: (ok, failed) for slot, ok, failed in self._counts.filled() if slot > oldest and slot > since}
        for slot, ok, failed in own.counts.filled():
            if slot > oldest:
                ok_elsewhere, failed_elsewhere = merged.get(slot, (0, 0))
                merged[slot] = (ok + ok_elsewhere, failed + failed_elsewhere)
        return merged

    def _add_streak(self, second: int, instance: str, streak: _Streak) -> None:
        if second not in self._streaks:
            oldest = max((second, *self._streaks)) - WINDOW_SECONDS
            self._streaks = {key: value for key, value in self._streaks.items() if key > oldest}
        told = self._streaks.setdefault(second, {})
        # A router that was started again within a second has told two.
        before = told.get(instance, _Streak(0, 0))
        told[instance] = _Streak(max(before.failures, streak.failures), before.ok + streak.ok)


@dataclass(slots=True)
class _Replay:
    """The outage rule, taken through the seconds."""

    is_down: bool = False
    good: int = 0
    recovered_at: float | None = None
    _ok: int = 0
    _failed: int = 0
    _streaks: dict[str, int] = field(default_factory=dict)

    def step(self, second: int, ok: int, failed: int, told: dict[str, _Streak]) -> None:
        """Take one second into account."""
        if ok:
            self._streaks.clear()
        # Another router's good call in the same second may have been later, so such a streak proves nothing.
        self._streaks.update({name: streak.failures for name, streak in told.items() if ok == streak.ok})
        self.good = 0 if failed else self.good + ok
        if self.is_down:
            if self.good >= TRIALS_TO_RECOVER:
                self.is_down = False
                self.recovered_at = float(second + 1)
                self._ok = self._failed = 0
            return
        self._ok += ok
        self._failed += failed
        in_a_row = sum(self._streaks.values())
        self.is_down = failed > 0 and (in_a_row >= MIN_SAMPLES or is_outage(self._ok, self._failed))


def _second(instant: float) -> int | None:
    return math.floor(instant) if math.isfinite(instant) else None


def _moved(instant: float | None, by: float, otherwise: float, latest: float) -> float:
    """An instant on our clock, not after `latest`: a clock that is wrong must not make evidence that lasts."""
    return otherwise if instant is None else min(instant + by, latest)
