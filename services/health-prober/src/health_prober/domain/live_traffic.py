"""What the calls of routers show of endpoints: where it is enough, nobody needs to pay for a probe."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.ids import EndpointId

# How far the clocks of two machines may differ. What claims to be from later on is not to be placed in time.
_MAX_AHEAD = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Sighting:
    """When calls of an endpoint last succeeded and failed, as far as anybody has told."""

    last_success: datetime | None = None
    last_failure: datetime | None = None


class LiveTraffic:
    """The newest of what routers have told, for the endpoints that are watched. The order of telling does not matter."""

    def __init__(self) -> None:
        self._sightings: dict[EndpointId, Sighting] = {}

    def watch(self, endpoint_ids: Collection[EndpointId]) -> None:
        """Keep what is told of these from now on, and of no others."""
        self._sightings = {key: self._sightings.get(key, Sighting()) for key in endpoint_ids}

    def note(self, endpoint_id: EndpointId, told: Sighting) -> None:
        """Take in what a router has seen."""
        known = self._sightings.get(endpoint_id)
        if known is not None:
            self._sightings[endpoint_id] = Sighting(
                _later(known.last_success, told.last_success), _later(known.last_failure, told.last_failure)
            )

    def shows_health(self, endpoint_id: EndpointId, now: datetime, within: timedelta) -> bool:
        """Whether a call has succeeded so lately, and none has failed since."""
        known = self._sightings.get(endpoint_id, Sighting())
        success, failure = known.last_success, known.last_failure
        if success is None or not now - within < success <= now + _MAX_AHEAD:
            return False
        return failure is None or failure < success


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)
