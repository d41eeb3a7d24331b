"""The consumer, whose handler keeps the offsets, against a broker that dies, hangs and is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AioPartition

from servicekit.clock import SystemClock
from servicekit.kafka import (
    BusUnavailableError,
    Record,
    RecordConsumer,
    RecordSink,
    RetryLaterError,
    TopicPartition,
    fetch_cluster_id,
)
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess, RecordingTelemetry, running
from servicekit.tracing import context_from_headers, inject_headers, span, span_link

TOPIC, GROUP = "sales", "ledger"
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


class Ledger:
    """A store that keeps values and offsets together, per cluster."""

    def __init__(self) -> None:
        self.values = list[bytes | None]()
        self.records = list[Record]()
        self.batches = list[int]()
        self.offsets = dict[str, dict[TopicPartition, int]]()
        self.gaps = list[tuple[int, int]]()
        self.starts = list[str]()
        self.revocations = list[frozenset[TopicPartition]]()
        self.attempts = 0
        self.refusals = 0
        self.crash_before_the_offset = False
        self.poison: bytes | None = None
        self.begun, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def start_offsets(
        self, cluster_id: str, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        self.starts.append(cluster_id)
        known = self.offsets.get(cluster_id, {})
        return {partition: known[partition] for partition in partitions if partition in known}

    async def handle(self, cluster_id: str, partition: TopicPartition, records: Sequence[Record]) -> None:
        self.attempts += 1
        self.begun.set()
        await self.gate.wait()
        if self.refusals:
            self.refusals -= 1
            raise RetryLaterError("the store is away")
        if self.poison in [record.value for record in records]:
            raise ValueError("poison")
        self.values += [record.value for record in records]
        self.records += records
        self.batches.append(len(records))
        if self.crash_before_the_offset:
            raise OSError("killed before the commit")
        self.offsets.setdefault(cluster_id, {})[partition] = records[-1].offset + 1

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        self.revocations.append(frozenset(partitions))

    async def gap(self, partition: TopicPartition, expected: int, actual: int) -> None:
        self.gaps.append((expected, actual))


class Patient(Ledger):
    """Cannot even say at once where to begin."""

    def __init__(self) -> None:
        super().__init__()
        self.delays = 2

    async def start_offsets(
        self, cluster_id: str, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        if self.delays:
            self.delays -= 1
            raise RetryLaterError("the store is away")
        return await super().start_offsets(cluster_id, partitions)


def consumer(kafka: KafkaSettings, ledger: Ledger, telemetry: RecordingTelemetry | None = None) -> RecordConsumer:
    meter = telemetry.meter if telemetry else None
    return RecordConsumer(
        kafka, SystemClock(), topics=[TOPIC], group=GROUP, handler=ledger, max_records=50, meter=meter
    )


async def produce(kafka: KafkaSettings, numbers: Sequence[int], headers: Mapping[str, str] | None = None) -> None:
    """One key, so one partition and one order."""
    sink = RecordSink(kafka, SystemClock(), "till")
    async with running(sink):
        for number in numbers:
            while True:
                try:
                    await sink.send(TOPIC, key=b"acme", value=b"%d" % number, headers=headers or {})
                    break
                except BusUnavailableError:
                    await asyncio.sleep(0.05)


def numbers(ledger: Ledger) -> list[int]:
    return [int(value or b"-1") for value in ledger.values]


async def test_records_come_in_order_with_their_headers_and_in_bounded_batches(
    kafka: KafkaSettings, eventually: Eventually
) -> None:
    telemetry, ledger = RecordingTelemetry(), Ledger()
    headers: dict[str, str] = {"ce_id": "x"}
    with span(telemetry.tracer, "sell"):
        inject_headers(headers)
    await produce(kafka, range(130), headers)
    reading = consumer(kafka, ledger, telemetry)
    async with running(reading):
        await eventually(lambda: len(ledger.values) == 130)
        assert [partition.topic for partition in reading.assignment] == [TOPIC] * len(reading.assignment)
        assert reading.handled == 130
        assert telemetry.metric("messaging.consumer.handled") == 130
        assert reading.lag == 0
    assert numbers(ledger) == list(range(130))
    assert max(ledger.batches) <= 50
    sent, link = telemetry.span("sell"), span_link(context_from_headers(ledger.records[0].headers))
    assert sent.context is not None
    assert link is not None
    assert link.context.span_id == sent.context.span_id
    assert ledger.records[0]._replace(partition=0, timestamp_ms=0) == Record(TOPIC, 0, 0, b"acme", b"0", headers, 0)
    assert [record.offset for record in ledger.records] == list(range(130))
    assert reading.assignment == frozenset()
    assert sum(map(len, ledger.revocations)) >= 1


async def test_it_begins_where_the_store_says_and_not_where_the_group_does(
    kafka: KafkaSettings, eventually: Eventually
) -> None:
    await produce(kafka, range(5))
    first = Ledger()
    async with running(consumer(kafka, first)):
        await eventually(lambda: len(first.values) == 5)
    # Another store of the same group has handled less.
    second = Ledger()
    cluster = await fetch_cluster_id(kafka)
    (partition,) = first.offsets[cluster]
    second.offsets[cluster] = {partition: 3}
    async with running(consumer(kafka, second)):
        await eventually(lambda: len(second.values) == 2)
        await produce(kafka, [5])
        await eventually(lambda: len(second.values) == 3)
    assert numbers(second) == [3, 4, 5]
    assert second.gaps == []


async def test_offsets_are_told_to_the_group_for_lag_tools(kafka: KafkaSettings, eventually: Eventually) -> None:
    await produce(kafka, range(5))
    ledger = Ledger()
    async with running(consumer(kafka, ledger)):
        await eventually(lambda: len(ledger.values) == 5)
    tool = AIOKafkaConsumer(bootstrap_servers=kafka.brokers, group_id=GROUP, enable_auto_commit=False)
    await tool.start()
    try:
        (partition,) = {TopicPartition(record.topic, record.partition) for record in ledger.records}
        assert await tool.committed(AioPartition(*partition)) == 5
    finally:
        await tool.stop()


async def test_a_crash_between_the_work_and_its_offset_repeats_the_work_and_loses_nothing(
    kafka: KafkaSettings, eventually: Eventually
) -> None:
    await produce(kafka, range(10))
    ledger = Ledger()
    ledger.crash_before_the_offset = True
    with pytest.raises(ExceptionGroup) as caught:
        async with running(consumer(kafka, ledger)):
            await asyncio.Event().wait()
    assert caught.group_contains(OSError, match="killed before the commit")
    handled_twice = len(ledger.values)
    assert handled_twice >= 1
    ledger.crash_before_the_offset = False
    async with running(consumer(kafka, ledger)):
        await eventually(lambda: len(ledger.values) == 10 + handled_twice)
    assert numbers(ledger) == [*range(handled_twice), *range(10)]


async def test_a_handler_that_cannot_take_records_now_gets_the_same_again(
    kafka: KafkaSettings, eventually: Eventually
) -> None:
    await produce(kafka, range(10))
    ledger = Ledger()
    ledger.refusals = 3
    async with running(consumer(kafka, ledger)):
        await eventually(lambda: len(ledger.values) == 10)
    assert numbers(ledger) == list(range(10))
    assert ledger.attempts >= 4


async def test_a_store_that_is_away_at_the_start_is_waited_for(kafka: KafkaSettings, eventually: Eventually) -> None:
    await produce(kafka, range(3))
    ledger = Patient()
    async with running(consumer(kafka, ledger)):
        await eventually(lambda: len(ledger.values) == 3)
    assert numbers(ledger) == [0, 1, 2]


async def test_an_error_that_the_handler_does_not_expect_fails_the_service_and_skips_nothing(
    kafka: KafkaSettings, eventually: Eventually
) -> None:
    await produce(kafka, [0, 1, 2])
    ledger = Ledger()
    async with running(consumer(kafka, ledger)):
        await eventually(lambda: len(ledger.values) == 3)
    await produce(kafka, [3, 4])
    ledger.poison = b"3"
    for _ in range(2):
        with pytest.raises(ExceptionGroup) as caught:
            async with running(consumer(kafka, ledger)):
                await asyncio.Event().wait()
        assert caught.group_contains(ValueError, match="poison")
    assert numbers(ledger) == [0, 1, 2]
    ledger.poison = None
    async with running(consumer(kafka, ledger)):
        await eventually(lambda: len(ledger.values) == 5)
    assert numbers(ledger) == [0, 1, 2, 3, 4]


async def test_a_handler_that_hangs_makes_liveness_fail_and_one_that_refuses_does_not(
    kafka: KafkaSettings, eventually: Eventually
) -> None:
    kafka = kafka.model_copy(update={"stuck_timeout": timedelta(seconds=6)})
    await produce(kafka, range(3))
    refusing, hanging = Ledger(), Ledger()
    refusing.refusals = 10**6
    async with running(reading := consumer(kafka, refusing)):
        await eventually(lambda: refusing.attempts >= 5)
        assert reading.is_live
    hanging.gate.clear()
    async with running(reading := consumer(kafka, hanging)):
        await eventually(lambda: not reading.is_live)
        assert reading.lag > 0
        hanging.gate.set()
        await eventually(lambda: reading.is_live)


async def test_a_cluster_that_was_replaced_is_read_from_its_start_under_its_own_id(
    broker: BrokerProcess, kafka: KafkaSettings, eventually: Eventually
) -> None:
    await produce(kafka, range(5))
    ledger = Ledger()
    async with running(consumer(kafka, ledger)):
        await eventually(lambda: len(ledger.values) == 5)
        broker.replace()
        await produce(kafka, [100, 101])
        await eventually(lambda: len(ledger.values) == 7)
    assert numbers(ledger) == [0, 1, 2, 3, 4, 100, 101]
    assert len(ledger.offsets) == 2
    assert sorted(offset for known in ledger.offsets.values() for offset in known.values()) == [2, 5]
    assert ledger.gaps == []


async def test_it_starts_without_a_broker_and_reads_when_there_is_one(
    broker: BrokerProcess, kafka: KafkaSettings, eventually: Eventually
) -> None:
    broker.kill()
    ledger = Ledger()
    reading = consumer(kafka, ledger)
    async with running(reading):
        await asyncio.sleep(0.3)
        assert ledger.starts == []
        assert (reading.lag, reading.handled, reading.in_flight()) == (0, 0, 0)
        broker.start()
        await produce(kafka, [1, 2])
        await eventually(lambda: len(ledger.values) == 2)
    assert numbers(ledger) == [1, 2]


async def test_a_broker_that_hangs_for_longer_than_the_stall_is_read_on_afterwards(
    broker: BrokerProcess, kafka: KafkaSettings, eventually: Eventually
) -> None:
    # The coordinator waits for the session of the member that it lost, which is longer than a request may take.
    kafka = kafka.model_copy(update={"session_timeout": timedelta(seconds=6)})
    await produce(kafka, range(5))
    ledger = Ledger()
    async with running(consumer(kafka, ledger)):
        await eventually(lambda: len(ledger.values) == 5)
        broker.suspend()
        await asyncio.sleep(kafka.stall_timeout.total_seconds() + 3)
        broker.resume()
        await produce(kafka, [5, 6])
        await eventually(lambda: 6 in numbers(ledger))
    assert numbers(ledger) == list(range(7))


async def test_offsets_beyond_the_log_are_a_gap_that_is_told(kafka: KafkaSettings, eventually: Eventually) -> None:
    await produce(kafka, range(5))
    finder = Ledger()
    async with running(consumer(kafka, finder)):
        await eventually(lambda: len(finder.values) == 5)
    cluster = await fetch_cluster_id(kafka)
    (partition,) = finder.offsets[cluster]
    ledger = Ledger()
    ledger.offsets[cluster] = {partition: 50}
    async with running(consumer(kafka, ledger)):
        await eventually(lambda: len(ledger.values) == 5)
    # The log begins anew, under the cluster's old name: all that it has is handed out.
    assert ledger.gaps == [(50, 5)]
    assert numbers(ledger) == [0, 1, 2, 3, 4]


async def test_while_a_handler_is_busy_nothing_piles_up(kafka: KafkaSettings, eventually: Eventually) -> None:
    ledger = Ledger()
    ledger.gate.clear()
    reading = consumer(kafka, ledger)
    async with running(reading):
        await produce(kafka, range(200))
        await ledger.begun.wait()
        await asyncio.sleep(1)
        assert ledger.attempts == 1
        assert 1 <= reading.in_flight() <= 50
        ledger.gate.set()
        await eventually(lambda: len(ledger.values) == 200)
    assert numbers(ledger) == list(range(200))


async def test_a_stop_lets_the_handler_finish_what_it_has_in_hand_and_hands_out_nothing_more(
    kafka: KafkaSettings, eventually: Eventually
) -> None:
    await produce(kafka, range(200))
    ledger = Ledger()
    ledger.gate.clear()
    reading = consumer(kafka, ledger)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(reading.run())
        await ledger.begun.wait()
        stopping = tasks.create_task(reading.stop(timedelta(seconds=20)))
        await asyncio.sleep(0.2)
        assert not stopping.done()
        ledger.gate.set()
    assert ledger.attempts == 1
    assert 1 <= len(ledger.values) <= 50
    assert [offset for known in ledger.offsets.values() for offset in known.values()] == [len(ledger.values)]


@pytest.mark.parametrize("state", ["never there", "hanging", "gone"])
async def test_a_stop_ends_whatever_the_broker_does(
    broker: BrokerProcess, kafka: KafkaSettings, eventually: Eventually, state: str
) -> None:
    ledger = Ledger()
    if state == "never there":
        broker.kill()
    else:
        await produce(kafka, [1])
    reading = consumer(kafka, ledger)
    async with asyncio.timeout(60), running(reading):
        if state != "never there":
            await eventually(lambda: len(ledger.values) == 1)
        if state == "hanging":
            broker.suspend()
        if state == "gone":
            broker.kill()


async def test_a_stop_before_the_run_returns(kafka: KafkaSettings) -> None:
    reading = consumer(kafka, Ledger())
    await reading.stop(timedelta(seconds=1))
    async with asyncio.timeout(30):
        await reading.run()


async def test_a_revocation_that_fails_is_not_lost(kafka: KafkaSettings, eventually: Eventually) -> None:
    class Clumsy(Ledger):
        async def revoked(self, partitions: Collection[TopicPartition]) -> None:
            await super().revoked(partitions)
            raise OSError("cannot let go")

    await produce(kafka, range(5))
    first, second = Clumsy(), Ledger()

    async def rebalance() -> None:
        async with running(consumer(kafka, first)):
            await eventually(lambda: len(first.values) == 5)
            async with running(consumer(kafka, second)):
                await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await rebalance()
    assert caught.group_contains(OSError, match="cannot let go")
    assert first.revocations
