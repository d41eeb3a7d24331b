"""One aiokafka consumer from its subscription to its end; `RecordConsumer` makes the next one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import aiokafka
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from servicekit.clock import Clock
from servicekit.interruption import Interruption
from servicekit.kafka.client_errors import CLIENT_ERRORS
from servicekit.kafka.cluster import ClusterView, client_options
from servicekit.kafka.disposal import dispose_consumer, open_client
from servicekit.kafka.fetching import fetch_records
from servicekit.kafka.pulse import Pulse
from servicekit.kafka.records import Record, RecordHandler, RetryLaterError, TopicPartition
from servicekit.logs import get_logger
from servicekit.settings import KafkaSettings

_log = get_logger(__name__)

_OPEN_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 5.0
_JOIN_SLACK: Final = timedelta(seconds=5)
_IDLE_MS: Final = 200
_LEAVE_SECONDS: Final = 2.0
_COMMIT_SECONDS: Final = 3.0
_POSITION_SECONDS: Final = 0.5  # it is known at once, or not until a fetch
_BACKOFF: Final = (0.1, 5.0)
"""First and longest pause before the same records are handed over again, in seconds."""
_DOUBLINGS: Final = 10  # far enough to reach the longest pause

_NOWHERE: Final = aiokafka.TopicPartition("", 0)
"""A poll of a partition that does not exist takes no records and shows the group that we are alive."""


class ConsumerSession(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is published without types
    """Positions by the handler's offsets, feeds it, and notices when nothing comes any more."""

    def __init__(
        self,
        settings: KafkaSettings,
        clock: Clock,
        *,
        topics: Sequence[str],
        group: str,
        handler: RecordHandler,
        max_records: int,
        max_wait: float,
        view: ClusterView,
        end: Interruption,
        on_progress: Callable[[], None],
    ) -> None:
        self._settings, self._clock = settings, clock
        self._topics, self._group, self._handler = tuple(topics), group, handler
        self._max_records, self._max_wait = max_records, max_wait
        self._view, self._end = view, end
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.brokers,
            group_id=group,
            client_id=group,
            enable_auto_commit=False,
            # The handler says where to begin; anything else is a gap to report.
            auto_offset_reset="none",
            partition_assignment_strategy=(StickyPartitionAssignor,),
            session_timeout_ms=_ms(settings.session_timeout),
            heartbeat_interval_ms=_ms(settings.session_timeout / 10),
            max_poll_interval_ms=_ms(settings.max_poll_interval),
            isolation_level="read_committed",
            **client_options(settings) | {"request_timeout_ms": _join_timeout_ms(settings)},
        )
        self._pulse = Pulse(self._consumer, settings, end, on_progress)
        # Counts assignments; what was fetched under an older one is dropped.
        self._epoch = 0
        self._assigned = asyncio.Event()
        self._positioned_epoch = -1
        self._next: dict[TopicPartition, int] = {}
        self._reached: dict[TopicPartition, int] = {}
        # Where the logs ended when the reading began, until that is reached.
        self._behind: dict[TopicPartition, int] = {}
        self._undelivered: set[TopicPartition] = set()
        self._committed: dict[TopicPartition, int] = {}
        self._handling = asyncio.Lock()
        self._revocation_error: Exception | None = None
        self.in_hand = 0
        self.consumed = 0

    @property
    def lag(self) -> int:
        """Records that are in the log and not handled, as of the last look."""
        return self._pulse.lag(self._reached_or_next())

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that are being read."""
        return frozenset(self._next)

    @property
    def has_caught_up(self) -> bool:
        """Whether partitions are being read, and all of what they held when that began has been handled."""
        if self._behind:
            reached = self._reached_or_next()
            self._behind = {key: end for key, end in self._behind.items() if reached.get(key, 0) < end}
        return bool(self._next) and not self._behind

    async def run(self) -> None:
        """Work until the end, which may be of our own making (a stall, an error of the client).

        Raises:
            Exception: what the handler raises, `RetryLaterError` excepted.
        """
        graceful = False
        try:
            if not await self._open():
                return
            async with asyncio.TaskGroup() as tasks:
                background = [tasks.create_task(self._keep_alive()), tasks.create_task(self._watch())]
                try:
                    await self._loop()
                finally:
                    for task in background:
                        task.cancel()
            graceful = self._end.reason == "stop"
            if graceful:
                await self._commit()
        finally:
            await self._release()
            await dispose_consumer(self._consumer, leave_seconds=_LEAVE_SECONDS if graceful else 0.0)
        if self._revocation_error is not None:
            raise self._revocation_error

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """The group rebalances: finish what is in hand."""
        self._epoch += 1
        self._assigned.clear()
        self._pulse.pause()
        try:
            async with asyncio.timeout(self._settings.max_poll_interval.total_seconds()), self._handling:
                await self._release()
        except TimeoutError:
            self._end.happen("revocation took too long")
        except Exception as error:
            # aiokafka would log it and go on with the rebalance.
            self._revocation_error = error
            self._end.happen("revocation failed")

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """The group has balanced."""
        self._epoch += 1
        self._assigned.set()

    async def _open(self) -> bool:
        try:
            if not (await self._end.guard(open_client(self._consumer), seconds=_OPEN_SECONDS)).done:
                self._end.happen("no answer at the start")
                return False
            fetch_records(self._consumer)
            self._consumer.subscribe(list(self._topics), listener=self)
        except (KafkaError, OSError) as error:
            self._end.happen(f"{type(error).__name__}: {error}")
            return False
        self._pulse.pause()
        return True

    async def _release(self) -> None:
        partitions = frozenset(self._next)
        self._next.clear()
        self._reached.clear()
        self._behind.clear()
        self._committed.clear()
        if partitions:
            await self._handler.revoked(partitions)

    async def _loop(self) -> None:
        while not self._end.happened:
            epoch = self._epoch
            try:
                if self._positioned_epoch == self._epoch:
                    batches = await self._poll()
                elif (await self._end.guard(self._assigned.wait())).done:
                    await self._position()
                    continue
                else:
                    return
            except NoOffsetForPartitionError:
                continue  # from before the positioning
            except OffsetOutOfRangeError:
                self._positioned_epoch = -1  # the log was cut off under us: look again where it begins
                continue
            except KafkaError as error:
                self._end.happen(f"{type(error).__name__}: {error}")
                return
            self._undelivered = set(batches)
            for partition, records in batches.items():
                if not await self._deliver(epoch, partition, records):
                    break
                self._undelivered.discard(partition)
            self._undelivered.clear()

    async def _poll(self) -> dict[TopicPartition, list[Record]]:
        """Records by partition, at most `max_records` together; empty when there are none for a while."""
        epoch = self._epoch
        batches: dict[TopicPartition, list[Record]] = {}
        count, deadline = 0, None
        loop = asyncio.get_running_loop()
        while count < self._max_records:
            wait_ms = _IDLE_MS if deadline is None else int((deadline - loop.time()) * 1000)
            if wait_ms < 0 or (deadline is not None and wait_ms == 0):
                break
            fetch = self._consumer.getmany(timeout_ms=wait_ms, max_records=self._max_records - count)
            found = (await self._end.guard(fetch)).value
            if not found or epoch != self._epoch:
                break
            for partition, records in found.items():
                batches.setdefault(TopicPartition(*partition), []).extend(records)
                count += len(records)
            deadline = loop.time() + self._max_wait if deadline is None else deadline
            self._pulse.note_progress()
        return batches if epoch == self._epoch else {}

    async def _deliver(self, epoch: int, partition: TopicPartition, records: Sequence[Record]) -> bool:
        """Hand over until taken; False if the session or the assignment under which they were fetched ended before."""
        attempt = 0
        if not await self._is_continuous(partition, records):
            return False
        while True:
            async with self._handling:
                if epoch != self._epoch or self._end.happened:
                    return False
                self.in_hand = len(records)
                try:
                    await self._handler.handle(self._view.cluster_id, partition, records)
                    self._next[partition] = records[-1].offset + 1
                    self.consumed += len(records)
                    return True
                except RetryLaterError as error:
                    _log.warning(
                        "consumer.retry_scheduled", group=self._group, partition=partition, attempt=attempt + 1,
                        records=len(records), error=str(error),
                    )  # fmt: skip
                finally:
                    self.in_hand = 0
                    self._pulse.note_progress()
            await self._end.guard(self._clock.sleep(pause_seconds(attempt)))
            attempt += 1
            self._pulse.note_progress()

    async def _is_continuous(self, partition: TopicPartition, records: Sequence[Record]) -> bool:
        expected = self._next.get(partition)
        if expected is not None and records[0].offset < expected:
            self._positioned_epoch = -1
            return False
        return True

    async def _position(self) -> None:
        """Ask the handler where to begin and go there, telling it of records that are gone."""
        epoch = self._epoch
        partitions = [TopicPartition(*partition) for partition in self._consumer.assignment()]
        wanted: Mapping[TopicPartition, int] = {}
        for attempt in itertools.count():
            try:
                wanted = await self._handler.start_offsets(self._view.cluster_id, partitions) if partitions else {}
                break
            except RetryLaterError as error:
                _log.warning("consumer.start_delayed", group=self._group, error=str(error))
                self._pulse.note_progress()
            await self._end.guard(self._clock.sleep(pause_seconds(attempt)))
            if self._end.happened or epoch != self._epoch:
                return
        bounds = await self._end.guard(self._bounds(partitions), seconds=_ANSWER_SECONDS)
        if bounds.value is None or epoch != self._epoch:
            return
        for partition, (first, end) in bounds.value.items():
            expected = wanted.get(partition)
            start = first if expected is None or not first <= expected <= end else expected
            if expected is not None and start != expected:
                await self._report_gap(partition, expected, first if expected < first else end)
            try:
                self._consumer.seek(aiokafka.TopicPartition(*partition), start)
            except IllegalStateError:
                return  # revoked meanwhile
            self._next[partition] = start
            self._behind[partition] = end
            self._reached.pop(partition, None)
        if epoch == self._epoch:
            self._positioned_epoch = epoch
            self._pulse.resume()
            _log.info(
                "consumer.positioned", group=self._group, cluster=self._view.cluster_id,
                offsets={f"{topic}:{number}": self._next[TopicPartition(topic, number)] for topic, number in partitions},
            )  # fmt: skip

    async def _bounds(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        asked = [aiokafka.TopicPartition(*partition) for partition in partitions]
        if not asked:
            return {}
        try:
            first = await self._consumer.beginning_offsets(asked)
            end = await self._consumer.end_offsets(asked)
        except CLIENT_ERRORS as error:
            raise KafkaConnectionError(str(error)) from error
        return {partition: (first[partition], end[partition]) for partition in partitions}

    async def _report_gap(self, partition: TopicPartition, expected: int, actual: int) -> None:
        _log.error("consumer.gap_found", group=self._group, partition=partition, expected=expected, actual=actual)
        gap = getattr(self._handler, "gap", None)
        if gap is not None:
            await gap(partition, expected, actual)

    async def _keep_alive(self) -> None:
        """Poll nothing while a handler takes its time, so that the group does not think that we hang."""
        while True:
            await asyncio.sleep(self._settings.max_poll_interval.total_seconds() / 3)
            with contextlib.suppress(KafkaError):
                await self._consumer.getmany(_NOWHERE, timeout_ms=0)

    async def _watch(self) -> None:
        """Find stalls, and tell the group where we are, which only lag tools read."""
        while True:
            await asyncio.sleep(self._pulse.seconds)
            await self._look_where_the_reader_is()
            await self._pulse.beat(self._reached_or_next(), busy=self._handling.locked())
            await self._commit()

    async def _look_where_the_reader_is(self) -> None:
        """The reader goes past what nobody is given: markers of transactions, aborted records, what was compacted away."""
        for partition in set(self._next) - self._undelivered:
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_POSITION_SECONDS):
                    position = await self._consumer.position(aiokafka.TopicPartition(*partition))
                if partition in self._next and partition not in self._undelivered:
                    self._reached[partition] = position

    def _reached_or_next(self) -> dict[TopicPartition, int]:
        return {partition: max(offset, self._reached.get(partition, 0)) for partition, offset in self._next.items()}

    async def _commit(self) -> None:
        reached = self._reached_or_next()
        offsets = {
            partition: offset for partition, offset in reached.items() if self._committed.get(partition) != offset
        }
        if not offsets or self._positioned_epoch != self._epoch:
            return
        with contextlib.suppress(*CLIENT_ERRORS):
            async with asyncio.timeout(_COMMIT_SECONDS):
                await self._consumer.commit({aiokafka.TopicPartition(*key): offset for key, offset in offsets.items()})
            self._committed.update(offsets)


def pause_seconds(attempt: int) -> float:
    """How long to wait after the attempt of this number, which starts at 0. A store may be gone for days."""
    return min(_BACKOFF[0] * 2.0 ** min(attempt, _DOUBLINGS), _BACKOFF[1])


def _join_timeout_ms(settings: KafkaSettings) -> int:
    """The coordinator holds a member's request to join until the others have come or their sessions are over.

    A member that gives up before asks again as a new one, and the group then waits for the one that it was.
    """
    return _ms(max(settings.request_timeout, settings.session_timeout + _JOIN_SLACK))


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
