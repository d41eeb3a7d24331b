"""What the prober says of endpoints. A verdict that is late, stale or missing says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.ids import EndpointId

# Three probe intervals: a prober that has been silent for longer is itself in trouble.
MAX_AGE = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A prober's statement on one endpoint. Times are aware, in UTC. `region` is where it probes from, if it says so."""

    endpoint_id: EndpointId
    healthy: bool
    epoch: int
    sequence: int
    checked_at: datetime
    expires_at: datetime
    region: str = ""

    def supersedes(self, other: Verdict) -> bool:
        """Whether this one is later: a restarted prober outranks its former self, whatever its sequence."""
        return (self.epoch, self.sequence) > (other.epoch, other.sequence)

    def is_about(self, region: str) -> bool:
        """Whether it tells how the endpoint answers to callers of this region."""
        return self.region in ("", region)

    def replaces(self, other: Verdict, region: str) -> bool:
        """Whether a router of a region goes by this one from now on: a verdict of its own region comes first."""
        if self.is_about(region) != other.is_about(region):
            return self.is_about(region)
        return self.supersedes(other)

    def in_force(self, now: datetime) -> bool:
        """Whether it still says anything."""
        return now < self.expires_at and now - self.checked_at <= MAX_AGE

    @property
    def ends_at(self) -> datetime:
        """When it ceases to say anything."""
        return min(self.expires_at, self.checked_at + MAX_AGE)
