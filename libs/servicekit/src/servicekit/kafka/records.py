"""The values that pass between Kafka and its users, and the errors.

BusError
├── BusUnavailableError     the cluster cannot be reached or does not acknowledge: try again later
├── RecordTooLargeError     the cluster never takes this record
└── RetryLaterError         raised by handlers: the same records again, after a pause
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class BusError(Exception):
    """Something about the bus of records failed."""


class BusUnavailableError(BusError):
    """The cluster cannot be reached or does not acknowledge. The record may or may not have been written."""


class RecordTooLargeError(BusError):
    """The record is larger than the cluster takes; sending it again is useless."""


class RetryLaterError(BusError):
    """Raised by a handler that cannot take the records now: it gets the same ones again after a pause."""


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """A record as it was read. A tuple, because consumers make tens of thousands a second."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str]
    timestamp_ms: int


class WireHeaders(Mapping[str, str]):
    """Headers as they came. Text is made of those that somebody looks at, which are few."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Sequence[tuple[str, bytes | None]]) -> None:
        """Keep the headers; of those with the same name the last one counts, and those without a value are not there."""
        self._raw = raw

    def get(self, name: str, default: Any = None) -> Any:
        """The text of a header, as `Mapping.get` gives it, without the error on the way."""
        for other, value in reversed(self._raw):
            if other == name and value is not None:
                return value.decode("utf-8", "replace")
        return default

    def __getitem__(self, name: str) -> str:
        for other, value in reversed(self._raw):
            if other == name and value is not None:
                return value.decode("utf-8", "replace")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, value in self._raw if value is not None))

    def __len__(self) -> int:
        return len({name for name, value in self._raw if value is not None})


class RecordHandler(Protocol):
    """What a `RecordConsumer` feeds. Calls for one partition never overlap."""

    async def start_offsets(
        self, cluster_id: str, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Where to begin (the next offset to handle); a partition that is missing begins at its first record.

        The store keeps the offsets, with the cluster's id: offsets of another cluster mean nothing.
        """
        ...

    async def handle(self, cluster_id: str, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Take records, in order. What it returns for is durable, with the offset after the last one.

        Raises:
            RetryLaterError: to get the same records again after a pause; any other exception fails the service.
        """
        ...

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """The partitions belong to somebody else now, or the cluster is gone; nothing of theirs is in hand."""
        ...


class GapHandler(Protocol):
    """What a handler may have besides, to learn of records that were lost before it saw them."""

    async def gap(self, partition: TopicPartition, expected: int, actual: int) -> None:
        """The log begins at `actual`, though `expected` was the next offset to handle (or ends before it)."""
        ...
