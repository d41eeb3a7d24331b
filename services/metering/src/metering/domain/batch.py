"""Which records make a batch: bounds that are written down before the insert, and never change afterwards.

A batch is one insert: of some partitions of a topic, the records `first..last` of each. Its plan is durable before the insert
and names the token under which the store accepts the rows once. Whoever takes over one of its partitions and finds the plan
open reads exactly these records again, of all its partitions, and inserts them under the same token. So a crash anywhere
between the three steps neither loses nor doubles a row, and two who take over different partitions may both do it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from metering.domain.errors import OffsetsWentBackError
from metering.domain.usage import UnixMs, UsageRow


class Span(NamedTuple):
    """Records of one partition: the offsets of the first and the last one."""

    partition: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The bounds of one batch, by partition, each partition once.

    `planned_at` is later for every later batch of a partition, even when the clock goes back. It is part of the
    token: when a topic is made anew, its offsets begin again, and its batches must not pass for earlier ones.
    """

    cluster_id: str
    topic: str
    spans: tuple[Span, ...]
    planned_at: UnixMs

    @property
    def token(self) -> str:
        """What the store recognises a repeated insert by."""
        bounds = ",".join(f"{span.partition}/{span.first}-{span.last}" for span in self.spans)
        return f"{self.cluster_id}/{self.topic}/{bounds}/{self.planned_at}"


@dataclass(frozen=True, slots=True)
class Progress:
    """The latest batch that a partition was part of: inserted (`done`), or open."""

    partition: int
    plan: BatchPlan
    done: bool

    @property
    def next_offset(self) -> int:
        """Where reading begins: behind a batch that is done, at the start of one that is open."""
        span = next(span for span in self.plan.spans if span.partition == self.partition)
        return span.last + 1 if self.done else span.first


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


class Part(NamedTuple):
    """What a batch has of one partition. Some records may be missing when the topic's retention overtook a restart."""

    span: Span
    received: tuple[Received, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of a plan that could be read, by partition in the order of their offsets."""

    plan: BatchPlan
    parts: tuple[Part, ...]

    def __len__(self) -> int:
        return sum(len(part.received) for part in self.parts)

    @property
    def rows(self) -> list[UsageRow]:
        """The rows to insert."""
        return [entry.row for part in self.parts for entry in part.received if entry.row is not None]

    @property
    def letters(self) -> list[DeadLetter]:
        """The records to set aside."""
        return [entry.letter for part in self.parts for entry in part.received if entry.letter is not None]

    @property
    def missing(self) -> int:
        """How many records of the bounds are no longer in the topic."""
        return sum(span.last - span.first + 1 for span in self.plan.spans) - len(self)


class Backlog:
    """The records of one partition that were read and are not yet in the store."""

    def __init__(self, topic: str, partition: int, planned_at: UnixMs | None = None) -> None:
        """Begin with nothing.

        Args:
            topic: of the partition.
            partition: its number.
            planned_at: of the latest batch that the partition was part of.
        """
        self.topic = topic
        self.partition = partition
        self.planned_at = planned_at or UnixMs(0)
        self._entries: deque[Received] = deque()
        self._seen: int | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest(self) -> UnixMs | None:
        """When the oldest record was read."""
        return self._entries[0].received_at if self._entries else None

    def add(self, entries: Sequence[Received]) -> None:
        """Take records in the order of their offsets: all, or none when it raises.

        Raises:
            OffsetsWentBackError: a record has an offset that was taken already. Either the topic was made anew or the
                reader repeats itself; only reading the progress again can tell where to go on.
        """
        seen = self._seen
        for entry in entries:
            if seen is not None and entry.offset <= seen:
                raise OffsetsWentBackError(f"{self.topic}/{self.partition}: offset {entry.offset} after {seen}")
            seen = entry.offset
        self._seen = seen
        self._entries.extend(entries)

    def oldest_part(self, limit: int) -> Part:
        """The oldest records, at least one and at most `limit`. There must be some."""
        received = tuple(islice(self._entries, max(1, limit)))
        return Part(Span(self.partition, received[0].offset, received[-1].offset), received)

    def release(self, last: int) -> None:
        """Forget the records up to this offset, which are in the store."""
        while self._entries and self._entries[0].offset <= last:
            self._entries.popleft()


def next_batch(cluster_id: str, backlogs: Iterable[Backlog], limit: int, now: UnixMs) -> Batch | None:
    """Plan one insert of what waits in partitions of one topic; None when nothing does.

    At most `limit` records, or one of each partition. Partitions get equal shares, and what one does not need is the others'.
    """
    waiting = sorted((backlog for backlog in backlogs if len(backlog)), key=len)
    if not waiting:
        return None
    parts = []
    for number, backlog in enumerate(waiting):
        part = backlog.oldest_part(limit // (len(waiting) - number))
        limit -= len(part.received)
        parts.append(part)
    planned_at = UnixMs(max(now, *(backlog.planned_at + 1 for backlog in waiting)))
    for backlog in waiting:
        backlog.planned_at = planned_at
    parts.sort()
    return Batch(BatchPlan(cluster_id, waiting[0].topic, tuple(part.span for part in parts), planned_at), tuple(parts))
