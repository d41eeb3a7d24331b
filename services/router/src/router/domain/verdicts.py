"""What the prober says of endpoints. A verdict that is late, stale or missing says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.ids import EndpointId

# Three probe intervals: a prober that has been silent for longer is itself in trouble.
MAX_AGE = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A prober's statement on one endpoint. Times are aware, in UTC."""

    endpoint_id: EndpointId
    healthy: bool
    epoch: int
    sequence: int
    checked_at: datetime
    expires_at: datetime

    def supersedes(self, other: Verdict) -> bool:
        """Whether this one is later: a restarted prober outranks its former self, whatever its sequence."""
        return (self.epoch, self.sequence) > (other.epoch, other.sequence)

    def in_force(self, now: datetime) -> bool:
        """Whether it still says anything."""
        return now < self.expires_at and now - self.checked_at <= MAX_AGE
