"""Reading of all partitions of a topic, without a group."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiokafka
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from servicekit.interruption import Interruption
from servicekit.kafka.client_errors import CLIENT_ERRORS
from servicekit.kafka.cluster import ClusterView, client_options
from servicekit.kafka.disposal import dispose_consumer, open_client
from servicekit.kafka.pulse import Pulse
from servicekit.kafka.records import TopicPartition
from servicekit.logs import get_logger
from servicekit.settings import KafkaSettings

_log = get_logger(__name__)

_OPEN_SECONDS: Final = 10.0
_IDLE_MS: Final = 200
_MAX_RECORDS: Final = 2000


class TopicReader:
    """One aiokafka consumer that is assigned every partition of a topic."""

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        view: ClusterView,
        apply: Callable[[str, bytes | None], None],
        *,
        from_end: bool = False,
    ) -> None:
        """Make a reader.

        Args:
            settings: of the cluster.
            topic: to read.
            view: the cluster that this reader is for.
            apply: takes key and value of each record.
            from_end: begin after the last record, instead of at the first, where no position is given.
        """
        self.view = view
        self.end = Interruption()
        self.positions: dict[TopicPartition, int] = {}
        self._settings, self._topic, self._apply, self._from_end = settings, topic, apply, from_end
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.brokers,
            client_id=f"table-{topic}",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            **client_options(settings),
        )
        self._pulse = Pulse(self._consumer, settings, self.end)
        self._ends: dict[TopicPartition, int] = {}

    async def open(self, positions: Mapping[TopicPartition, int]) -> bool:
        """Connect, go to `positions` where they still exist and to the start (or end) elsewhere, and note the end.

        Returns:
            False if that is not possible now.
        """
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                await self._open(positions)
        except CLIENT_ERRORS as error:
            _log.warning("table.open_failed", topic=self._topic, error=type(error).__name__)
            await self.close()
            return False
        except asyncio.CancelledError:
            await self.close()
            raise
        return True

    async def catch_up(self) -> bool:
        """Read to the end that was noted; False if the cluster was lost before.

        May be called again after it was cancelled.
        """
        async with self._watched():
            while not self.end.happened and not self._is_at_end():
                await self._poll()
        return not self.end.happened

    async def follow(self, on_current: Callable[[], None]) -> None:
        """Read until the end happens; call `on_current` whenever everything that is there was read."""
        async with self._watched(on_current):
            while not self.end.happened:
                await self._poll()

    async def close(self) -> None:
        """Close the consumer."""
        self.end.happen("closed")
        await dispose_consumer(self._consumer)

    async def _open(self, positions: Mapping[TopicPartition, int]) -> None:
        await open_client(self._consumer)
        numbers = await self._partitions()
        partitions = [aiokafka.TopicPartition(self._topic, number) for number in sorted(numbers)]
        self._consumer.assign(partitions)
        first = await self._consumer.beginning_offsets(partitions)
        ends = await self._consumer.end_offsets(partitions)
        for partition in partitions:
            ours = TopicPartition(*partition)
            wanted = positions.get(ours, -1)
            otherwise = ends[partition] if self._from_end else first[partition]
            start = wanted if first[partition] <= wanted <= ends[partition] else otherwise
            self._consumer.seek(partition, start)
            self.positions[ours] = start
            self._ends[ours] = ends[partition]

    async def _partitions(self) -> set[int]:
        """The partitions, as soon as the topic exists (asking creates it where the cluster does that)."""
        while True:
            self._consumer._client.add_topic(self._topic)
            found = self._consumer.partitions_for_topic(self._topic)
            if found:
                return set(found)
            await self._consumer._client.force_metadata_update()
            await asyncio.sleep(0.05)

    def _is_at_end(self) -> bool:
        return all(self.positions[partition] >= end for partition, end in self._ends.items())

    async def _poll(self) -> None:
        try:
            found = (await self.end.guard(self._consumer.getmany(timeout_ms=_IDLE_MS, max_records=_MAX_RECORDS))).value
            for partition, records in (found or {}).items():
                for record in records:
                    self._take(record)
                self.positions[TopicPartition(*partition)] = records[-1].offset + 1
                self._pulse.note_progress()
            if not found and not self.end.happened:
                # Control records and compacted ones move the position without being handed out.
                for partition in self.positions:
                    self.positions[partition] = await self._position(partition)
        except KafkaError as error:
            self.end.happen(f"{type(error).__name__}: {error}")

    async def _position(self, partition: TopicPartition) -> int:
        asked = self._consumer.position(aiokafka.TopicPartition(*partition))
        position = (await self.end.guard(asked, seconds=1.0)).value
        return self.positions[partition] if position is None else max(position, self.positions[partition])

    def _take(self, record: Any) -> None:
        if record.key is None:
            return
        try:
            key = record.key.decode()
        except UnicodeDecodeError:
            _log.error("table.record_rejected", topic=self._topic, error="the key is not UTF-8")
            return
        self._apply(key, record.value)

    @contextlib.asynccontextmanager
    async def _watched(self, on_current: Callable[[], None] | None = None) -> Any:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(on_current))
            try:
                yield
            finally:
                watching.cancel()

    async def _watch(self, on_current: Callable[[], None] | None) -> None:
        known = len(self.positions)
        while True:
            await asyncio.sleep(self._pulse.seconds)
            answered = await self._pulse.beat(self.positions, busy=False)
            if answered and on_current is not None and not self._pulse.lag(self.positions):
                on_current()
            if len(self._consumer.partitions_for_topic(self._topic) or ()) > known:
                self.end.happen("the topic has more partitions")
