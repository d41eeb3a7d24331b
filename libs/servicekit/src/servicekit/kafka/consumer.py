"""Reading of topics into a store that keeps the offsets itself."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

from opentelemetry.metrics import Meter, NoOpMeter

from servicekit.clock import Clock
from servicekit.interruption import Interruption
from servicekit.kafka.cluster import ClusterState, ClusterView
from servicekit.kafka.records import RecordHandler, TopicPartition
from servicekit.kafka.session import ConsumerSession
from servicekit.lifecycle import Component
from servicekit.liveness import Progress
from servicekit.logs import get_logger
from servicekit.metrics import GaugeSpec
from servicekit.settings import KafkaSettings

_log = get_logger(__name__)

_RETRY_SECONDS: Final = 0.5
_LAG: Final = GaugeSpec("messaging.consumer.lag", "{message}", "Records in the log that were not handled yet.")
_CONSUMED: Final = GaugeSpec("messaging.consumer.handled", "{message}", "Records that were handled by this process.")


class RecordConsumer(Component):
    """Feeds a handler from topics, at least once, in order within a partition.

    Offsets live in the handler's store, keyed by the cluster's id, and are committed to Kafka for lag tools only. The
    aiokafka consumer is made anew when its broker died, stalls, or was replaced by one with another identity; then the
    handler is asked again where to begin.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        clock: Clock,
        *,
        topics: Sequence[str],
        group: str,
        handler: RecordHandler,
        max_records: int = 500,
        max_wait: timedelta = timedelta(0),
        meter: Meter | None = None,
    ) -> None:
        """Make a consumer.

        Args:
            settings: of the cluster.
            clock: paces the retries.
            topics: to read.
            group: whose members share the partitions.
            handler: takes the records. A `gap` method, if it has one (`GapHandler`), hears of lost records.
            max_records: handed over at once.
            max_wait: how long records wait for more after the first one came. 0 takes what is there.
            meter: measures the lag.
        """
        self.name = f"kafka-consumer:{group}"
        self._settings, self._clock = settings, clock
        self._topics, self._group, self._handler = tuple(topics), group, handler
        self._max_records, self._max_wait = max_records, max_wait.total_seconds()
        self._state = ClusterState(settings, clock, group)
        self._stop = Interruption()
        self._finished = asyncio.Event()
        self._running = False
        self._session: ConsumerSession | None = None
        self._handled = 0
        self._progress = Progress(settings.stuck_timeout.total_seconds(), clock.monotonic)
        meter = meter or NoOpMeter("servicekit")
        attributes = {"messaging.consumer.group.name": group}
        _LAG.create(meter, lambda: [(self.lag, attributes)])
        _CONSUMED.create(meter, lambda: [(self.handled, attributes)])

    @property
    def lag(self) -> int:
        """Records that are in the log and not handled, as of the last look (every few seconds)."""
        return self._session.lag if self._session else 0

    @property
    def handled(self) -> int:
        """Records that were handled since the start of the process, repeated ones included."""
        return self._handled + (self._session.consumed if self._session else 0)

    @property
    def assignment(self) -> Collection[TopicPartition]:
        """The partitions that are being read now."""
        return self._session.assignment if self._session else frozenset()

    @property
    def has_caught_up(self) -> bool:
        """Whether partitions are being read, and all of what they held when that began has been handled."""
        return self._session is not None and self._session.has_caught_up

    @property
    def is_live(self) -> bool:
        """False when there are records and a cluster that answers, and for too long nothing was handed over.

        A session that stalls is made anew long before, so this says that making it anew does not help. A handler that asks
        for the same records later is no fault of ours, nor is a cluster that is away: a restart would change neither.
        """
        return not (self._running and self._progress.is_stuck(self._state.reachable_since))

    async def run(self) -> None:
        """Read until stopped; wait for a cluster as long as there is none.

        Raises:
            Exception: what the handler raises, `RetryLaterError` excepted.
        """
        self._running = True
        self._progress.note()
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._state.watch())
                try:
                    await self._serve()
                finally:
                    watching.cancel()
        finally:
            self._finished.set()

    async def stop(self, grace: timedelta) -> None:
        """Let the handler finish what it has in hand, and leave the group."""
        self._stop.happen("stop")
        if self._running:
            await self._finished.wait()

    def in_flight(self) -> int:
        """Records that the handler has in hand."""
        return self._session.in_hand if self._session else 0

    async def _serve(self) -> None:
        while not self._stop.happened:
            found = await self._stop.guard(self._state.wait_reachable())
            if found.value is None:
                continue
            reason = await self._read(found.value)
            if not self._stop.happened:
                _log.warning("consumer.ended", group=self._group, reason=reason)
                await self._stop.guard(self._clock.sleep(_RETRY_SECONDS))

    async def _read(self, view: ClusterView) -> str:
        end = Interruption()
        session = self._session = ConsumerSession(
            self._settings,
            self._clock,
            topics=self._topics,
            group=self._group,
            handler=self._handler,
            max_records=self._max_records,
            max_wait=self._max_wait,
            view=view,
            end=end,
            on_progress=self._progress.note,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                causes = [
                    tasks.create_task(self._end_on_replacement(view, end)),
                    tasks.create_task(self._end_on_stop(end)),
                ]
                try:
                    await session.run()
                finally:
                    for cause in causes:
                        cause.cancel()
        finally:
            self._handled += session.consumed
            self._session = None
        return end.reason

    async def _end_on_replacement(self, view: ClusterView, end: Interruption) -> None:
        await self._state.wait_replaced(view)
        end.happen("the cluster was replaced")

    async def _end_on_stop(self, end: Interruption) -> None:
        await self._stop.wait()
        end.happen("stop")
