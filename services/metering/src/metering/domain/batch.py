"""Which records make a batch: bounds that are written down before the insert, and never change afterwards.

A batch is the records `first..last` of one partition. Its plan is durable before the insert and names the token under
which the store accepts the rows once. Whoever finds an open plan reads exactly these records again and inserts them
under the same token, so a crash anywhere between the three steps neither loses nor doubles a row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from metering.domain.errors import OffsetsWentBackError
from metering.domain.usage import UnixMs, UsageRow


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The bounds of one batch, both inclusive.

    `planned_at` is later for every later batch of the partition, even when the clock goes back. It is part of the
    token: when a topic is made anew, its offsets begin again, and its batches must not pass for earlier ones.
    """

    cluster_id: str
    topic: str
    partition: int
    first: int
    last: int
    planned_at: UnixMs

    @property
    def token(self) -> str:
        """What the store recognises a repeated insert by."""
        return f"{self.cluster_id}/{self.topic}/{self.partition}/{self.first}-{self.last}/{self.planned_at}"


@dataclass(frozen=True, slots=True)
class Progress:
    """The latest batch of a partition: inserted (`done`), or open."""

    plan: BatchPlan
    done: bool

    @property
    def next_offset(self) -> int:
        """Where reading begins: behind a batch that is done, at the start of one that is open."""
        return self.plan.last + 1 if self.done else self.plan.first


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that breaks a rule, as it was read, and the rule."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, str], ...]
    reason: str


class Received(NamedTuple):
    """One record: a row to insert or a letter to set aside. `traceparent` is there when its trace is recorded."""

    offset: int
    received_at: UnixMs
    row: UsageRow | None = None
    letter: DeadLetter | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of a plan that could be read. Some may be missing when the topic's retention overtook a restart."""

    plan: BatchPlan
    received: tuple[Received, ...]

    @property
    def rows(self) -> list[UsageRow]:
        """The rows to insert, in the order of their offsets."""
        return [entry.row for entry in self.received if entry.row is not None]

    @property
    def letters(self) -> list[DeadLetter]:
        """The records to set aside."""
        return [entry.letter for entry in self.received if entry.letter is not None]

    @property
    def missing(self) -> int:
        """How many records of the bounds are no longer in the topic."""
        return self.plan.last - self.plan.first + 1 - len(self.received)


class Backlog:
    """The records of one partition that were read and are not yet in the store, and the plan that is open."""

    def __init__(self, cluster_id: str, topic: str, partition: int, progress: Progress | None) -> None:
        self._cluster_id = cluster_id
        self._topic = topic
        self._partition = partition
        self._entries: deque[Received] = deque()
        self._seen: int | None = None
        self._open = progress.plan if progress is not None and not progress.done else None
        self._planned_at = progress.plan.planned_at if progress is not None else UnixMs(0)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest(self) -> UnixMs | None:
        """When the oldest record was read."""
        return self._entries[0].received_at if self._entries else None

    @property
    def owes_a_plan(self) -> bool:
        """Whether an open plan still lacks records: they must be taken however full the memory is."""
        return self._open is not None and not self._covered(self._open)

    def add(self, entries: Sequence[Received]) -> None:
        """Take records in the order of their offsets: all, or none when it raises.

        A record before the open plan shows that the topic was made anew: the plan is of records that no longer exist.

        Raises:
            OffsetsWentBackError: a record has an offset that was taken already. Either the topic was made anew or the
                reader repeats itself; only reading the progress again can tell where to go on.
        """
        seen = self._seen
        for entry in entries:
            if seen is not None and entry.offset <= seen:
                raise OffsetsWentBackError(f"{self._topic}/{self._partition}: offset {entry.offset} after {seen}")
            seen = entry.offset
        if self._seen is None and self._open is not None and entries and entries[0].offset < self._open.first:
            self._open = None
        self._seen = seen
        self._entries.extend(entries)

    def plan(self, limit: int, now: UnixMs) -> Batch | None:
        """Fix the bounds of the next batch: those of the open plan, otherwise the oldest records, at most `limit`.

        The plan stays open, and is given again, until `release`. None when there is nothing to insert, or when the
        records of the open plan are not all read.
        """
        if self._open is None:
            if not self._entries:
                return None
            last = self._entries[min(limit, len(self._entries)) - 1].offset
            self._planned_at = UnixMs(max(now, self._planned_at + 1))
            self._open = BatchPlan(
                cluster_id=self._cluster_id,
                topic=self._topic,
                partition=self._partition,
                first=self._entries[0].offset,
                last=last,
                planned_at=self._planned_at,
            )
        if not self._covered(self._open):
            return None
        end = self._open.last
        return Batch(self._open, tuple(takewhile(lambda entry: entry.offset <= end, self._entries)))

    def release(self, plan: BatchPlan) -> None:
        """Forget the records of a plan, which are in the store."""
        if self._open != plan:
            return
        self._open = None
        while self._entries and self._entries[0].offset <= plan.last:
            self._entries.popleft()

    def _covered(self, plan: BatchPlan) -> bool:
        return bool(self._entries) and self._entries[-1].offset >= plan.last


def start_offsets(progress: Sequence[Progress]) -> dict[int, int]:
    """Give the offset at which each partition goes on."""
    return {entry.plan.partition: entry.next_offset for entry in progress}
