"""Records straight from what aiokafka fetched.

aiokafka makes an object of eleven fields of each record, of which a `Record` takes seven, and then another was made. Here its
reader makes the `Record`. The seam is private (aiokafka is pinned to the version that this was read in, 0.14.0), so
`test_records_come_in_order_with_their_headers_and_in_bounded_batches` holds it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult

from servicekit.kafka.records import Record, WireHeaders


def fetch_records(consumer: AIOKafkaConsumer) -> None:
    """Let a consumer that has started, and reads nothing yet, give a `Record` for each record."""
    consumer._fetcher._records = _Fetched()


class _Fetched(OrderedDict[Any, Any]):
    """What waits to be read, by partition. A result that comes in is told how to make its records, which it does later."""

    def __setitem__(self, partition: Any, result: Any) -> None:
        if isinstance(result, FetchResult):
            result._partition_records._consumer_record = _record
        super().__setitem__(partition, result)


def _record(partition: Any, raw: Any) -> Record:
    return Record(
        partition.topic, partition.partition, raw.offset, raw.key, raw.value, WireHeaders(raw.headers), raw.timestamp
    )
