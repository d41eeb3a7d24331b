"""Endpoint statistics to their compacted topic."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.topics import ENDPOINT_STATS, cloud_event_headers
from metering.domain.endpoint_stats import EndpointStats
from metering.domain.errors import StatsNotPublishedError
from metering.stats_convert import stats_to_proto
from servicekit.kafka import BusUnavailableError, RecordSink, RecordTooLargeError


class KafkaEndpointStatsTopic:
    """The EndpointStatsTopic on Kafka."""

    def __init__(self, sink: RecordSink, instance: str) -> None:
        self._sink = sink
        self._source = f"/metering/{instance}"

    async def publish(self, stats: EndpointStats) -> None:
        """Publish what an endpoint did."""
        await self._send(stats.endpoint_id, stats_to_proto(stats).SerializeToString(), stats.measured_at)

    async def retract(self, endpoint_id: str, measured_at: int) -> None:
        """Publish that nothing is known of an endpoint any more."""
        await self._send(endpoint_id, None, measured_at)

    async def _send(self, endpoint_id: str, value: bytes | None, measured_at: int) -> None:
        headers = cloud_event_headers(
            ENDPOINT_STATS,
            event_id=f"{endpoint_id}:{measured_at}",
            source=self._source,
            time=datetime.fromtimestamp(measured_at, UTC),
            subject=endpoint_id,
        )
        try:
            await self._sink.send(ENDPOINT_STATS.name, key=endpoint_id.encode(), value=value, headers=headers)
        except (BusUnavailableError, RecordTooLargeError) as error:
            raise StatsNotPublishedError(str(error)) from error
