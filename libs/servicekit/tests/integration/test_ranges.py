"""Records that are read again by their offsets, and clients that are given up while they start."""

from __future__ import annotations

import asyncio
import gc
import warnings
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from servicekit.kafka import BusUnavailableError, Record, fetch_cluster_id, read_ranges
from servicekit.kafka.disposal import dispose_consumer, open_client
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess

TOPIC = "ledger"


async def written(kafka: KafkaSettings, count: int) -> dict[int, list[tuple[int, bytes]]]:
    """Write records with several keys; offset and value of each, by partition."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.brokers, acks="all")
    await producer.start()
    try:
        found: dict[int, list[tuple[int, bytes]]] = {}
        for number in range(count):
            value = b"%d" % number
            metadata = await producer.send_and_wait(TOPIC, value, key=b"k%d" % (number % 7), headers=[("n", value)])
            found.setdefault(metadata.partition, []).append((metadata.offset, value))
        return found
    finally:
        await producer.stop()


def seen(records: list[Record]) -> list[tuple[int, bytes | None]]:
    return [(record.offset, record.value) for record in records]


async def test_what_is_between_two_offsets_is_read_of_each_partition(
    kafka: KafkaSettings, broker: BrokerProcess
) -> None:
    cluster_id = await fetch_cluster_id(kafka)
    by_partition = await written(kafka, 60)
    ranges = {number: (1, len(records) - 2) for number, records in by_partition.items() if len(records) > 3}
    found = await read_ranges(kafka, cluster_id, TOPIC, ranges)

    assert len(ranges) > 1
    assert found is not None
    assert {number: seen(records) for number, records in found.items()} == {
        number: by_partition[number][1:-1] for number in ranges
    }
    number, records = next(iter(found.items()))
    assert (records[0].topic, records[0].partition) == (TOPIC, number)
    assert records[0].key is not None
    assert dict(records[0].headers) == {"n": (records[0].value or b"").decode()}
    # A range that the log does not reach, and another cluster: those records do not exist.
    beyond = {number: (0, len(by_partition[number]))}
    assert await read_ranges(kafka, cluster_id, TOPIC, beyond) is None
    assert await read_ranges(kafka, "another", TOPIC, ranges) is None
    broker.kill()
    with pytest.raises(BusUnavailableError):
        await read_ranges(kafka, cluster_id, TOPIC, ranges)


async def test_client_that_is_given_up_while_it_starts_leaves_no_connection(
    kafka: KafkaSettings, broker: BrokerProcess
) -> None:
    assert await fetch_cluster_id(kafka)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        for steps in range(60):  # at every point between the connection and the last answer
            consumer = AIOKafkaConsumer(bootstrap_servers=kafka.brokers)
            with suppress(TimeoutError):
                async with asyncio.timeout(steps * 0.0003):
                    await open_client(consumer)
            await dispose_consumer(consumer)
            del consumer
        gc.collect()
        await asyncio.sleep(0)

    assert [str(warning.message) for warning in caught if "AIOKafka" in str(warning.message)] == []
