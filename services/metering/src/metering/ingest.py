"""From the usage topic into the store: records wait in memory for a moment, and go in as batches with fixed bounds.

A record counts as taken only when its batch is marked as done in the store, whose word on where to go on is the only one
that is listened to. So `handle` may return while records still wait: whatever a crash takes from memory is read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from contracts.usage import InvalidUsageEventError
from metering.convert import usage_event_from_bytes, usage_row_from_proto
from metering.domain.batch import Backlog, Batch, DeadLetter, Received
from metering.domain.errors import (
    DeadLettersUnavailableError,
    TooManyInvalidEventsError,
    UsageLogUnavailableError,
)
from metering.domain.fuse import Fuse, FuseLimits
from metering.domain.ports import DeadLetters, UsageLog
from metering.domain.usage import UnixMs
from metering.ingest_telemetry import Backlogs, IngestTelemetry, sampled_traceparent
from metering.recent import RecentEvent, RecentEvents
from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.kafka import Record, RetryLaterError, TopicPartition
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)

_LATER: Final = (UsageLogUnavailableError, DeadLettersUnavailableError)
_SLICE: Final = 100  # records that are decoded before others get a turn: about 5 ms
_FIRST_BACKOFF_S: Final = 0.25
_LONGEST_BACKOFF_S: Final = 10.0
_REVOCATION: Final = timedelta(seconds=5)  # what a rebalance waits for our last flush


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """How much is gathered.

    Attributes:
        interval: between two flushes.
        rows: of one partition in one batch.
        waiting: records that may wait in memory, of all partitions together.
        fuse: when so many records are invalid that the service stops.
    """

    interval: timedelta = timedelta(milliseconds=500)
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
        recent: RecentEvents,
        clock: Clock,
        limits: IngestLimits,
        telemetry: IngestTelemetry,
        failpoints: Failpoints,
    ) -> None:
        self._log = log
        self._letters = letters
        self._recent = recent
        self._clock = clock
        self._limits = limits
        self._telemetry = telemetry
        self._failpoints = failpoints
        self._fuse = Fuse(limits.fuse)
        self._backlogs: dict[TopicPartition, Backlog] = {}
        self._flushing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        telemetry.watch(Backlogs(waiting=self.in_flight, age=self._age))

    # --- what the consumer calls

    async def start_offsets(
        self, cluster_id: str, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Ask the store where to go on, and forget what waited: it is read again.

        Raises:
            RetryLaterError: the store cannot be reached.
        """
        async with self._flushing:
            try:
                progress = {
                    TopicPartition(topic, entry.plan.partition): entry
                    for topic in sorted({partition.topic for partition in partitions})
                    for entry in await self._log.progress(cluster_id, topic)
                }
            except UsageLogUnavailableError as error:
                raise RetryLaterError(str(error)) from error
            for partition in partitions:
                self._backlogs[partition] = Backlog(cluster_id, *partition, progress.get(partition))
        return {partition: progress[partition].next_offset for partition in partitions if partition in progress}

    async def handle(self, cluster_id: str, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Take records into memory, where they can be read at once, until the next flush.

        Raises:
            RetryLaterError: memory is full, because the store does not keep up or is down.
            TooManyInvalidEventsError: the fuse blew; nothing of these records is taken.
            OffsetsWentBackError: see there.
        """
        backlog = self._backlogs[partition]
        # The records of an open plan are taken however many they are: until all are here, nothing can be flushed.
        if self.in_flight() + len(records) > self._limits.waiting and not backlog.owes_a_plan:
            self._telemetry.deferred(len(records))
            self._wake.set()
            raise RetryLaterError("too many usage events are waiting for the store")
        received = []
        for at in range(0, len(records), _SLICE):
            now = self._now()
            received += [self._receive(record, now) for record in records[at : at + _SLICE]]
            await self._clock.sleep(0)
        if self._fuse.blown is not None:
            raise TooManyInvalidEventsError(self._fuse.blown)
        backlog.add(received)
        if self.in_flight() >= self._limits.rows:
            self._wake.set()

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Flush what waits if that is possible soon, and forget it otherwise: the next owner reads it again."""
        await self._flush_for_the_last_time(set(partitions))

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
        await self._flush_for_the_last_time(set(self._backlogs), grace)

    def in_flight(self) -> int:
        """Records that are read and not yet in the store."""
        return sum(len(backlog) for backlog in list(self._backlogs.values()))

    # --- the batch

    async def flush(self) -> bool:
        """Write one batch of each partition, in three steps that can each be repeated.

        1. The plan: from now on these records belong together, whoever writes them.
        2. The rows, under the plan's token: again after a crash, they are not inserted again.
        3. Done: reading goes on behind the batch.

        Returns:
            Whether there was more to write than fits into these batches.

        Raises:
            UsageLogUnavailableError: repeat it later.
            DeadLettersUnavailableError: repeat it later.
            UsageLogRefusedError: repeating is useless.
        """
        async with self._flushing:
            if self._fuse.blown is not None:
                return False
            now = self._now()
            batches = [
                batch
                for backlog in self._backlogs.values()
                if (batch := backlog.plan(self._limits.rows, now)) is not None
            ]
            if not batches:
                return False
            more = self.in_flight() > sum(len(batch.received) for batch in batches)
            started = self._clock.monotonic()
            with self._telemetry.flush(batches) as span:
                await self._write(batches)
            for batch in batches:
                backlog = self._backlogs.get(TopicPartition(batch.plan.topic, batch.plan.partition))
                if backlog is not None:  # it may have been revoked meanwhile
                    backlog.release(batch.plan)
            self._telemetry.flushed(batches, span, self._clock.monotonic() - started, self._now())
            return more

    async def _write(self, batches: Sequence[Batch]) -> None:
        plans = [batch.plan for batch in batches]
        self._failpoints.reach("plan.before")
        await self._log.plan(plans)
        self._failpoints.reach("plan.after")
        for batch in batches:
            # Before the insert, so that a batch that is done has no invalid record that nobody was told of. After a crash
            # the same letters are sent again: people read them, nobody counts them.
            for letter in batch.letters:
                await self._letters.send(letter)
            self._failpoints.reach("letters.after")
            await self._log.append(batch.plan, batch.rows)
            self._failpoints.reach("insert.after")
        await self._log.complete(plans)
        self._failpoints.reach("done.after")

    async def _flush_for_the_last_time(self, partitions: set[TopicPartition], limit: timedelta = _REVOCATION) -> None:
        try:
            async with asyncio.timeout(limit.total_seconds()):
                while await self.flush():
                    pass
        except (*_LATER, TimeoutError) as error:
            abandoned = sum(len(self._backlogs[partition]) for partition in partitions if partition in self._backlogs)
            _log.warning("backlog.abandoned", records=abandoned, error=type(error).__name__)
        for partition in partitions:
            self._backlogs.pop(partition, None)

    def _receive(self, record: Record, now: UnixMs) -> Received:
        traceparent = sampled_traceparent(record.headers.get("traceparent"))
        try:
            event = usage_event_from_bytes(record.value)
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
        self._recent.put(event.generation_id, RecentEvent(event.org_id, event.rank, record.value or b""))
        return Received(record.offset, now, row=usage_row_from_proto(event), traceparent=traceparent)

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
