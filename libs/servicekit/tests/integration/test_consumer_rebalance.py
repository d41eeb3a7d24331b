"""The consumer when its partitions change hands: what was fetched under one assignment is not handed over under the next."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from servicekit.clock import SystemClock
from servicekit.kafka import Record, RecordConsumer, RecordSink, TopicPartition
from servicekit.settings import KafkaSettings
from servicekit.testing import running

TOPIC, RECORDS = "sales", 40


class Owner:
    """Knows which partitions it owns, holds the first records in hand until it may go on, and notes what it should not get."""

    def __init__(self) -> None:
        self.owned = set[TopicPartition]()
        self.next = dict[TopicPartition, int]()
        self.taken = list[bytes]()
        self.strays = list[TopicPartition]()
        self.begun, self.gate = asyncio.Event(), asyncio.Event()

    async def start_offsets(
        self, cluster_id: str, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        self.owned = set(partitions)
        return {partition: self.next[partition] for partition in partitions if partition in self.next}

    async def handle(self, cluster_id: str, partition: TopicPartition, records: Sequence[Record]) -> None:
        self.begun.set()
        await self.gate.wait()
        if partition not in self.owned:
            self.strays.append(partition)
        self.next[partition] = records[-1].offset + 1
        self.taken += [record.value or b"" for record in records]

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        self.owned -= set(partitions)


async def test_what_was_fetched_before_a_rebalance_is_fetched_again_and_not_handed_over(kafka: KafkaSettings) -> None:
    async with running(sink := RecordSink(kafka, SystemClock(), "till")):
        for number in range(RECORDS):
            await sink.send(TOPIC, key=b"%d" % number, value=b"%d" % number, headers={})
    owner = Owner()
    reading = RecordConsumer(kafka, SystemClock(), topics=[TOPIC], group="ledger", handler=owner)
    async with running(reading), asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        await owner.begun.wait()
        session = reading._session
        assert session is not None
        partitions = reading.assignment
        assert len(partitions) > 1
        behind = [reading.has_caught_up]
        # The group takes the partitions while the records of the first one are in hand and those of the others are fetched.
        revoking = tasks.create_task(session.on_partitions_revoked(partitions))
        await asyncio.sleep(0)
        owner.gate.set()
        await revoking
        assert owner.owned == set()
        await asyncio.sleep(0.2)  # in which nothing of what was fetched may come
        assert owner.strays == []
        await session.on_partitions_assigned(partitions)
        while not reading.has_caught_up:  # noqa: ASYNC110 - the handler signals no end; asyncio.timeout bounds it
            await asyncio.sleep(0.01)
    behind.append(reading.has_caught_up)
    assert behind == [False, False]
    assert sorted(owner.taken) == sorted(b"%d" % number for number in range(RECORDS))
    assert owner.strays == []
