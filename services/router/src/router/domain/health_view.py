"""The router's opinion of its endpoints: live traffic first, the prober second."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from random import Random

from contracts.ids import EndpointId
from router.domain.attempts import FailureKind
from router.domain.endpoint_health import Condition, EndpointHealth
from router.domain.evidence import Evidence
from router.domain.histogram import Distribution
from router.domain.observations import EndpointObservation, Observation, Tally
from router.domain.outages import DOWN_SECONDS
from router.domain.speed import MIN_FOR_LIMITS
from router.domain.verdicts import Verdict


class Standing(IntEnum):
    """Place of an endpoint in the order of attempts: a lower one goes first, whatever its price."""

    GOOD = 0
    COOLING = 1
    SUSPECT = 2
    FORBIDDEN = 3
    """No call at all until the time that its provider has named."""


@dataclass(frozen=True, slots=True)
class EndpointState:
    """What routing needs to know of an endpoint.

    Attributes:
        standing: its place.
        factor: share of its weight that it gets, from 0.1 to 1.
        badness: among suspects, the least bad goes first.
        cooling_for: seconds until its rate limit is over.
        known: whether anything is known of it.
        proven: whether it has shown in the last half minute that it serves.
        success: share of the calls of the last five minutes that succeeded.
        in_flight: calls under way.
        cache_hit_rate: smoothed share of prompts that the provider had cached, None when not known.
        first_token: seconds to the first token over five minutes, for prompts of this size; None when not known.
        throughput: tokens per second over five minutes.
        recent_first_token: seconds that a first token takes about now.
        calls: calls of the last five minutes that ended well or badly.
    """

    standing: Standing = Standing.GOOD
    factor: float = 1.0
    badness: int = 0
    cooling_for: float = 0.0
    known: bool = False
    proven: bool = False
    success: float = 1.0
    in_flight: int = 0
    cache_hit_rate: float | None = None
    first_token: Distribution | None = None
    throughput: Distribution | None = None
    recent_first_token: float | None = None
    calls: int = 0

    @property
    def first_token_seconds(self) -> float | None:
        """The median."""
        return self.first_token.p50 if self.first_token is not None else None

    @property
    def tokens_per_second(self) -> float | None:
        """The median."""
        return self.throughput.p50 if self.throughput is not None else None


_UNKNOWN = EndpointState()

# Failures that an endpoint is to blame for. What is wrong with the request says nothing about the endpoint.
_BLAMED = frozenset(
    {
        FailureKind.CONNECT,
        FailureKind.TIMEOUT,
        FailureKind.BAD_ANSWER,
        FailureKind.SERVER_ERROR,
        FailureKind.OVERLOADED,
        FailureKind.UNMAPPED,
    }
)
_DISABLING = frozenset({FailureKind.KEY_REJECTED, FailureKind.QUOTA_EXHAUSTED, FailureKind.MODEL_MISSING})


@dataclass(slots=True)
class Dispatch:
    """A call that has started: what its end must be told."""

    endpoint_id: EndpointId
    at: float
    is_trial: bool
    is_waiting: bool = False
    """For the first token of a stream."""
    prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Showing:
    """What a whole answer showed of its endpoint; None for what it does not tell."""

    tokens_per_second: float | None = None
    longest_pause: float | None = None
    cache_hit_rate: float | None = None


@dataclass(frozen=True, slots=True)
class _Invitation:
    """A probe has succeeded: when, and until when that counts, in monotonic seconds."""

    at: float
    until: float


class FleetHealth:
    """The health of all endpoints. `random` spreads the ends of outages."""

    def __init__(self, random: Random, verdict_of: Callable[[EndpointId], Verdict | None]) -> None:
        self._random = random
        self._verdict_of = verdict_of
        self._records: dict[EndpointId, EndpointHealth] = {}
        self._tally = Tally()
        self._invitations: dict[EndpointId, _Invitation] = {}
        self._salt: float | None = None

    def state(self, endpoint_id: EndpointId, monotonic: float, now: datetime, prompt_tokens: int = 0) -> EndpointState:
        """Say where the endpoint stands at this moment, given on both clocks, for a prompt of this size."""
        record = self._records.get(endpoint_id)
        verdict = self._verdict_of(endpoint_id)
        if verdict is not None and not verdict.in_force(now):
            verdict = None
        if record is None and verdict is None:
            return _UNKNOWN
        if record is None:
            unhealthy = verdict is not None and not verdict.healthy
            return EndpointState(standing=Standing.SUSPECT if unhealthy else Standing.GOOD, known=True)
        condition = record.condition(monotonic, self._invited_at(endpoint_id, monotonic))
        standing = _STANDINGS[condition]
        denied = verdict is not None and not verdict.healthy and not _served_since(record, verdict, monotonic, now)
        if standing is Standing.GOOD and denied:
            standing = Standing.SUSPECT
        return EndpointState(
            standing=standing,
            # Its first trials get its full weight; only what follows its recovery starts slowly.
            factor=record.weight_factor(monotonic) if condition is Condition.UP else 1.0,
            badness=record.consecutive_failures,
            cooling_for=record.cooling_for(monotonic),
            known=record.is_known(monotonic) or verdict is not None,
            proven=record.is_proven(monotonic),
            success=record.long_success_rate(monotonic),
            in_flight=record.in_flight,
            cache_hit_rate=record.cache_hit_rate,
            first_token=record.first_token(monotonic, prompt_tokens),
            throughput=record.throughput(monotonic),
            recent_first_token=record.speed.recent_first_token(monotonic),
            calls=record.long_calls(monotonic),
        )

    def dispatched(
        self, endpoint_id: EndpointId, monotonic: float, *, stream: bool = False, prompt_tokens: int = 0
    ) -> Dispatch:
        """Note the start of a call."""
        record = self._record(endpoint_id)
        if stream:
            record.speed.began_waiting(monotonic)
        is_trial = record.dispatched(monotonic, self._invited_at(endpoint_id, monotonic))
        return Dispatch(endpoint_id, monotonic, is_trial, stream, prompt_tokens)

    def showed_life(
        self, dispatch: Dispatch, monotonic: float, first_token_seconds: float | None, prompt_tokens: int
    ) -> None:
        """Note the first token of an answer (or, without a time, a whole one)."""
        self._ended_waiting(dispatch)
        self._record(dispatch.endpoint_id).showed_life(monotonic, first_token_seconds, prompt_tokens)
        if first_token_seconds is not None:
            self._tally.first_token(dispatch.endpoint_id, first_token_seconds)

    def succeeded(self, dispatch: Dispatch, monotonic: float, showing: Showing) -> None:
        """Note a whole answer."""
        self._ended_waiting(dispatch)
        self._record(dispatch.endpoint_id).succeeded(
            monotonic,
            dispatched_at=dispatch.at,
            is_trial=dispatch.is_trial,
            tokens_per_second=showing.tokens_per_second,
            longest_pause=showing.longest_pause,
            cache_hit_rate=showing.cache_hit_rate,
        )
        self._tally.succeeded(dispatch.endpoint_id, monotonic, showing.tokens_per_second)

    def is_proven(self, endpoint_id: EndpointId, monotonic: float) -> bool:
        """Whether the endpoint has shown in the last half minute that it serves, and nothing else since."""
        record = self._records.get(endpoint_id)
        return record is not None and record.is_proven(monotonic)

    def slow_first_token(self, endpoint_id: EndpointId, monotonic: float, prompt_tokens: int) -> float | None:
        """Seconds that 95 % of the endpoint's first tokens do not take; None while too little is known."""
        record = self._records.get(endpoint_id)
        found = record.speed.first_token(monotonic, prompt_tokens) if record is not None else None
        return found.p95 if found is not None and found.count >= MIN_FOR_LIMITS else None

    def limits(
        self, endpoint_id: EndpointId, monotonic: float, prompt_tokens: int
    ) -> tuple[float | None, float | None]:
        """Seconds to wait for a first token and within a stream, as far as the endpoint's own past says."""
        record = self._records.get(endpoint_id)
        if record is None:
            return None, None
        return record.speed.first_token_limit(monotonic, prompt_tokens), record.speed.stall_limit(monotonic)

    def failed(self, dispatch: Dispatch, monotonic: float, kind: FailureKind, retry_after: float | None = None) -> None:
        """Note a failure; what kind it is decides whether the endpoint is blamed."""
        self._ended_waiting(dispatch, gave_up_at=monotonic if kind is FailureKind.TIMEOUT else None)
        endpoint_id = dispatch.endpoint_id
        record = self._record(endpoint_id)
        if kind is FailureKind.RATE_LIMITED:
            record.rate_limited(monotonic, self._random, retry_after=retry_after, is_trial=dispatch.is_trial)
            self._tally.rate_limited(endpoint_id, record.told_cooling_until if retry_after is not None else None)
        elif kind in _BLAMED:
            record.failed(monotonic, self._random, dispatched_at=dispatch.at, is_trial=dispatch.is_trial)
            self._tally.failed(endpoint_id, monotonic, record.consecutive_failures)
        elif kind in _DISABLING:
            record.disabled(monotonic, is_trial=dispatch.is_trial)
            self._tally.failed(endpoint_id, monotonic, record.consecutive_failures)
        else:
            record.released(is_trial=dispatch.is_trial)

    def judged(self, verdict: Verdict, monotonic: float, now: datetime) -> None:
        """Note a new verdict: a good one lets a call try an endpoint that is down."""
        self._invitations.pop(verdict.endpoint_id, None)
        if verdict.healthy and verdict.in_force(now):
            offset = monotonic - now.timestamp()
            self._invitations[verdict.endpoint_id] = _Invitation(
                at=verdict.checked_at.timestamp() + offset, until=verdict.ends_at.timestamp() + offset
            )

    def observed(self, monotonic: float, now: datetime) -> tuple[EndpointObservation, ...]:
        """What this router's own calls have shown since the last time, for the other routers."""
        return self._tally.take(now.timestamp() - monotonic)

    def heard(self, observation: Observation, monotonic: float, now: datetime, *, same_region: bool) -> None:
        """Take in what another router has seen. It must not have been taken in before.

        From another region only the times that providers have named count: how the network is there says nothing here.
        """
        offset = monotonic - now.timestamp()
        at = observation.second + 0.5 + offset
        for seen in observation.endpoints:
            evidence = self._evidence(seen.endpoint_id)
            if seen.cooling_until is not None:
                evidence.add_cooling(at, seen.cooling_until + offset)
            if same_region:
                evidence.add(observation.instance, at, seen, offset)

    def abandoned(self, dispatch: Dispatch, monotonic: float | None = None) -> None:
        """Note that the caller went away during the call; without a time, that it ended and says nothing.

        A caller who has waited for far longer than a first token usually takes has met a failure.
        """
        if dispatch.is_waiting and monotonic is not None:
            speed = self._record(dispatch.endpoint_id).speed
            if speed.is_overdue(monotonic, monotonic - dispatch.at, dispatch.prompt_tokens):
                self.failed(dispatch, monotonic, FailureKind.TIMEOUT)
                return
        self._ended_waiting(dispatch, gave_up_at=monotonic)
        self._record(dispatch.endpoint_id).released(is_trial=dispatch.is_trial)

    def restart(self, endpoint_ids: Iterable[EndpointId]) -> None:
        """Forget what is known of endpoints, because something that decides it has changed, such as their key."""
        for endpoint_id in endpoint_ids:
            self._records.pop(endpoint_id, None)
            self._invitations.pop(endpoint_id, None)

    def _ended_waiting(self, dispatch: Dispatch, *, gave_up_at: float | None = None) -> None:
        if dispatch.is_waiting:
            dispatch.is_waiting = False
            speed = self._record(dispatch.endpoint_id).speed
            if gave_up_at is None:
                speed.ended_waiting(dispatch.at)
            else:
                speed.gave_up(gave_up_at, dispatch.at)

    def _record(self, endpoint_id: EndpointId) -> EndpointHealth:
        record = self._records.get(endpoint_id)
        if record is None:
            record = self._records[endpoint_id] = EndpointHealth()
        return record

    def _evidence(self, endpoint_id: EndpointId) -> Evidence:
        record = self._record(endpoint_id)
        if record.elsewhere is None:
            if self._salt is None:
                self._salt = self._random.random()
            # Half of the wait is random, so that routers do not try it together; whatever was heard first, it is the same.
            draw = Random(f"{self._salt} {endpoint_id}").random()  # noqa: S311 - spreads load and guards nothing
            record.elsewhere = Evidence(hold_seconds=DOWN_SECONDS * (0.5 + draw / 2))
        return record.elsewhere

    def _invited_at(self, endpoint_id: EndpointId, monotonic: float) -> float | None:
        invitation = self._invitations.get(endpoint_id)
        return invitation.at if invitation is not None and monotonic < invitation.until else None


_STANDINGS = {
    Condition.UP: Standing.GOOD,
    Condition.TRIAL: Standing.GOOD,
    Condition.COOLING: Standing.COOLING,
    Condition.DOWN: Standing.SUSPECT,
    Condition.FORBIDDEN: Standing.FORBIDDEN,
}


def _served_since(record: EndpointHealth, verdict: Verdict, monotonic: float, now: datetime) -> bool:
    """Whether live traffic, ours or another router's, has contradicted an unhealthy verdict since it was made."""
    served_at = record.served_at
    return served_at is not None and now - timedelta(seconds=monotonic - served_at) > verdict.checked_at
