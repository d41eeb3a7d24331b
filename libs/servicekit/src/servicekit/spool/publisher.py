"""From the spool to Kafka, in order, until Kafka has everything, and again when the cluster is another one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from opentelemetry.metrics import Meter

from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.kafka import BusUnavailableError, RecordSink, RecordTooLargeError
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec, GaugeSpec
from servicekit.spool.acks import Published
from servicekit.spool.record_spool import RecordSpool
from servicekit.spool.segments import SpoolEntry

_log = get_logger(__name__)

# Entries that are on their way at the same time.
_BATCH = 256
_RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class SpoolMetrics:
    """How a service calls what it counts.

    Attributes:
        published: records that Kafka has acknowledged.
        size: bytes of the spool's files.
        backlog: records in the spool that Kafka does not have yet.
    """

    published: CounterSpec
    size: GaugeSpec
    backlog: GaugeSpec


class SpoolPublisher(Component):
    """Publishes what a spool holds. Broker trouble delays it and nothing else."""

    def __init__(
        self,
        spool: RecordSpool,
        sink: RecordSink,
        clock: Clock,
        meter: Meter,
        *,
        topic: str,
        metrics: SpoolMetrics,
        failpoints: Failpoints | None = None,
    ) -> None:
        """Make the publisher.

        Args:
            spool: to read; it must have started before this starts.
            sink: to write to.
            clock: paces the retries.
            meter: counts what is published.
            topic: of all records.
            metrics: names of what is counted.
            failpoints: where a test kills the process, of `POINTS`.
        """
        self.name = f"{spool.name}-publisher"
        self._spool = spool
        self._sink = sink
        self._clock = clock
        self._topic = topic
        self._failpoints = failpoints or Failpoints()
        self._published_count = metrics.published.create(meter)
        self._backlog = metrics.backlog.create(meter, lambda: self._spool.backlog)
        self._size = metrics.size.create(meter, lambda: self._spool.size)
        self._stopping = asyncio.Event()
        self._position = 0
        self._clusters_seen = 0
        sink.on_new_cluster.append(self._on_cluster)

    async def start(self) -> None:
        """Continue where the last run of this process has ended."""
        self._position = self._spool.published.through

    async def run(self) -> None:
        """Publish until stopped."""
        async with asyncio.TaskGroup() as tasks:
            publishing = tasks.create_task(self._publish())
            await self._stopping.wait()
            publishing.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Give what is in the spool a chance to leave, then stop. What stays is sent by the next run."""
        deadline = self._clock.monotonic() + grace.total_seconds() / 2
        while self._spool.backlog and self._sink.connected and self._clock.monotonic() < deadline:
            await self._clock.sleep(0.02)
        if self._spool.backlog:
            _log.warning("spool.left_behind", spool=self._spool.name, entries=self._spool.backlog)
        self._stopping.set()

    def in_flight(self) -> int:
        """Entries that Kafka does not have yet."""
        return self._spool.backlog

    def _on_cluster(self, cluster_id: str) -> None:
        """Begin at the front when the cluster is not the one that has acknowledged so far: it has lost everything."""
        published = self._spool.published
        if published.cluster_id == cluster_id:
            return
        if published.through:
            _log.warning(
                "spool.replay_started", spool=self._spool.name, cluster=cluster_id, previous=published.cluster_id
            )
        self._clusters_seen += 1
        self._position = 0
        self._spool.note_published(Published(cluster_id, 0))

    async def _first_contact(self) -> None:
        """Wait for the cluster: only then is it known what it has already."""
        while True:
            try:
                await self._sink.cluster_id()
            except BusUnavailableError:
                await self._clock.sleep(_RETRY_SECONDS)
            else:
                return

    async def _publish(self) -> None:
        await self._first_contact()
        while True:
            clusters_seen = self._clusters_seen
            entries = await self._spool.read_after(self._position, _BATCH)
            self._failpoints.reach("spool.sending")
            await self._send_all(entries)
            self._failpoints.reach("spool.acknowledged")
            # A cluster that was replaced on the way may have taken some of them with it: then all over again.
            if clusters_seen == self._clusters_seen:
                self._position = entries[-1][0]
                self._spool.note_published(Published(self._spool.published.cluster_id, self._position))
                self._failpoints.reach("spool.noted")
                self._published_count.add(len(entries))

    async def _send_all(self, entries: Sequence[tuple[int, SpoolEntry]]) -> None:
        """Send until everything is acknowledged."""
        left = [entry for _, entry in entries]
        while True:
            if len(left) == 1:
                results = [await self._send(left[0])]
            else:
                async with asyncio.TaskGroup() as tasks:
                    sending = [tasks.create_task(self._send(entry)) for entry in left]
                results = [task.result() for task in sending]
            left = [entry for entry, is_sent in zip(left, results, strict=True) if not is_sent]
            if not left:
                return
            await self._clock.sleep(_RETRY_SECONDS)

    async def _send(self, entry: SpoolEntry) -> bool:
        try:
            await self._sink.send(self._topic, key=entry.key, value=entry.value, headers=entry.headers)
        except BusUnavailableError:
            return False
        except RecordTooLargeError:
            # Sending it again would be refused again. It stays in the spool for as long as published records do.
            _log.error("spool.record_refused", spool=self._spool.name, subject=entry.headers.get("ce_subject"))
        return True
