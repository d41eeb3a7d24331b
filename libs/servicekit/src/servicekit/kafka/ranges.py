"""Reading of some records of a topic again, by their offsets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import aiokafka
from aiokafka import AIOKafkaConsumer

from servicekit.kafka.client_errors import CLIENT_ERRORS
from servicekit.kafka.cluster import client_options, fetch_cluster_id
from servicekit.kafka.disposal import dispose_consumer, open_client
from servicekit.kafka.fetching import fetch_records
from servicekit.kafka.records import BusUnavailableError, Record
from servicekit.settings import KafkaSettings

_LIMIT_SECONDS: Final = 20.0
_IDLE_MS: Final = 200


async def read_ranges(
    settings: KafkaSettings, cluster_id: str, topic: str, ranges: Mapping[int, tuple[int, int]]
) -> dict[int, list[Record]] | None:
    """Read the records of each partition from one offset to another, both inclusive; those that are gone are left out.

    None when a partition ends before its range does, or this is another cluster: those records do not exist there.

    Args:
        settings: of the cluster.
        cluster_id: of the cluster that the offsets are of.
        topic: to read.
        ranges: by partition.

    Raises:
        BusUnavailableError: the cluster does not answer, or not in 20 s.
    """
    if await fetch_cluster_id(settings) != cluster_id:
        return None
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.brokers,
        client_id=f"ranges-{topic}",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        **client_options(settings),
    )
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            await open_client(consumer)
            fetch_records(consumer)
            return await _read(consumer, topic, ranges)
    except CLIENT_ERRORS as error:
        raise BusUnavailableError(f"{topic}: {type(error).__name__}") from error
    finally:
        await dispose_consumer(consumer)


async def _read(
    consumer: AIOKafkaConsumer, topic: str, ranges: Mapping[int, tuple[int, int]]
) -> dict[int, list[Record]] | None:
    partitions = {aiokafka.TopicPartition(topic, number): last for number, (_, last) in ranges.items()}
    consumer.assign(list(partitions))
    begins = await consumer.beginning_offsets(list(partitions))
    ends = await consumer.end_offsets(list(partitions))
    if any(ends[partition] <= last for partition, last in partitions.items()):
        return None
    for partition in partitions:
        consumer.seek(partition, max(begins[partition], ranges[partition.partition][0]))
    found: dict[int, list[Record]] = {number: [] for number in ranges}
    # What is behind its range is not fetched any further.
    while left := [each for each, last in partitions.items() if await consumer.position(each) <= last]:
        for partition, records in (await consumer.getmany(*left, timeout_ms=_IDLE_MS)).items():
            last = partitions[partition]
            found[partition.partition] += [each for each in records if each.offset <= last]
    return found
