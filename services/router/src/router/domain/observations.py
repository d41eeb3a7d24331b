"""What routers tell each other of live traffic: the counts of one second, and which of the messages count.

A message is a fact about the second that it covers, so the order in which messages arrive is of no importance: each is
counted once, under its second, until that is out of the window.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from contracts.ids import EndpointId
from router.domain.outages import WINDOW_SECONDS

# How far the clocks of two machines may differ. What claims to be from later on is not to be placed in time.
MAX_AHEAD_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class EndpointObservation:
    """What the calls of one second showed of one endpoint. Instants are Unix seconds, None where there was none.

    Attributes:
        endpoint_id: the endpoint.
        ok: calls with a whole answer.
        failed: calls that the endpoint is to blame for.
        rate_limited: calls that met a rate limit.
        consecutive_failures: failed calls since the last whole answer, at the end of the second.
        first_token_count: first tokens that arrived.
        first_token_seconds: sum of the times that they took.
        throughput_count: answers whose output rate was measured.
        throughput_tokens_per_second: sum of those rates.
        cooling_until: when the provider wants to be called again at the earliest, as it has said.
        last_success: of the last whole answer.
        last_failure: of the last failed call.
    """

    endpoint_id: EndpointId
    ok: int = 0
    failed: int = 0
    rate_limited: int = 0
    consecutive_failures: int = 0
    first_token_count: int = 0
    first_token_seconds: float = 0.0
    throughput_count: int = 0
    throughput_tokens_per_second: float = 0.0
    cooling_until: float | None = None
    last_success: float | None = None
    last_failure: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What one router saw within one second.

    Attributes:
        instance: the router.
        epoch: start of its run in Unix milliseconds.
        sequence: counts its messages of this epoch from 1.
        second: Unix time at which the second began.
        region: that it calls from.
        endpoints: those of which something was seen.
    """

    instance: str
    epoch: int
    sequence: int
    second: int
    region: str
    endpoints: tuple[EndpointObservation, ...]


class Ignored(StrEnum):
    """Why an observation does not count."""

    OWN = "own"
    """This router has sent it."""
    REPEATED = "repeated"
    LATE = "late"
    """Its second is out of the window, as nobody's calls of that time count any more."""
    AHEAD = "ahead"
    """Its second is yet to come: a clock is wrong."""


class ObservationFilter:
    """Knows which observations have been counted. It remembers as much as arrives within the window."""

    def __init__(self, instance: str) -> None:
        """Make the filter of the router of this name, whose own observations do not count."""
        self._instance = instance
        self._counted: dict[tuple[str, int, int], int] = {}
        self._pruned_at = 0.0

    def refuse(self, observation: Observation, now: float) -> Ignored | None:
        """Say why an observation is to be ignored at this Unix time; without a reason it counts, but only once."""
        if observation.instance == self._instance:
            return Ignored.OWN
        if observation.second <= now - WINDOW_SECONDS:
            return Ignored.LATE
        if observation.second > now + MAX_AHEAD_SECONDS:
            return Ignored.AHEAD
        identity = (observation.instance, observation.epoch, observation.sequence)
        if identity in self._counted:
            return Ignored.REPEATED
        if now - self._pruned_at > 1.0:
            self._pruned_at = now
            self._counted = {key: second for key, second in self._counted.items() if second > now - WINDOW_SECONDS}
        self._counted[identity] = observation.second
        return None


@dataclass(slots=True)
class _Count:
    """What is to be told of one endpoint. Instants are monotonic seconds."""

    ok: int = 0
    failed: int = 0
    rate_limited: int = 0
    consecutive_failures: int = 0
    first_token_count: int = 0
    first_token_seconds: float = 0.0
    throughput_count: int = 0
    throughput_tokens_per_second: float = 0.0
    cooling_until: float | None = None
    last_success: float | None = None
    last_failure: float | None = None


@dataclass(slots=True)
class Tally:
    """Counts this router's own calls until they are told. There is one count an endpoint, however long that takes."""

    _counts: dict[EndpointId, _Count] = field(default_factory=dict)

    def first_token(self, endpoint_id: EndpointId, seconds: float) -> None:
        """Count a first token."""
        count = self._count(endpoint_id)
        count.first_token_count += 1
        count.first_token_seconds += seconds

    def succeeded(self, endpoint_id: EndpointId, now: float, tokens_per_second: float | None) -> None:
        """Count a whole answer."""
        count = self._count(endpoint_id)
        count.ok += 1
        count.consecutive_failures = 0
        count.last_success = now
        if tokens_per_second is not None:
            count.throughput_count += 1
            count.throughput_tokens_per_second += tokens_per_second

    def failed(self, endpoint_id: EndpointId, now: float, consecutive_failures: int) -> None:
        """Count a failed call, after which so many have failed in a row."""
        count = self._count(endpoint_id)
        count.failed += 1
        count.consecutive_failures = consecutive_failures
        count.last_failure = now

    def rate_limited(self, endpoint_id: EndpointId, cooling_until: float | None) -> None:
        """Count a 429, and until when the provider does not want to be called, if it said so."""
        count = self._count(endpoint_id)
        count.rate_limited += 1
        if cooling_until is not None:
            count.cooling_until = max(cooling_until, count.cooling_until or cooling_until)

    def take(self, unix_offset: float) -> tuple[EndpointObservation, ...]:
        """Return what was counted since the last time, and begin anew.

        Args:
            unix_offset: what to add to a monotonic time to get the Unix time.
        """
        counts, self._counts = self._counts, {}
        return tuple(
            EndpointObservation(
                endpoint_id=endpoint_id,
                ok=count.ok,
                failed=count.failed,
                rate_limited=count.rate_limited,
                consecutive_failures=count.consecutive_failures,
                first_token_count=count.first_token_count,
                first_token_seconds=count.first_token_seconds,
                throughput_count=count.throughput_count,
                throughput_tokens_per_second=count.throughput_tokens_per_second,
                cooling_until=_moved(count.cooling_until, unix_offset),
                last_success=_moved(count.last_success, unix_offset),
                last_failure=_moved(count.last_failure, unix_offset),
            )
            for endpoint_id, count in counts.items()
        )

    def _count(self, endpoint_id: EndpointId) -> _Count:
        count = self._counts.get(endpoint_id)
        if count is None:
            count = self._counts[endpoint_id] = _Count()
        return count


def _moved(instant: float | None, by: float) -> float | None:
    return None if instant is None else instant + by
