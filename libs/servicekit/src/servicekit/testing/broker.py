"""A Kafka-protocol broker without Kafka: librdkafka's mock cluster, in a process of its own.

It speaks the protocol over real sockets, with an idempotent producer and single-member groups, but it keeps about 5 MB a
partition in memory and nothing else, and each start is a new cluster with another id. It listens on a port that cannot be
chosen, so a forwarder at a fixed port serves for bootstrapping; clients then talk to the mock cluster directly.

    python -m servicekit.testing.broker --port 9092

This file imports nothing of servicekit, so that it starts quickly when it is run as a script.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import importlib.util
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import shuffle
from typing import IO, Any, Final

_READY: Final = "broker listening on "
_CHUNK: Final = 64 * 1024
_REBALANCE_DELAY_MS: Final = 100


class MockCluster:
    """librdkafka's mock cluster, in this process, with one broker. Lives as long as the process.

    Made through the C interface: the Python one offers no way to shorten the 3 s for which a group waits for members.
    """

    def __init__(self) -> None:
        """Start it.

        Raises:
            RuntimeError: confluent-kafka, which carries librdkafka, is not installed, or librdkafka refuses.
        """
        library = _librdkafka()
        message = ctypes.create_string_buffer(512)
        configuration = library.rd_kafka_conf_new()
        # The cluster belongs to a client that does nothing; its warnings are of no interest.
        library.rd_kafka_conf_set(configuration, b"log_level", b"2", message, len(message))
        owner = library.rd_kafka_new(0, configuration, message, len(message))
        cluster = library.rd_kafka_mock_cluster_new(owner, 1) if owner else None
        if cluster is None:
            raise RuntimeError(f"librdkafka: {message.value.decode() or 'no mock cluster'}")
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, _REBALANCE_DELAY_MS)
        host, _, port = library.rd_kafka_mock_cluster_bootstraps(cluster).decode().partition(":")
        self.host: str = host
        self.port = int(port)


def _librdkafka() -> Any:
    package = importlib.util.find_spec("confluent_kafka")
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("the broker needs the package confluent-kafka")
    folder = Path(package.submodule_search_locations[0])
    found = [*folder.with_name("confluent_kafka.libs").glob("librdkafka*"), *(folder / ".dylibs").glob("librdkafka*")]
    if not found:
        raise RuntimeError(f"no librdkafka beside {folder}")
    library = ctypes.CDLL(str(found[0]))
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (ctypes.c_int, [pointer, text, text, text, size]),
        "rd_kafka_new": (pointer, [ctypes.c_int, pointer, text, size]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, ctypes.c_int]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Forwarder:
    """Passes TCP connections on to another port."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        return await asyncio.start_server(self._forward, host, port)

    def close_connections(self) -> None:
        """Close all connections that are open."""
        for writer in self._writers:
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, target_writer}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_pipe(reader, target_writer))
                tasks.create_task(_pipe(target_reader, writer))
        finally:
            self._writers -= {writer, target_writer}


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError):
            writer.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a broker until SIGTERM or SIGINT; with `--attached` also until standard input ends."""
    parser = argparse.ArgumentParser(description="A Kafka-protocol broker in memory, for development and tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9092, help="for bootstrapping; 0 takes any free port")
    parser.add_argument("--attached", action="store_true", help="end when standard input does")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run(options.host, options.port, attached=options.attached))
    except OSError as error:
        sys.stderr.write(f"broker: cannot listen on {options.host}:{options.port}: {error.strerror or error}\n")
        return 1
    return 0


async def _run(host: str, port: int, *, attached: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    cluster = MockCluster()
    forwarder = Forwarder(cluster.host, cluster.port)
    async with await forwarder.serve(host, port) as server:
        if attached:
            loop.add_reader(sys.stdin, stop.set)  # nothing is ever written: readable means closed
        sys.stdout.write(f"{_READY}{host}:{server.sockets[0].getsockname()[1]} cluster {cluster.host}:{cluster.port}\n")
        sys.stdout.flush()
        await stop.wait()
        forwarder.close_connections()


class EmbeddedBroker:
    """The BrokerProcess that needs nothing but Python: each start is a new cluster with nothing in it."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host, self._port = host, port
        self._process: subprocess.Popen[str] | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` to bootstrap from."""
        return f"{self._host}:{self._port}"

    def start(self) -> None:
        """Start; return when it listens. Blocks for about half a second.

        Raises:
            RuntimeError: it did not start.
        """
        if self._process is not None:
            raise RuntimeError("the broker is running")
        if self._port == 0:
            self._port = _free_port(self._host)
        command = [sys.executable, "-P", __file__, "--host", self._host, "--port", str(self._port), "--attached"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process = process
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith(_READY):
            self.kill()
            raise RuntimeError(f"the broker did not start: {line!r}")

    def stop(self) -> None:
        """Stop it in order. Its records are gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it. Its records are gone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it again. It forgot everything, so that this is `replace`."""
        self.replace()

    def replace(self) -> None:
        """Kill it and start a new one: another cluster id, another port for records, nothing in it."""
        self.kill()
        self.start()

    def suspend(self) -> None:
        """Freeze it: connections stay open and get no answer."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            _close(pipe)


def _close(pipe: IO[str] | None) -> None:
    if pipe is not None:
        with contextlib.suppress(OSError):
            pipe.close()


def _free_port(host: str) -> int:
    # The port must survive a restart of the broker, so it is chosen here. It lies below the range that the kernel gives
    # to outgoing connections, so that none takes it while the broker is down, and below that of local stacks.
    # Test processes choose at the same time, hence the draw.
    ports = list(range(10_000, 20_000))
    shuffle(ports)
    for port in ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    raise RuntimeError("no free port")


if __name__ == "__main__":
    sys.exit(main())
