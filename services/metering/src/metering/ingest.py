"""From the usage topic into the store: records wait in memory for a moment, and go in as batches with fixed bounds.

A record counts as taken only when its batch is marked as done in the store, whose word on where to go on is the only one
that is listened to. So `handle` may return while records still wait: whatever a crash takes from memory is read again.

A batch is of all partitions that are read, because an insert costs the store more than the rows of a second do. Whoever takes
over a partition whose batch is open ends that batch first, with the records of its other partitions too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from contracts.usage import InvalidUsageEventError
from metering.convert import checked_event_from_bytes, usage_row_from_proto
from metering.domain.batch import Backlog, Batch, BatchPlan, DeadLetter, Part, Received, next_batch
from metering.domain.errors import (
    DeadLettersUnavailableError,
    TooManyInvalidEventsError,
    UsageLogUnavailableError,
)
from metering.domain.fuse import Fuse, FuseLimits
from metering.domain.ports import DeadLetters, UsageLog
from metering.domain.usage import UnixMs
from metering.ingest_telemetry import Backlogs, IngestTelemetry, sampled_traceparent
from metering.planned_records import PlannedRecords, PlannedRecordsUnavailableError
from metering.recent import RecentEvent, RecentEvents
from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.kafka import Record, RetryLaterError, TopicPartition
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)

_LATER: Final = (UsageLogUnavailableError, DeadLettersUnavailableError)
_START_LATER: Final = (*_LATER, PlannedRecordsUnavailableError)
_SLICE: Final = 200  # records that are decoded before others get a turn: about 5 ms
_FIRST_BACKOFF_S: Final = 0.25
_LONGEST_BACKOFF_S: Final = 10.0
_REVOCATION: Final = timedelta(seconds=5)  # what a rebalance waits for our last flush


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """How much is gathered.

    Attributes:
        interval: between two flushes.
        rows: in one batch, of all partitions together.
        waiting: records that may wait in memory, of all partitions together.
        fuse: when so many records are invalid that the service stops.
    """

    interval: timedelta = timedelta(milliseconds=250)
    rows: int = 10_000
    waiting: int = 20_000
    fuse: FuseLimits = field(default_factory=FuseLimits)


class Ingest(Component):
    """Handles the records of the usage topic, and flushes what waits."""

    name = "ingest"

    def __init__(
        self,
        log: UsageLog,
        letters: DeadLetters,
        planned: PlannedRecords,
        recent: RecentEvents,
        clock: Clock,
        limits: IngestLimits,
        telemetry: IngestTelemetry,
        failpoints: Failpoints,
    ) -> None:
        self._log = log
        self._letters = letters
        self._planned = planned
        self._recent = recent
        self._clock = clock
        self._limits = limits
        self._telemetry = telemetry
        self._failpoints = failpoints
        self._fuse = Fuse(limits.fuse)
        self._cluster_id = ""
        self._backlogs: dict[TopicPartition, Backlog] = {}
        self._open: Batch | None = None
        self._flushing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        telemetry.watch(Backlogs(waiting=self.in_flight, age=self._age))

    # --- what the consumer calls

    async def start_offsets(
        self, cluster_id: str, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Ask the store where to go on, end the batches that are open, and forget what waited: it is read again.

        Raises:
            RetryLaterError: the store, the dead letters or the topic cannot be reached.
            TooManyInvalidEventsError: the fuse blew over records of an open batch.
        """
        async with self._flushing:
            self._forget()
            self._cluster_id = cluster_id
            try:
                progress = {
                    TopicPartition(topic, entry.partition): entry
                    for topic in sorted({partition.topic for partition in partitions})
                    for entry in await self._log.progress(cluster_id, topic)
                }
                ours = {partition: progress[partition] for partition in partitions if partition in progress}
                ended = [
                    plan
                    for plan in dict.fromkeys(entry.plan for entry in ours.values() if not entry.done)
                    if await self._end(plan)
                ]
            except _START_LATER as error:
                raise RetryLaterError(str(error)) from error
            for partition in partitions:
                entry = ours.get(partition)
                self._backlogs[partition] = Backlog(*partition, entry.plan.planned_at if entry is not None else None)
        return {
            partition: (replace(entry, done=True) if entry.plan in ended else entry).next_offset
            for partition, entry in ours.items()
        }

    async def handle(self, cluster_id: str, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Take records into memory, where they can be read at once, until the next flush.

        Raises:
            RetryLaterError: memory is full, because the store does not keep up or is down.
            TooManyInvalidEventsError: the fuse blew; nothing of these records is taken.
            OffsetsWentBackError: see there.
        """
        backlog = self._backlogs[partition]
        if self.in_flight() + len(records) > self._limits.waiting:
            self._telemetry.deferred(len(records))
            self._wake.set()
            raise RetryLaterError("too many usage events are waiting for the store")
        backlog.add(await self._receive_all(records))
        if self.in_flight() >= self._limits.rows:
            self._wake.set()

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Flush what waits if that is possible soon, and forget it otherwise: the next owner reads it again.

        A rebalance takes all partitions, and `start_offsets` gives those back that stay.
        """
        await self._flush_for_the_last_time()

    async def gap(self, partition: TopicPartition, expected: int, actual: int) -> None:
        """Report records that left the topic before they were read."""
        if actual > expected:
            self._telemetry.missing(actual - expected)
        _log.error(
            "records.lost", topic=partition.topic, partition=partition.partition, expected=expected, actual=actual
        )

    # --- what the supervisor calls

    async def run(self) -> None:
        """Flush every interval, or as soon as a batch is full, until `stop`."""
        backoff = _FIRST_BACKOFF_S
        while not self._stopping.is_set():
            await self._wait(self._wake, self._limits.interval.total_seconds())
            self._wake.clear()
            try:
                while await self.flush():
                    backoff = _FIRST_BACKOFF_S
            except _LATER as error:
                self._telemetry.failed(error, backoff)
                await self._wait(self._stopping, backoff)
                backoff = min(2 * backoff, _LONGEST_BACKOFF_S)

    async def stop(self, grace: timedelta) -> None:
        """Flush what waits. What cannot be flushed is read again by the next start."""
        self._stopping.set()
        self._wake.set()
        await self._flush_for_the_last_time(grace)

    def in_flight(self) -> int:
        """Records that are read and not yet in the store."""
        return sum(len(backlog) for backlog in list(self._backlogs.values()))

    # --- the batch

    async def flush(self) -> bool:
        """Write one batch, in three steps that can each be repeated.

        1. The plan: from now on these records belong together, whoever writes them.
        2. The rows, under the plan's token: again after a crash, they are not inserted again.
        3. Done: reading goes on behind the batch.

        Returns:
            Whether there was more to write than fits into this batch.

        Raises:
            UsageLogUnavailableError: repeat it later.
            DeadLettersUnavailableError: repeat it later.
            UsageLogRefusedError: repeating is useless.
        """
        async with self._flushing:
            if self._fuse.blown is not None:
                return False
            batch = self._open or next_batch(self._cluster_id, self._backlogs.values(), self._limits.rows, self._now())
            if batch is None:
                return False
            self._open = batch  # until it is done, also when its partitions get more records
            more = self.in_flight() > len(batch)
            self._failpoints.reach("plan.before")
            await self._log.plan(batch.plan)
            self._failpoints.reach("plan.after")
            await self._write(batch)
            self._open = None
            for span in batch.plan.spans:
                backlog = self._backlogs.get(TopicPartition(batch.plan.topic, span.partition))
                if backlog is not None:  # it may have been revoked meanwhile
                    backlog.release(span.last)
            return more

    async def _write(self, batch: Batch) -> None:
        """Do what comes after the plan."""
        started = self._clock.monotonic()
        rows = batch.rows
        with self._telemetry.flush(batch) as span:
            # Before the insert, so that a batch that is done has no invalid record that nobody was told of. After a crash
            # the same letters are sent again: people read them, nobody counts them.
            for letter in batch.letters:
                await self._letters.send(letter)
            self._failpoints.reach("letters.after")
            await self._log.append(batch.plan, rows)
            self._failpoints.reach("insert.after")
            await self._log.complete(batch.plan)
            self._failpoints.reach("done.after")
        self._telemetry.flushed(batch, rows, span, self._clock.monotonic() - started, self._now())

    async def _end(self, plan: BatchPlan) -> bool:
        """Insert a batch that somebody planned and did not end, or nobody knows whether they did.

        Returns:
            False if its topic was made anew: the plan is of records that no longer exist.
        """
        records = await self._planned.read(plan)
        if records is None:
            _log.warning("batch.given_up", token=plan.token)
            return False
        parts = [Part(span, tuple(await self._receive_all(records[span.partition]))) for span in plan.spans]
        await self._write(Batch(plan, tuple(parts)))
        return True

    async def _flush_for_the_last_time(self, limit: timedelta = _REVOCATION) -> None:
        try:
            async with asyncio.timeout(limit.total_seconds()):
                while await self.flush():
                    pass
        except (*_LATER, TimeoutError) as error:
            _log.warning("backlog.abandoned", records=self.in_flight(), error=type(error).__name__)
        self._forget()

    def _forget(self) -> None:
        self._backlogs.clear()
        # It would be repeated, and somebody else may have begun with other bounds by then.
        self._open = None

    async def _receive_all(self, records: Sequence[Record]) -> list[Received]:
        received = []
        for at in range(0, len(records), _SLICE):
            now = self._now()
            received += [self._receive(record, now) for record in records[at : at + _SLICE]]
            await self._clock.sleep(0)
        if self._fuse.blown is not None:
            raise TooManyInvalidEventsError(self._fuse.blown)
        return received

    def _receive(self, record: Record, now: UnixMs) -> Received:
        traceparent = sampled_traceparent(record.headers.get("traceparent"))
        try:
            event, checked = checked_event_from_bytes(record.value)
        except InvalidUsageEventError as error:
            self._fuse.bad()
            letter = DeadLetter(
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                key=record.key or b"",
                value=record.value,
                headers=tuple(record.headers.items()),
                reason=str(error),
            )
            return Received(record.offset, now, letter=letter, traceparent=traceparent)
        self._fuse.good()
        # What is read of the row is not read of the message again, which takes three times as long.
        row = usage_row_from_proto(event, checked)
        self._recent.put(row.generation_id, RecentEvent(row.org_id, row.rank, record.value or b""))
        return Received(record.offset, now, row, None, traceparent)

    def _age(self) -> float:
        oldest = [backlog.oldest for backlog in list(self._backlogs.values()) if backlog.oldest is not None]
        return (self._now() - min(oldest)) / 1_000 if oldest else 0.0

    def _now(self) -> UnixMs:
        return UnixMs(int(self._clock.now().timestamp() * 1_000))

    @staticmethod
    async def _wait(event: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
