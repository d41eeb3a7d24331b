"""What outlives a process of ingest, and processes that end where a test says."""

from __future__ import annotations

from collections.abc import Sequence

from metering.ingest import Ingest, IngestLimits
from metering.ingest_telemetry import IngestTelemetry
from metering.recent import RecentEvents
from metering.testing.memory_planned_records import MemoryPlannedRecords
from metering.testing.memory_usage_log import MemoryDeadLetters, MemoryUsageLog
from metering.testing.usage_events import EventFactory
from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.kafka import Record, TopicPartition
from servicekit.testing import ManualClock, RecordingTelemetry
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

TOPIC = "turnpike.usage.v1"
P0, P1 = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


class KilledError(Exception):
    """Stands for the end of the process."""


def kill() -> None:
    raise KilledError


class World:
    """What outlives a process: the topic, the store, the dead letters."""

    def __init__(self, new_event: EventFactory) -> None:
        self.new_event = new_event
        self.log = MemoryUsageLog()
        self.letters = MemoryDeadLetters()
        self.topic: dict[TopicPartition, list[Record]] = {P0: [], P1: []}
        self.events: list[UsageEvent] = []
        self.planned = MemoryPlannedRecords(self.topic)

    def produce(
        self, partition: TopicPartition = P0, *, traceparent: str | None = None, bad: bool = False
    ) -> UsageEvent:
        event = self.new_event(org_id="org")
        headers = {"ce_id": event.event_id} | ({"traceparent": traceparent} if traceparent else {})
        offset = len(self.topic[partition])
        value = b"\xff" if bad else event.SerializeToString()
        self.topic[partition].append(Record(*partition, offset, b"org", value, headers, 0))
        if not bad:
            self.events.append(event)
        return event

    def start(
        self,
        *,
        limits: IngestLimits | None = None,
        failpoints: Failpoints | None = None,
        recent: RecentEvents | None = None,
        clock: Clock | None = None,
        telemetry: RecordingTelemetry | None = None,
    ) -> Ingest:
        telemetry = telemetry or RecordingTelemetry()
        return Ingest(
            self.log,
            self.letters,
            self.planned,
            RecentEvents(1_000) if recent is None else recent,
            clock or ManualClock(),
            limits or IngestLimits(),
            IngestTelemetry(telemetry.tracer, telemetry.meter),
            failpoints or Failpoints(),
        )

    async def deliver(
        self, ingest: Ingest, chunks: Sequence[int] = (), partitions: Sequence[TopicPartition] = (P0, P1)
    ) -> None:
        """Deliver each partition from where the store says, in chunks of these sizes and then the rest."""
        offsets = await ingest.start_offsets("c", partitions)
        for partition in partitions:
            records, at = self.topic[partition], offsets.get(partition, 0)
            for size in [*chunks, len(records)]:
                if chunk := records[at : at + size]:
                    await ingest.handle("c", partition, chunk)
                at += size

    def distinct(self) -> int:
        return len({event.event_id for event in self.events})


async def drain(ingest: Ingest) -> None:
    """Flush what waits."""
    while await ingest.flush():
        pass
