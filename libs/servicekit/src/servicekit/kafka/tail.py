"""Following of a topic whose past is of no interest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from servicekit.clock import Clock
from servicekit.interruption import Interruption
from servicekit.kafka.cluster import ClusterState, ClusterView
from servicekit.kafka.records import TopicPartition
from servicekit.kafka.topic_reader import TopicReader
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.settings import KafkaSettings

_log = get_logger(__name__)

_RETRY_SECONDS: Final = 0.5


class TopicTail(Component):
    """Hands over what is written to a topic from now on, in the order of each partition.

    It starts without a cluster, and nothing waits for it. When contact is lost it goes on where it was; on another cluster
    it begins at the end. A record may be handed over twice.
    """

    def __init__(
        self, settings: KafkaSettings, clock: Clock, *, topic: str, on_record: Callable[[bytes], None]
    ) -> None:
        """Make a tail.

        Args:
            settings: of the cluster.
            clock: paces the retries.
            topic: to follow.
            on_record: takes the value of each record that has one.
        """
        self.name = f"kafka-tail:{topic}"
        self._settings, self._clock, self._topic, self._on_record = settings, clock, topic, on_record
        self._state = ClusterState(settings, clock, self.name)
        self._stop = Interruption()
        self._positions: tuple[str, dict[TopicPartition, int]] = ("", {})

    async def run(self) -> None:
        """Follow the topic, on whichever cluster there is."""
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._state.watch())
            try:
                while not self._stop.happened:
                    await self._follow()
            finally:
                watching.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Stop following."""
        self._stop.happen("stop")

    async def _follow(self) -> None:
        view = (await self._stop.guard(self._state.wait_reachable())).value
        if view is None:
            return
        cluster_id, positions = self._positions
        reader = TopicReader(self._settings, self._topic, view, self._take, from_end=True)
        opened = await self._stop.guard(reader.open(positions if cluster_id == view.cluster_id else {}))
        if opened.value:
            await self._follow_reader(reader)
        if not self._stop.happened:
            await self._stop.guard(self._clock.sleep(_RETRY_SECONDS))

    async def _follow_reader(self, reader: TopicReader) -> None:
        _log.info("tail.opened", topic=self._topic, cluster=reader.view.cluster_id)
        try:
            async with asyncio.TaskGroup() as tasks:
                causes = [
                    tasks.create_task(self._end_on_replacement(reader, reader.view)),
                    tasks.create_task(self._end_on_stop(reader)),
                ]
                try:
                    await reader.follow(on_current=lambda: None)
                finally:
                    for cause in causes:
                        cause.cancel()
        finally:
            self._positions = (reader.view.cluster_id, reader.positions)
            await reader.close()
        if not self._stop.happened:
            _log.warning("tail.ended", topic=self._topic, reason=reader.end.reason)

    async def _end_on_replacement(self, reader: TopicReader, view: ClusterView) -> None:
        await self._state.wait_replaced(view)
        reader.end.happen("the cluster was replaced")

    async def _end_on_stop(self, reader: TopicReader) -> None:
        await self._stop.wait()
        reader.end.happen("stop")

    def _take(self, _: str, value: bytes | None) -> None:
        if value is not None:
            self._on_record(value)
