"""From the spool to Kafka, in order, until Kafka has everything, and again when the cluster is another one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from opentelemetry.metrics import Meter

from contracts import topics
from router.adapters.spool_acks import Published
from router.adapters.spool_segments import SpoolEntry
from router.adapters.usage_spool import UsageSpool
from servicekit.clock import Clock
from servicekit.kafka import BusUnavailableError, RecordSink, RecordTooLargeError
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec, GaugeSpec

_log = get_logger(__name__)

# Entries that are on their way at the same time.
_BATCH = 256
_RETRY_SECONDS = 0.5

_PUBLISHED = CounterSpec("router.usage_event.published", "{event}", "Usage events that Kafka has acknowledged.")
_SIZE = GaugeSpec("router.usage_spool.size", "By", "Bytes of the spool's files; new work is refused near its capacity.")
_BACKLOG = GaugeSpec("router.usage_event.backlog", "{event}", "Usage events in the spool that Kafka does not have yet.")


class UsagePublisher(Component):
    """Publishes what the spool holds. Broker trouble delays it and nothing else."""

    name = "usage-publisher"

    def __init__(self, spool: UsageSpool, sink: RecordSink, clock: Clock, meter: Meter) -> None:
        """Make the publisher.

        Args:
            spool: to read; it must have started before this starts.
            sink: to write to.
            clock: paces the retries.
            meter: counts what is published.
        """
        self._spool = spool
        self._sink = sink
        self._clock = clock
        self._published_count = _PUBLISHED.create(meter)
        self._backlog = _BACKLOG.create(meter, lambda: self._spool.backlog)
        self._size = _SIZE.create(meter, lambda: self._spool.size)
        self._stopping = asyncio.Event()
        self._position = 0
        self._clusters_seen = 0
        sink.on_new_cluster.append(self._on_cluster)

    async def start(self) -> None:
        """Continue where the last run of this router has ended."""
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
            _log.warning("usage_event.left_behind", entries=self._spool.backlog)
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
            _log.warning("usage_event.replay_started", cluster=cluster_id, previous=published.cluster_id)
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
            await self._send_all(entries)
            # A cluster that was replaced on the way may have taken some of them with it: then all over again.
            if clusters_seen == self._clusters_seen:
                self._position = entries[-1][0]
                self._spool.note_published(Published(self._spool.published.cluster_id, self._position))
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
            await self._sink.send(topics.USAGE.name, key=entry.key, value=entry.value, headers=entry.headers)
        except BusUnavailableError:
            return False
        except RecordTooLargeError:
            # Cannot be: an event has less than a thousandth of the limit. It stays in the spool for an hour.
            _log.error("usage_event.refused", subject=entry.headers.get("ce_subject"))
        return True
