"""From probes to verdicts: one success is health, several failures in a row are the lack of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from contracts.ids import EndpointId
from health_prober.domain.probe import ProbeOutcome, ProbeResult


class Health(StrEnum):
    """What is said of an endpoint."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the probes of one endpoint have shown so far. `health` is None while they have not shown enough."""

    health: Health | None = None
    consecutive_failures: int = 0
    unreachable: bool = False

    @property
    def in_doubt(self) -> bool:
        """Whether the last telling probe failed."""
        return self.consecutive_failures > 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A statement on one endpoint, to be ignored after `expires_at`.

    Attributes:
        endpoint_id: the endpoint.
        health: what is said.
        outcome: of the last probe.
        latency: that the last probe took.
        consecutive_failures: up to the last probe.
        checked_at: when the last probe ended.
        expires_at: when the statement becomes stale.
        sequence: counts the statements on this endpoint from 1.
    """

    endpoint_id: EndpointId
    health: Health
    outcome: ProbeOutcome
    latency: timedelta
    consecutive_failures: int
    checked_at: datetime
    expires_at: datetime
    sequence: int


def judge(standing: Standing, outcome: ProbeOutcome, failures_to_unhealthy: int) -> Standing:
    """Take one more probe into account. A result that says nothing changes nothing."""
    if outcome.result.says_nothing:
        return standing
    if outcome.result is ProbeResult.OK:
        return Standing(Health.HEALTHY)
    failures = standing.consecutive_failures + 1
    unhealthy = failures >= failures_to_unhealthy
    return replace(
        standing,
        health=Health.UNHEALTHY if unhealthy else standing.health,
        consecutive_failures=failures,
        unreachable=outcome.result is ProbeResult.UNREACHABLE,
    )
