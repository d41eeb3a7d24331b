"""What every PlannedRecords does: the double and Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaProducer

from metering.adapters.kafka_planned_records import KafkaPlannedRecords
from metering.domain.batch import BatchPlan, Span
from metering.domain.usage import UnixMs
from metering.planned_records import PlannedRecords, PlannedRecordsUnavailableError
from metering.testing.memory_planned_records import MemoryPlannedRecords
from servicekit.kafka import Record, TopicPartition, fetch_cluster_id
from servicekit.settings import KafkaSettings
from servicekit.testing import kafka_broker

TOPIC = "turnpike.usage.v1"
COUNT = 6


@dataclass
class World:
    """A topic with six records in each of two partitions."""

    planned: PlannedRecords
    cluster_id: str
    break_down: Callable[[], None]

    def plan(self, *spans: Span, cluster_id: str = "") -> BatchPlan:
        return BatchPlan(cluster_id or self.cluster_id, TOPIC, spans, UnixMs(1))


@pytest.fixture(params=["memory", "kafka"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        topic = {
            TopicPartition(TOPIC, number): [
                Record(TOPIC, number, offset, b"org", b"%d/%d" % (number, offset), {}, 0) for offset in range(COUNT)
            ]
            for number in range(2)
        }
        planned = MemoryPlannedRecords(topic)

        def break_down() -> None:
            planned.down = True

        yield World(planned, "c", break_down)
        return
    with kafka_broker() as broker:
        settings = KafkaSettings(brokers=broker.bootstrap)
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all")
        await producer.start()
        for number in range(2):
            for offset in range(COUNT):
                await producer.send_and_wait(TOPIC, b"%d/%d" % (number, offset), key=b"org", partition=number)
        await producer.stop()
        yield World(KafkaPlannedRecords(settings), await fetch_cluster_id(settings), broker.kill)


async def test_records_of_a_plan_are_read_by_partition_or_do_not_exist(world: World) -> None:
    found = await world.planned.read(world.plan(Span(0, 1, 3), Span(1, 5, 5)))

    assert found is not None
    assert {number: [record.value for record in records] for number, records in found.items()} == {
        0: [b"0/1", b"0/2", b"0/3"],
        1: [b"1/5"],
    }
    assert await world.planned.read(world.plan(Span(0, 1, 3), Span(1, 5, 6))) is None
    assert await world.planned.read(world.plan(Span(0, 1, 3), cluster_id="another")) is None
    world.break_down()
    with pytest.raises(PlannedRecordsUnavailableError):
        await world.planned.read(world.plan(Span(0, 1, 3)))
