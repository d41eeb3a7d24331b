"""The sink, against a broker that comes, goes, hangs and is replaced."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from servicekit.clock import SystemClock
from servicekit.kafka import BusUnavailableError, RecordSink, RecordTooLargeError, fetch_cluster_id
from servicekit.settings import KafkaSettings, parse_duration
from servicekit.testing import BrokerProcess, RecordingTelemetry, keeps_records, running
from servicekit.testing.service_process import eventually as in_time
from servicekit.tracing import context_from_headers, inject_headers, span, span_link

TOPIC = "sales"
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture(autouse=True)
async def topic(kafka: KafkaSettings) -> None:
    """The topic, where a broker that is asked for it may take longer to make it than a record may wait."""
    if keeps_records():
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.brokers)
        await admin.start()
        await admin.create_topics([NewTopic(TOPIC, 4, 1)])
        await in_time(lambda: has_leaders(admin), "the topic has leaders")
        await admin.close()


async def has_leaders(admin: AIOKafkaAdminClient) -> bool:
    """Whether the topic can be written to: its creation is known to the controller first, and to the broker later."""
    (topic,) = await admin.describe_topics([TOPIC])
    partitions = topic["partitions"]
    return len(partitions) == 4 and all(each["leader"] >= 0 for each in partitions)


async def read(kafka: KafkaSettings, count: int) -> list[Any]:
    """The first records of the topic, whatever their partitions, in the order of each partition."""
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=kafka.brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


async def ends(kafka: KafkaSettings) -> int:
    """How many records there are."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.brokers)
    await consumer.start()
    try:
        consumer._client.add_topic(TOPIC)
        await consumer._client.force_metadata_update()
        partitions = [TopicPartition(TOPIC, number) for number in consumer.partitions_for_topic(TOPIC) or ()]
        return sum((await consumer.end_offsets(partitions)).values()) if partitions else 0
    finally:
        await consumer.stop()


async def send(sink: RecordSink, number: int, *, key: bytes = b"acme") -> None:
    await sink.send(TOPIC, key=key, value=b"%d" % number, headers={})


async def send_until_taken(sink: RecordSink, number: int) -> None:
    """What a spool does."""
    while True:
        try:
            return await send(sink, number)
        except BusUnavailableError:
            await asyncio.sleep(0.05)


async def test_records_arrive_with_key_value_and_trace_in_the_order_in_which_they_were_sent(
    kafka: KafkaSettings,
) -> None:
    telemetry = RecordingTelemetry()
    sink = RecordSink(kafka, SystemClock(), "till", meter=telemetry.meter)
    async with running(sink):
        with span(telemetry.tracer, "sell"):
            for number in range(20):
                headers = {"ce_id": f"sale-{number}"}
                inject_headers(headers)
                await sink.send(TOPIC, key=b"acme", value=b"%d" % number, headers=headers)
        await sink.send(TOPIC, key=b"acme", value=None, headers={})
        records = await read(kafka, 21)
    assert [record.value for record in records] == [*(b"%d" % number for number in range(20)), None]
    assert len({record.partition for record in records}) == 1
    assert {record.key for record in records} == {b"acme"}
    headers = {name: value.decode() for name, value in records[7].headers}
    assert headers["ce_id"] == "sale-7"
    sent, link = telemetry.span("sell"), span_link(context_from_headers(headers))
    assert sent.context is not None
    assert link is not None
    assert (link.context.trace_id, link.context.span_id) == (sent.context.trace_id, sent.context.span_id)
    assert telemetry.metric("messaging.client.sent.messages", {"messaging.destination.name": TOPIC}) == 21


async def test_many_at_once_are_all_written_once(kafka: KafkaSettings) -> None:
    kafka = kafka.model_copy(update={"max_in_flight": 10, "send_timeout": parse_duration("30s")})
    sink = RecordSink(kafka, SystemClock(), "till")
    async with running(sink):
        async with asyncio.TaskGroup() as tasks:
            for number in range(500):
                tasks.create_task(send(sink, number, key=b"%d" % number))
        records = await read(kafka, 500)
        assert await ends(kafka) == 500
    assert sorted(int(record.value) for record in records) == list(range(500))
    assert sink.in_flight() == 0


async def test_without_a_broker_it_starts_refuses_and_serves_when_there_is_one(
    broker: BrokerProcess, kafka: KafkaSettings, eventually: Eventually
) -> None:
    broker.kill()
    telemetry = RecordingTelemetry()
    sink = RecordSink(kafka, SystemClock(), "till", meter=telemetry.meter)
    clusters = list[str]()
    sink.on_new_cluster.append(clusters.append)
    async with running(sink):
        with pytest.raises(BusUnavailableError):
            await send(sink, 0)
        with pytest.raises(BusUnavailableError):
            await sink.cluster_id()
        assert clusters == []
        broker.start()
        await send_until_taken(sink, 1)
        assert sink.connected
        assert clusters == [await sink.cluster_id()] == [await fetch_cluster_id(kafka)]
        assert [record.value for record in await read(kafka, 1)] == [b"1"]
    assert telemetry.metric("messaging.client.sent.messages", {"error.type": "BusUnavailableError"}) == 0
    assert telemetry.metric("messaging.client.sent.messages") >= 1


