"""What routers observe, from their topic."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.message import DecodeError

from contracts import topics
from contracts.ids import EndpointId
from health_prober.domain.live_traffic import LiveTraffic, Sighting
from servicekit.clock import Clock
from servicekit.kafka import TopicTail
from servicekit.logs import get_logger
from servicekit.settings import KafkaSettings
from turnpike.health.v1 import observation_pb2

_log = get_logger(__name__)


def observation_feed(settings: KafkaSettings, clock: Clock, traffic: LiveTraffic, *, region: str) -> TopicTail:
    """Make what follows the topic. Only routers of the same region count: their calls take the same way as our probes."""

    def take(data: bytes) -> None:
        try:
            sightings = sightings_from_bytes(data, region=region)
        except ValueError as error:
            _log.warning("observation.rejected", error=str(error))
            return
        for endpoint_id, sighting in sightings:
            traffic.note(endpoint_id, sighting)

    return TopicTail(settings, clock, topic=topics.OBSERVATIONS.name, on_record=take)


def sightings_from_bytes(data: bytes, *, region: str) -> list[tuple[EndpointId, Sighting]]:
    """Read an observation off the wire; empty when it comes from another region.

    Raises:
        ValueError: not an observation, or one with instants that cannot be.
    """
    try:
        message = observation_pb2.Observation.FromString(data)
    except DecodeError:
        raise ValueError("not an observation") from None
    if message.region != region:
        return []
    return [
        (EndpointId(seen.endpoint_id), Sighting(_instant(seen.last_success_ms), _instant(seen.last_failure_ms)))
        for seen in message.endpoints
    ]


def _instant(milliseconds: int) -> datetime | None:
    if not milliseconds:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        raise ValueError("an observation with instants that cannot be") from None
