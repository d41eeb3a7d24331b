"""The broker as a process, over the real wire."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from localstack.ports import free_ports
from localstack.probes import accepts

TOPIC = "turnpike.test.v1"


@asynccontextmanager
async def broker(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "localstack.broker", "--port", str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert b"broker: cluster mockCluster" in await process.stdout.readline()
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def produce(port: int, *values: bytes) -> list[int]:
    producer = AIOKafkaProducer(bootstrap_servers=f"127.0.0.1:{port}", enable_idempotence=True, acks="all")
    await producer.start()
    try:
        return [(await producer.send_and_wait(TOPIC, value, key=b"k", partition=0)).offset for value in values]
    finally:
        await producer.stop()


async def consume(port: int, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{port}", auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(TOPIC, 0)])
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_records_that_are_produced_are_consumed() -> None:
    port = free_ports(1, Random())[0]
    async with broker(port) as process:
        assert await accepts(port)
        assert await produce(port, b"one", b"two") == [0, 1]
        assert await consume(port, 2) == [b"one", b"two"]
    assert process.returncode == 0


async def test_broker_that_was_killed_comes_back_at_its_port_and_remembers_nothing() -> None:
    port = free_ports(1, Random())[0]
    async with broker(port) as process:
        await produce(port, b"one")
        process.kill()
        await process.wait()
    async with broker(port):
        assert await produce(port, b"other") == [0]
        assert await consume(port, 1) == [b"other"]


async def test_taken_port_is_one_line() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "localstack.broker", "--port", str(port), stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode() == f"broker: cannot listen on 127.0.0.1:{port}: Address already in use\n"
