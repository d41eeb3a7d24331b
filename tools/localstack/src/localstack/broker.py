"""`python -m localstack.broker --port P`: a broker that speaks the Kafka protocol, in a process of its own.

It is the mock cluster of librdkafka, hosted by a producer that produces nothing. It keeps records in memory only, about
5 MB a partition, creates topics (4 partitions) when they are asked for, and has another cluster id each time. It listens on
a port of its own choice and tells clients so; the fixed port is a forwarder, for the first connection.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys

from confluent_kafka import KafkaException, Producer

_METADATA_TIMEOUT_S = 10.0
_CHUNK = 64 * 1024


class MockCluster:
    """One broker of librdkafka's mock cluster, for as long as this object lives."""

    def __init__(self) -> None:
        # The log level hides a notice that the configured brokers are replaced, which is the point.
        self._host = Producer({"bootstrap.servers": "", "test.mock.num.brokers": 1, "log_level": 3})
        metadata = self._host.list_topics(timeout=_METADATA_TIMEOUT_S)
        broker = next(iter(metadata.brokers.values()))
        self.address = (str(broker.host), int(broker.port))
        self.cluster_id = str(metadata.cluster_id)


async def serve(host: str, port: int, stopping: asyncio.Event) -> None:
    """Host a cluster behind `host:port` until told to stop.

    Args:
        host: address to listen on.
        port: port to listen on; 0 takes a free one. It is printed.
        stopping: set it to end.

    Raises:
        OSError: the port is taken.
    """
    cluster = MockCluster()
    target_host, target_port = cluster.address

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            target_reader, target_writer = await asyncio.open_connection(target_host, target_port)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, target_writer))
                group.create_task(_pump(target_reader, writer))
        writer.close()

    server = await asyncio.start_server(forward, host, port)
    bound = server.sockets[0].getsockname()[1]
    print(
        f"broker: cluster {cluster.cluster_id}, bootstrap {host}:{bound}, broker {target_host}:{target_port}",
        flush=True,
    )
    try:
        await stopping.wait()
    finally:
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until its end, and pass the end on."""
    try:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                writer.write(chunk)
                await writer.drain()
    finally:
        writer.close()


async def _serve_until_signal(host: str, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await serve(host, port, stopping)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="localstack.broker", description="An in-memory Kafka-protocol broker.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one and prints it")
    arguments = parser.parse_args()
    try:
        asyncio.run(_serve_until_signal(arguments.host, arguments.port))
    except OSError as error:
        sys.exit(f"broker: cannot listen on {arguments.host}:{arguments.port}: {_reason(error)}")
    except KafkaException as error:
        sys.exit(f"broker: the mock cluster did not start: {error}")


def _reason(error: OSError) -> str:
    # What asyncio says of a taken port repeats the address.
    return os.strerror(error.errno) if error.errno else str(error)


if __name__ == "__main__":
    main()
