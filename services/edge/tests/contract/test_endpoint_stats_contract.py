"""What every EndpointStats does: the double, and the real one on a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from opentelemetry.metrics import NoOpMeter

from contracts.testing.examples import iter_examples
from contracts.topics import ENDPOINT_STATS
from edge.adapters.endpoint_stats import MAX_AGE, KafkaEndpointStats
from edge.ports import EndpointStats
from edge.testing.doubles import MemoryEndpointStats
from edge.testing.stack import Publisher
from edge.testing.waiting import eventually
from servicekit.clock import SystemClock
from servicekit.settings import KafkaSettings, parse_duration
from servicekit.testing import kafka_broker, running
from turnpike.metering.v1 import endpoint_stats_pb2

EXAMPLES = Path(__file__).parents[4] / "protos" / "examples"
Publish = Callable[[str, endpoint_stats_pb2.EndpointStats | None], Awaitable[None]]


def measured(endpoint_id: str, age: timedelta = timedelta(), successes: int = 1) -> endpoint_stats_pb2.EndpointStats:
    stats = endpoint_stats_pb2.EndpointStats(endpoint_id=endpoint_id)
    stats.measured_at.FromDatetime(datetime.now(UTC) - age)
    stats.last_5m.successes = successes
    return stats


@asynccontextmanager
async def on_kafka(bootstrap: str) -> AsyncIterator[KafkaEndpointStats]:
    settings = KafkaSettings(brokers=bootstrap, watch_interval=parse_duration("100ms"))
    mirror = KafkaEndpointStats(settings, SystemClock(), NoOpMeter("test"))
    async with running(mirror.table):
        yield mirror


@pytest.fixture(params=["double", "kafka"])
async def published(request: pytest.FixtureRequest) -> AsyncIterator[tuple[EndpointStats, Publish]]:
    if request.param == "double":
        memory = MemoryEndpointStats()

        async def put(endpoint_id: str, stats: endpoint_stats_pb2.EndpointStats | None) -> None:
            memory.known.pop(endpoint_id, None)
            if stats is not None:
                memory.known[endpoint_id] = stats

        yield memory, put
        return
    with kafka_broker() as broker:
        publisher = Publisher(broker.bootstrap)

        async def send(endpoint_id: str, stats: endpoint_stats_pb2.EndpointStats | None) -> None:
            value = None if stats is None else stats.SerializeToString()
            await publisher.send((ENDPOINT_STATS.name, endpoint_id, value))

        async with on_kafka(broker.bootstrap) as mirror:
            yield mirror, send


async def test_what_was_published_last_is_known_until_it_is_retracted(
    published: tuple[EndpointStats, Publish],
) -> None:
    mirror, publish = published
    assert mirror.stats("a/m@p") is None
    await publish("a/m@p", measured("a/m@p"))
    await publish("a/m@q", measured("a/m@q"))
    newer = measured("a/m@p", successes=2)
    await publish("a/m@p", newer)
    await eventually(lambda: mirror.stats("a/m@p") == newer)
    await publish("a/m@p", None)
    await eventually(lambda: mirror.stats("a/m@p") is None)
    assert mirror.stats("a/m@q") is not None


async def test_statistics_that_are_old_misplaced_or_broken_are_not_known() -> None:
    with kafka_broker() as broker:
        await Publisher(broker.bootstrap).send(
            (ENDPOINT_STATS.name, "old", measured("old", MAX_AGE + timedelta(seconds=5)).SerializeToString()),
            (ENDPOINT_STATS.name, "elsewhere", measured("other").SerializeToString()),
            (ENDPOINT_STATS.name, "broken", b"\xff\xff"),
            (ENDPOINT_STATS.name, "late", measured("late").SerializeToString()),
            (ENDPOINT_STATS.name, "late", measured("late", timedelta(minutes=1), 7).SerializeToString()),
            (ENDPOINT_STATS.name, "last", measured("last").SerializeToString()),
        )
        async with on_kafka(broker.bootstrap) as mirror:
            await eventually(lambda: mirror.stats("last") is not None)
            assert [mirror.stats(name) for name in ("old", "elsewhere", "broken")] == [None] * 3
            late = mirror.stats("late")
            assert late is not None
            assert late.last_5m.successes == 1


@pytest.mark.parametrize(
    "example",
    [pytest.param(each, id=name) for name, each in iter_examples(endpoint_stats_pb2.EndpointStats, EXAMPLES)],
)
async def test_published_examples_are_understood(example: endpoint_stats_pb2.EndpointStats) -> None:
    now = endpoint_stats_pb2.EndpointStats()
    now.CopyFrom(example)
    now.measured_at.FromDatetime(datetime.now(UTC))
    with kafka_broker() as broker:
        await Publisher(broker.bootstrap).send((ENDPOINT_STATS.name, now.endpoint_id, now.SerializeToString()))
        async with on_kafka(broker.bootstrap) as mirror:
            await eventually(lambda: mirror.stats(now.endpoint_id) == now)


async def test_edge_starts_without_a_broker_and_then_knows_nothing() -> None:
    async with on_kafka("127.0.0.1:1") as mirror:
        assert mirror.stats("a/m@p") is None
