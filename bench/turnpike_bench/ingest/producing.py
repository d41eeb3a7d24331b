"""Events onto the usage topic, as routers do it: idempotent, acknowledged by every replica, keyed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from confluent_kafka import Producer

from contracts.topics import USAGE
from turnpike_bench.ingest.events import Event

_CHUNK: Final = 10_000
_FLUSH_S: Final = 120.0


class UsageProducer:
    """Produces, and knows that everything was acknowledged."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "queue.buffering.max.messages": 2 * _CHUNK,
                "log_level": 3,
            }
        )
        self._partitions = partitions
        self._number = 0
        self.acknowledged = 0
        self.refused: list[str] = []

    def produce(self, events: Iterable[Event]) -> int:
        """Send events, a chunk at a time, and give how many were acknowledged.

        Raises:
            RuntimeError: the broker did not take all of them.
        """
        before = self.acknowledged
        sent = 0
        for chunk in _chunks(iter(events)):
            for event in chunk:
                self.send(event)
            sent += len(chunk)
            self.flush()
        if self.acknowledged - before != sent:
            raise RuntimeError(f"{sent - self.acknowledged + before} events were not taken: {self.refused[:1]}")
        return sent

    def send(self, event: Event) -> None:
        """Send one event. Partitions take turns: a handful of made-up organisations would leave most of them empty."""
        self._number += 1
        self._producer.produce(
            USAGE.name,
            key=event.key,
            value=event.value,
            headers=_headers(event),
            partition=self._number % self._partitions,
            on_delivery=self._delivered,
        )
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything sent is acknowledged."""
        self._producer.flush(_FLUSH_S)

    def _delivered(self, error: Any, _: Any) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self.refused.append(str(error))


def _headers(event: Event) -> list[tuple[str, str | bytes | None]]:
    """As many and as long as the router's."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.event_id.encode()),
        ("ce_source", b"/router/router-0"),
        ("ce_type", USAGE.event_type.encode()),
        ("ce_time", b"2026-11-24T10:00:00.123456+00:00"),
        ("ce_subject", event.event_id.encode()),
        ("content-type", b"application/protobuf"),
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),
    ]


def _chunks(events: Iterator[Event]) -> Iterator[list[Event]]:
    while chunk := list(islice(events, _CHUNK)):
        yield chunk
