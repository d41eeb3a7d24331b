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
        first_token_seconds, tokens_per_second: smoothed over the last calls, None when not known.
    """

    standing: Standing = Standing.GOOD
    factor: float = 1.0
    badness: int = 0
    cooling_for: float = 0.0
    known: bool = False
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None


_UNKNOWN = EndpointState()

# Failures that an endpoint is to blame for. What is wrong with the request says nothing about the endpoint.
_BLAMED = frozenset(
    {
        FailureKind.CONNECT,
        FailureKind.TIMEOUT,
        FailureKind.BAD_ANSWER,
        FailureKind.SERVER_ERROR,
        FailureKind.OVERLOADED,
    }
)
_DISABLING = frozenset({FailureKind.KEY_REJECTED, FailureKind.QUOTA_EXHAUSTED, FailureKind.MODEL_MISSING})


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A call that has started: what its end must be told."""

    endpoint_id: EndpointId
    at: float
    is_trial: bool


class FleetHealth:
    """The health of all endpoints. `random` spreads the ends of outages."""

    def __init__(self, random: Random, verdict_of: Callable[[EndpointId], Verdict | None]) -> None:
        self._random = random
        self._verdict_of = verdict_of
        self._records: dict[EndpointId, EndpointHealth] = {}

    def state(self, endpoint_id: EndpointId, monotonic: float, now: datetime) -> EndpointState:
        """Say where the endpoint stands at this moment, given on both clocks."""
        record = self._records.get(endpoint_id)
        verdict = self._verdict_of(endpoint_id)
        if verdict is not None and not verdict.in_force(now):
            verdict = None
        if record is None and verdict is None:
            return _UNKNOWN
        if record is None:
            unhealthy = verdict is not None and not verdict.healthy
            return EndpointState(standing=Standing.SUSPECT if unhealthy else Standing.GOOD, known=True)
        condition = record.condition(monotonic)
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
            known=record.last_success is not None or record.consecutive_failures > 0 or verdict is not None,
            first_token_seconds=record.first_token_seconds,
            tokens_per_second=record.tokens_per_second,
        )

    def dispatched(self, endpoint_id: EndpointId, monotonic: float) -> Dispatch:
        """Note the start of a call."""
        return Dispatch(endpoint_id, monotonic, self._record(endpoint_id).dispatched(monotonic))

    def succeeded(
        self, dispatch: Dispatch, monotonic: float, first_token_seconds: float | None, tokens_per_second: float | None
    ) -> None:
        """Note a whole answer."""
        self._record(dispatch.endpoint_id).succeeded(
            monotonic,
            dispatched_at=dispatch.at,
            is_trial=dispatch.is_trial,
            first_token_seconds=first_token_seconds,
            tokens_per_second=tokens_per_second,
        )

    def failed(self, dispatch: Dispatch, monotonic: float, kind: FailureKind, retry_after: float | None = None) -> None:
        """Note a failure; what kind it is decides whether the endpoint is blamed."""
        record = self._record(dispatch.endpoint_id)
        if kind is FailureKind.RATE_LIMITED:
            record.rate_limited(monotonic, self._random, retry_after=retry_after, is_trial=dispatch.is_trial)
        elif kind in _BLAMED:
            record.failed(monotonic, self._random, dispatched_at=dispatch.at, is_trial=dispatch.is_trial)
        elif kind in _DISABLING:
            record.disabled(monotonic, is_trial=dispatch.is_trial)
        else:
            record.released(is_trial=dispatch.is_trial)

    def judged(self, verdict: Verdict, monotonic: float, now: datetime) -> None:
        """Note a new verdict: a good one lets a call try an endpoint that is down."""
        record = self._records.get(verdict.endpoint_id)
        if record is not None and verdict.healthy and verdict.in_force(now):
            record.invite(monotonic, monotonic - (now - verdict.checked_at).total_seconds())

    def abandoned(self, dispatch: Dispatch) -> None:
        """Note that the caller went away during the call."""
        self._record(dispatch.endpoint_id).released(is_trial=dispatch.is_trial)

    def restart(self, endpoint_ids: Iterable[EndpointId]) -> None:
        """Forget what is known of endpoints, because something that decides it has changed, such as their key."""
        for endpoint_id in endpoint_ids:
            self._records.pop(endpoint_id, None)

    def _record(self, endpoint_id: EndpointId) -> EndpointHealth:
        record = self._records.get(endpoint_id)
        if record is None:
            record = self._records[endpoint_id] = EndpointHealth()
        return record


_STANDINGS = {
    Condition.UP: Standing.GOOD,
    Condition.TRIAL: Standing.GOOD,
    Condition.COOLING: Standing.COOLING,
    Condition.DOWN: Standing.SUSPECT,
    Condition.FORBIDDEN: Standing.FORBIDDEN,
}


def _served_since(record: EndpointHealth, verdict: Verdict, monotonic: float, now: datetime) -> bool:
    """Whether live traffic has contradicted an unhealthy verdict since it was made."""
    if record.last_success is None or record.consecutive_failures:
        return False
    return now - timedelta(seconds=monotonic - record.last_success) > verdict.checked_at
