"""Endpoint statistics in memory, kept from their compacted topic."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.metrics import Meter

from contracts.topics import ENDPOINT_STATS
from servicekit.clock import Clock
from servicekit.kafka import CompactedTable
from servicekit.lifecycle import Component
from servicekit.settings import KafkaSettings
from turnpike.metering.v1 import endpoint_stats_pb2

# They are published again within a minute. What is older says nothing of now.
MAX_AGE: Final = timedelta(minutes=10)


class KafkaEndpointStats:
    """The EndpointStats on Kafka. Nobody waits for it: without a cluster nothing is known of any endpoint."""

    def __init__(self, settings: KafkaSettings, clock: Clock, meter: Meter) -> None:
        """Make the mirror.

        Args:
            settings: of the cluster.
            clock: tells the age.
            meter: measures entries and age.
        """
        self._clock = clock
        self._table = CompactedTable(
            settings,
            clock,
            topic=ENDPOINT_STATS.name,
            decode=_stats_from_bytes,
            supersedes=lambda new, old: new.measured_at.ToNanoseconds() >= old.measured_at.ToNanoseconds(),
            required=False,
            meter=meter,
        )

    @property
    def table(self) -> Component:
        """What has to run."""
        return self._table

    def stats(self, endpoint_id: str) -> endpoint_stats_pb2.EndpointStats | None:
        """What an endpoint did lately; None when that is not known, or was not for ten minutes."""
        stats = self._table.get(endpoint_id)
        if stats is None or stats.endpoint_id != endpoint_id:
            return None
        age = self._clock.now() - stats.measured_at.ToDatetime(UTC)
        return stats if age <= MAX_AGE else None


def _stats_from_bytes(data: bytes) -> endpoint_stats_pb2.EndpointStats:
    try:
        return endpoint_stats_pb2.EndpointStats.FromString(data)
    except DecodeError:
        raise ValueError("not endpoint statistics") from None