async def test_a_broker_that_was_replaced_by_another_cluster_is_noticed_and_told(
    broker: BrokerProcess, kafka: KafkaSettings, eventually: Eventually
) -> None:
    sink = RecordSink(kafka, SystemClock(), "till")
    clusters = list[str]()
    sink.on_new_cluster.append(clusters.append)
    async with running(sink):
        await send_until_taken(sink, 1)
        broker.replace()
        # The sequence numbers of the old producer mean nothing to the new cluster.
        await eventually(lambda: len(clusters) == 2)
        await send_until_taken(sink, 2)
        await send_until_taken(sink, 3)
        assert clusters[0] != clusters[1] == await sink.cluster_id()
        assert [record.value for record in await read(kafka, 2)] == [b"2", b"3"]


async def test_a_broker_that_hangs_costs_the_send_timeout_and_then_nothing_waits(
    broker: BrokerProcess, kafka: KafkaSettings, eventually: Eventually
) -> None:
    kafka = kafka.model_copy(update={"send_timeout": timedelta(seconds=0.5)})
    sink = RecordSink(kafka, SystemClock(), "till")
    clusters = list[str]()
    sink.on_new_cluster.append(clusters.append)
    async with running(sink):
        await send_until_taken(sink, 1)
        broker.suspend()
        with pytest.raises(BusUnavailableError):
            await send(sink, 2)
        await eventually(lambda: not sink.connected)
        with pytest.raises(BusUnavailableError):
            await send(sink, 3)
        broker.resume()
        await send_until_taken(sink, 4)
        # The cluster is the same one: nothing to publish again.
        assert len(clusters) == 1
        values = [record.value for record in await read(kafka, await ends(kafka))]
    # What was not acknowledged may have been written all the same.
    assert [value for value in values if value not in (b"2", b"3")] == [b"1", b"4"]
    assert len(set(values)) == len(values)


async def test_what_is_too_large_is_refused_for_good_and_harms_no_other(kafka: KafkaSettings) -> None:
    sink = RecordSink(kafka, SystemClock(), "till")
    async with running(sink):
        with pytest.raises(RecordTooLargeError):
            await sink.send(TOPIC, key=b"acme", value=bytes(5_000_000), headers={})
        await send(sink, 1)
        assert [record.value for record in await read(kafka, 1)] == [b"1"]


async def test_a_stop_waits_for_what_was_sent_and_then_refuses(kafka: KafkaSettings) -> None:
    kafka = kafka.model_copy(update={"linger": timedelta(seconds=0.3)})
    sink = RecordSink(kafka, SystemClock(), "till")
    async with asyncio.TaskGroup() as tasks:
        running_task = tasks.create_task(sink.run())
        await send(sink, 0)
        sending = [tasks.create_task(send(sink, number)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        assert sink.in_flight() == 3
        await sink.stop(timedelta(seconds=10))
        await running_task
    assert all(task.exception() is None for task in sending)
    assert await ends(kafka) == 4
    with pytest.raises(BusUnavailableError):
        await send(sink, 5)
    assert not sink.connected


@pytest.mark.parametrize("state", ["never there", "hanging", "gone"])
async def test_a_stop_ends_whatever_the_broker_does(broker: BrokerProcess, kafka: KafkaSettings, state: str) -> None:
    if state == "never there":
        broker.kill()
    sink = RecordSink(kafka, SystemClock(), "till")
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running_task = tasks.create_task(sink.run())
        if state != "never there":
            await send(sink, 0)
        if state == "hanging":
            broker.suspend()
        if state == "gone":
            broker.kill()
        await sink.stop(timedelta(seconds=0.2))
        await running_task


# aiokafka forgets the connection that it was making when its start is cancelled, and complains when that is collected.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_stop_while_the_producer_is_being_opened_leaves_no_producer(
    broker: BrokerProcess, kafka: KafkaSettings
) -> None:
    for turns in range(0, 60, 3):
        sink = RecordSink(kafka, SystemClock(), "till")
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(sink.run())
            await asyncio.sleep(turns / 1000)
            await sink.stop(timedelta(seconds=1))
        assert not sink.connected
    # Here, so that it is not in the middle of another test.
    await asyncio.sleep(0.05)
    gc.collect()
