"""The tail, against a broker that is late, freezes and is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from servicekit.clock import SystemClock
from servicekit.kafka import BusUnavailableError, RecordSink, TopicTail
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess, running

TOPIC = "news"
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@asynccontextmanager
async def tail(kafka: KafkaSettings) -> AsyncIterator[list[bytes]]:
    """What a tail hands over, while it runs."""
    heard: list[bytes] = []
    async with running(TopicTail(kafka, SystemClock(), topic=TOPIC, on_record=heard.append)):
        yield heard


async def publish(kafka: KafkaSettings, *values: bytes | None) -> None:
    """Write records, as soon as there is a cluster."""
    sink = RecordSink(kafka, SystemClock(), "paper")
    async with running(sink):
        for value in values:
            while True:
                try:
                    await sink.send(TOPIC, key=b"reporter", value=value, headers={})
                    break
                except BusUnavailableError:
                    await asyncio.sleep(0.05)


async def say_until_heard(kafka: KafkaSettings, heard: list[bytes], word: bytes) -> None:
    """Say a word again and again: what was said before the tail had found the end is not for it."""
    while word not in heard:
        await publish(kafka, word)


async def test_it_hears_what_comes_and_not_what_was(kafka: KafkaSettings, eventually: Eventually) -> None:
    await publish(kafka, *(b"old %d" % number for number in range(50)))
    async with tail(kafka) as heard:
        await say_until_heard(kafka, heard, b"ready")
        await publish(kafka, b"one", None, b"two")
        await eventually(lambda: b"two" in heard)
        assert [each for each in heard if each != b"ready"] == [b"one", b"two"]


async def test_it_starts_without_a_broker(kafka: KafkaSettings, broker: BrokerProcess) -> None:
    broker.stop()
    async with tail(kafka) as heard:
        await asyncio.sleep(0.3)
        broker.start()
        await say_until_heard(kafka, heard, b"ready")


async def test_it_goes_on_where_it_was_when_the_broker_answers_again(
    kafka: KafkaSettings, broker: BrokerProcess, eventually: Eventually
) -> None:
    async with tail(kafka) as heard:
        await say_until_heard(kafka, heard, b"ready")
        broker.suspend()
        # Longer than the reader waits for an answer, so that a new one is made.
        await asyncio.sleep(kafka.stall_timeout.total_seconds() + 1)
        broker.resume()
        await publish(kafka, b"one", b"two")
        await eventually(lambda: b"two" in heard)
        assert b"one" in heard


async def test_it_follows_to_a_new_cluster(kafka: KafkaSettings, broker: BrokerProcess) -> None:
    async with tail(kafka) as heard:
        await say_until_heard(kafka, heard, b"before")
        broker.replace()
        await say_until_heard(kafka, heard, b"after")
