"""Metering as a process, with its engine inside, and a broker that is a process too."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from aiokafka import AIOKafkaConsumer
from clickhouse_connect.driver.client import Client

from contracts.topics import ENDPOINT_STATS, USAGE
from metering.adapters.clickhouse_schema import packaged_migrations
from metering.failpoints import POINTS
from metering.testing.clickhouse_http import clickhouse_over_http
from metering.testing.process import environment, look, metering_process
from metering.testing.usage_events import EventFactory
from servicekit.clock import SystemClock
from servicekit.kafka import BusUnavailableError, RecordSink
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess, kafka_broker, running
from servicekit.testing.service_process import ServiceProcess, eventually
from turnpike.metering.v1 import endpoint_stats_pb2
from turnpike.metering.v1 import metering_service_pb2 as messages
from turnpike.metering.v1.metering_service_pb2_grpc import MeteringServiceStub
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

ORG = "3a1f0c52-8f3e-4b0a-9a55-2f1f6f0c9d10"
BAD = b"\xff\xff"
ROWS = "SELECT count() FROM usage_events"
FINAL = "SELECT count(), sum(toInt128(cost_nano_usd)) FROM usage_events FINAL"
OPEN_PLANS = (
    "SELECT partition, first_offset, last_offset, token FROM ingest_batches FINAL WHERE NOT done ORDER BY partition"
)


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    with kafka_broker() as started:
        yield started


@asynccontextmanager
async def producer(bootstrap: str) -> AsyncIterator[RecordSink]:
    sink = RecordSink(KafkaSettings(brokers=bootstrap), SystemClock(), "test")
    async with running(sink):
        yield sink


async def send(sink: RecordSink, *, key: bytes, value: bytes) -> None:
    """Send a record as routers do: again, until it is acknowledged."""
    for _ in range(200):
        try:
            await sink.send(USAGE.name, key=key, value=value, headers={"ce_id": "x"})
        except BusUnavailableError:
            await asyncio.sleep(0.1)
        else:
            return
    raise AssertionError("the broker takes nothing")


async def produce(sink: RecordSink, values: Sequence[UsageEvent | bytes]) -> None:
    async with asyncio.TaskGroup() as group:
        for number, value in enumerate(values):
            record = value.SerializeToString() if isinstance(value, UsageEvent) else value
            # Several keys, so that the events are spread over the partitions.
            group.create_task(send(sink, key=b"org-%d" % (number % 5), value=record))


@asynccontextmanager
async def asking(process: ServiceProcess) -> AsyncIterator[MeteringServiceStub]:
    async def listens() -> int:
        return process.port

    await eventually(listens, "it listens")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{process.port}") as channel:
        yield MeteringServiceStub(channel)


async def requests(stub: MeteringServiceStub) -> int:
    """How many generations the store has of the organisation, over all times."""
    question = messages.QueryUsageRequest(org_id=ORG)
    question.start.FromSeconds(0)
    question.end.FromSeconds(4_000_000_000)
    (row,) = (await stub.QueryUsage(question, timeout=30)).rows
    return int(row.requests)


async def until_stored(stub: MeteringServiceStub, count: int) -> None:
    async def all_are() -> bool:
        return await requests(stub) >= count

    await eventually(all_are, f"{count} events are stored")


async def find(stub: MeteringServiceStub, generation_id: str, org_id: str = ORG) -> UsageEvent | grpc.StatusCode:
    request = messages.GetGenerationRequest(org_id=org_id, generation_id=generation_id)
    try:
        return (await stub.GetGeneration(request, timeout=30)).event
    except grpc.aio.AioRpcError as error:
        return error.code()


async def until_found(stub: MeteringServiceStub, event: UsageEvent) -> None:
    async def is_found() -> bool:
        return await find(stub, event.generation_id) == event

    await eventually(is_found, "the generation is found")


async def read_dead_letters(bootstrap: str) -> list[tuple[bytes | None, dict[str, str]]]:
    consumer = AIOKafkaConsumer(USAGE.dead_letters, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        letters = []
        for partition, end in (await consumer.end_offsets(consumer.assignment())).items():
            while await consumer.position(partition) < end:
                for record in (await consumer.getmany(partition, timeout_ms=500)).get(partition, []):
                    letters.append((record.value, {name: value.decode() for name, value in record.headers}))
        return letters
    finally:
        await consumer.stop()


def embedded(store: Path, broker: BrokerProcess, **more: str) -> Mapping[str, str]:
    return environment(f"chdb://{store}", broker.bootstrap, **more)


def total_cost(events: Sequence[UsageEvent]) -> int:
    return sum({event.event_id: event.cost_nano_usd for event in events}.values())


@pytest.mark.parametrize("point", POINTS)
async def test_b04_killed_at_a_failpoint_every_event_is_there_once_after_a_restart(
    point: str, tmp_path: Path, broker: BrokerProcess, new_event: EventFactory
) -> None:
    store = tmp_path / "store"
    first = [new_event(org_id=ORG, completion_tokens=n) for n in range(30)]
    later = [new_event(org_id=ORG, completion_tokens=n) for n in range(30, 40)]
    dying = embedded(store, broker, METERING_BATCH_ROWS="4", METERING_FAILPOINTS=f"{point}:2")
    async with producer(broker.bootstrap) as sink:
        await produce(sink, [*first, BAD])
        async with metering_process(tmp_path, dying) as process:
            assert await process.end() == -signal.SIGKILL
        plans, before = await look(store, OPEN_PLANS, ROWS)
        await produce(sink, later)
    async with metering_process(tmp_path, embedded(store, broker)) as process, asking(process) as stub:
        await until_stored(stub, len(first) + len(later))
        assert await find(stub, first[0].generation_id) == first[0]
        assert await process.stop() == 0
        bounds = [bound for line in process.events("batch.flushed") for bound in line["bounds"].items()]
    # No merge has to help: a batch that was open is inserted again with the same bounds and token, so it adds no row.
    rows, final, left = await look(store, ROWS, FINAL, OPEN_PLANS)
    assert int(rows[0][0]) == len(first) + len(later)
    assert [int(value) for value in final[0]] == [40, total_cost([*first, *later])]
    assert left == []
    for partition, first_offset, last_offset, _ in plans:
        assert (f"{USAGE.name}/{partition}", f"{first_offset}-{last_offset}") in bounds
    assert (plans == []) == (point in {"plan.before", "done.after"})
    assert int(before[0][0]) <= len(first)
    assert {value for value, _ in await read_dead_letters(broker.bootstrap)} == {BAD}


async def test_b04_killed_at_any_moment_under_load_nothing_is_lost_or_doubled(
    tmp_path: Path, broker: BrokerProcess, new_event: EventFactory
) -> None:
    store = tmp_path / "store"
    variables = embedded(store, broker, METERING_BATCH_INTERVAL="5ms", METERING_BATCH_ROWS="7")
    events = [new_event(org_id=ORG, completion_tokens=n) for n in range(400)]
    async with producer(broker.bootstrap) as sink:
        for life in range(2):
            async with metering_process(tmp_path, variables) as process, asking(process) as stub:
                await produce(sink, events[200 * life : 200 * (life + 1)])
                await until_stored(stub, 200 * life + 1)
                process.process.kill()
                await process.end()
    async with metering_process(tmp_path, variables) as process, asking(process) as stub:
        await until_stored(stub, len(events))
        assert await process.stop() == 0
    rows, final = await look(store, ROWS, FINAL)
    assert int(rows[0][0]) == len(events)
    assert [int(value) for value in final[0]] == [len(events), total_cost(events)]


async def test_b07_a_broker_that_is_new_doubles_nothing_and_its_events_follow(
    tmp_path: Path, broker: BrokerProcess, new_event: EventFactory
) -> None:
    store = tmp_path / "store"
    events = [new_event(org_id=ORG, completion_tokens=n) for n in range(20)]
    new = [new_event(org_id=ORG) for _ in range(5)]
    async with metering_process(tmp_path, embedded(store, broker)) as process, asking(process) as stub:
        async with producer(broker.bootstrap) as sink:
            await produce(sink, [*events, *events[:7]])
            await until_stored(stub, 20)
        broker.replace()
        async with producer(broker.bootstrap) as sink:
            # The routers replay their spools: the same events at other offsets, from 0 on, and new ones.
            await produce(sink, [*events[::-1], *new])
            await until_stored(stub, 25)
        assert await process.stop() == 0
    (final,) = await look(store, FINAL)
    assert [int(value) for value in final[0]] == [25, total_cost([*events, *new])]


async def test_generation_is_found_before_it_is_stored_and_sigterm_stores_it(
    tmp_path: Path, broker: BrokerProcess, new_event: EventFactory
) -> None:
    store = tmp_path / "store"
    events = [new_event(org_id=ORG) for _ in range(10)]
    slow = embedded(store, broker, METERING_BATCH_INTERVAL="1h")
    async with metering_process(tmp_path, slow) as process, asking(process) as stub:
        async with producer(broker.bootstrap) as sink:
            await produce(sink, events)
        for event in events:
            await until_found(stub, event)
        assert await find(stub, events[0].generation_id, "another") is grpc.StatusCode.NOT_FOUND
        assert await requests(stub) == 0
        assert await process.stop() == 0
        (stopped,) = process.events("service.stopped")
    assert (stopped["reason"], stopped["abandoned"]) == ("SIGTERM", 0)
    (rows,) = await look(store, ROWS)
    assert int(rows[0][0]) == 10
    async with metering_process(tmp_path, embedded(store, broker)) as process, asking(process) as stub:
        for event in events:
            await until_found(stub, event)
        assert await find(stub, events[0].generation_id, "another") is not events[0]
        assert await process.stop() == 0


async def test_record_that_breaks_a_rule_is_set_aside_and_the_others_are_stored(
    tmp_path: Path, broker: BrokerProcess, new_event: EventFactory
) -> None:
    dear = new_event(org_id=ORG, cost_nano_usd=1)
    unpriced = new_event(org_id=ORG)
    unpriced.usage.MergeFromString(b"\xf8\x06\x05")
    endless = new_event(org_id=ORG)
    endless.started_at.seconds = 10**15
    good = [new_event(org_id=ORG) for _ in range(3)]
    variables = embedded(tmp_path / "store", broker)
    async with metering_process(tmp_path, variables) as process, asking(process) as stub:
        async with producer(broker.bootstrap) as sink:
            await produce(sink, [good[0], BAD, good[1], dear, unpriced, endless, good[2]])
        await until_stored(stub, 3)

        async def all_are_set_aside() -> bool:
            return len(await read_dead_letters(broker.bootstrap)) >= 4

        await eventually(all_are_set_aside, "four dead letters")
        assert await process.stop() == 0
    letters = {headers["x-reason"]: (value, headers) for value, headers in await read_dead_letters(broker.bootstrap)}
    assert {reason: value for reason, (value, _) in letters.items()} == {
        "not a UsageEvent message": BAD,
        "cost is not usage x price": dear.SerializeToString(),
        "usage has a kind that this version cannot price": unpriced.SerializeToString(),
        "started_at or ended_at is not a time between 2020 and 2100": endless.SerializeToString(),
    }
    for _, headers in letters.values():
        assert (headers["x-original-topic"], headers["x-consumer"], headers["ce_id"]) == (USAGE.name, "metering", "x")
        assert headers["x-original-offset"].isdecimal()


async def test_fuse_stops_the_process_before_the_topic_drains_into_the_dead_letters(
    tmp_path: Path, broker: BrokerProcess, new_event: EventFactory
) -> None:
    store = tmp_path / "store"
    good = new_event(org_id=ORG)
    async with producer(broker.bootstrap) as sink:
        for _ in range(20):
            await sink.send(USAGE.name, key=b"org", value=BAD, headers={})
        await sink.send(USAGE.name, key=b"org", value=good.SerializeToString(), headers={})
    # No flush comes between the first bad record and the last.
    sensitive = embedded(store, broker, METERING_FUSE_CONSECUTIVE="20", METERING_BATCH_INTERVAL="1h")
    async with metering_process(tmp_path, sensitive) as process:
        assert await process.end() == 1
        assert "20 invalid usage events in a row" in process.log.read_text()
    assert await read_dead_letters(broker.bootstrap) == []
    # Somebody looked, and lets them pass.
    async with metering_process(tmp_path, embedded(store, broker)) as process, asking(process) as stub:
        await until_stored(stub, 1)
        assert await process.stop() == 0
    assert len(await read_dead_letters(broker.bootstrap)) == 20


async def test_the_same_through_the_http_interface_of_a_server(
    tmp_path: Path, broker: BrokerProcess, new_event: EventFactory, engine: Any, database: str
) -> None:
    client: Client = engine.client
    events = [new_event(org_id=ORG, completion_tokens=n) for n in range(12)]
    async with clickhouse_over_http(engine.path) as server, producer(broker.bootstrap) as sink:
        await produce(sink, events)
        dsn = f"{server}/{database}?compress=false"
        dying = environment(dsn, broker.bootstrap, METERING_FAILPOINTS="insert.after")
        async with metering_process(tmp_path, dying) as process:
            assert await process.end() == -signal.SIGKILL
        variables = environment(dsn, broker.bootstrap)
        async with metering_process(tmp_path, variables) as process, asking(process) as stub:
            await until_stored(stub, len(events))
            assert await find(stub, events[3].generation_id) == events[3]
            assert await process.stop() == 0
    assert client.query(f"SELECT count() FROM {database}.usage_events").result_rows == [(len(events),)]


async def test_admin_port_tells_readiness_and_metrics(
    tmp_path: Path, broker: BrokerProcess, new_event: EventFactory
) -> None:
    async with metering_process(tmp_path, embedded(tmp_path / "store", broker)) as process, asking(process):
        async with producer(broker.bootstrap) as sink:
            await produce(sink, [new_event(org_id=ORG)])

        async def has_flushed() -> bool:
            return bool(process.events("batch.flushed"))

        await eventually(has_flushed, "a flush")
        (listening,) = process.events("admin.listening")
        url = f"http://127.0.0.1:{listening['port']}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/healthz/ready") as response:
                assert response.status == 200
            async with session.get(f"{url}/metrics") as response:
                metrics = await response.text()
        assert await process.stop() == 0
    for name in ("rows_inserted", "batches_completed", "backlog_records", "ingest_delay"):
        assert f"metering_{name}" in metrics


def run(*arguments: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], env=variables, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_settings_are_checked_with_all_problems_together(tmp_path: Path) -> None:
    good = environment(f"chdb://{tmp_path}", "127.0.0.1:1")
    assert run("metering", "--check", **good) == (0, "ok\n")
    code, text = run(
        "metering", "--check", METERING_FAILPOINTS="nowhere", METERING_BATCH_ROWS="0", METERING_NO_SUCH="1"
    )
    assert code == 2
    for name in ("CLICKHOUSE_DSN", "FAILPOINTS", "BATCH_ROWS", "NO_SUCH"):
        assert f"METERING_{name}" in text


async def test_migrations_run_alone_as_a_command_and_pending_ones_stop_a_start(
    tmp_path: Path, broker: BrokerProcess
) -> None:
    store = tmp_path / "store"
    refusing = embedded(store, broker, METERING_CLICKHOUSE_MIGRATE="false")
    async with metering_process(tmp_path, refusing) as process:
        assert await process.end() == 1
        assert "0001_usage_events.sql has not run" in process.log.read_text()
    assert run("metering.migrate", **refusing)[0] == 0
    async with metering_process(tmp_path, refusing) as process, asking(process) as stub:
        assert await requests(stub) == 0
        assert await process.stop() == 0
    (ran,) = await look(store, "SELECT name FROM schema_migrations FINAL ORDER BY version")
    assert [name for (name,) in ran] == [migration.name for migration in packaged_migrations()]


async def test_what_endpoints_did_is_published_on_its_topic(
    tmp_path: Path, broker: BrokerProcess, new_event: EventFactory
) -> None:
    now_ms = int(SystemClock().now().timestamp() * 1_000)
    events = [new_event(started_at_ms=now_ms - 1_000 * number) for number in range(20)]
    variables = environment(
        f"chdb://{tmp_path / 'store'}",
        broker.bootstrap,
        METERING_ROLLUP_INTERVAL="200ms",
        METERING_ROLLUP_STATS_INTERVAL="200ms",
    )
    consumer = AIOKafkaConsumer(ENDPOINT_STATS.name, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    async with metering_process(tmp_path, variables), producer(broker.bootstrap) as sink:
        await produce(sink, events)
        await consumer.start()
        try:
            async with asyncio.timeout(60):
                async for record in consumer:
                    stats = endpoint_stats_pb2.EndpointStats.FromString(record.value)
                    assert record.key.decode() == stats.endpoint_id == events[0].endpoint_id
                    assert dict(record.headers)["ce_type"].decode() == ENDPOINT_STATS.event_type
                    if stats.last_1d.successes == len(events):
                        break
        finally:
            await consumer.stop()
    assert stats.last_1d.uptime == 1
    assert stats.last_1d.first_token_ms.p99 == events[0].first_token_ms
