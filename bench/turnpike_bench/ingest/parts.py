"""The parts that ingest is made of, as processes: the broker with its topics, metering, and the store as a server."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from localstack.kafka.node import KafkaNode
from localstack.kafka.topics import create_topics
from metering.testing.process import environment
from turnpike_bench.system import ROOT

PARTITIONS: Final = 12  # of the usage topic, as it is laid out
_JARS: Final = ROOT / ".kafka" / "jars"
_STEP_S: Final = 0.05
_START_LIMIT_S: Final = 120.0


@contextmanager
def broker(folder: Path) -> Iterator[KafkaNode]:
    """A node of Apache Kafka with Turnpike's topics."""
    node = KafkaNode(folder, jars=_JARS, heap_mb=512)
    node.start()
    try:
        asyncio.run(create_topics(node.bootstrap))
        yield node
    finally:
        node.kill()


@dataclass
class Metering:
    """A process of metering."""

    process: subprocess.Popen[bytes]
    log: Path
    _admin: str = ""

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of an event."""
        found = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if f'"{event}"' in line and line.startswith("{") and line.endswith("}"):
                found.append(json.loads(line))
        return [line for line in found if line["event"] == event]

    def metric(self, name: str) -> float:
        """The sum of a metric's series now; 0 before there are any.

        Raises:
            OSError: it does not answer.
        """
        if not self._admin:
            (line,) = self.lines("admin.listening")
            self._admin = f"http://127.0.0.1:{line['port']}/metrics"
        with urllib.request.urlopen(self._admin, timeout=30) as answer:  # noqa: S310 - our own process on loopback
            text = answer.read().decode()
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))
        )

    def until(self, event: str, *, or_end: bool = False) -> dict[str, Any]:
        """Wait for a log line, or for its end, which gives an empty one.

        Raises:
            RuntimeError: it ended before, or did not say so in time.
        """
        give_up_at = time.monotonic() + _START_LIMIT_S
        while True:
            if found := self.lines(event):
                return found[-1]
            if or_end and self.process.poll() is not None:
                return {}
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"metering did not say {event}; log: {self.log}")
            time.sleep(_STEP_S)

    def stop(self) -> int:
        """Ask it to drain, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()


def start_metering(folder: Path, dsn: str, bootstrap: str, name: str = "metering", **variables: str) -> Metering:
    """Start a process of metering with these settings over its defaults."""
    plain = environment(dsn, bootstrap)
    settings: Mapping[str, str] = {
        "METERING_CLICKHOUSE_DSN": plain["METERING_CLICKHOUSE_DSN"],
        "METERING_KAFKA_BROKERS": plain["METERING_KAFKA_BROKERS"],
        "METERING_ADMIN_PORT": "0",
        "METERING_GRPC_PORT": "0",
        "METERING_INSTANCE": name,
        **variables,
    }
    log = folder / f"{name}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "metering"], stdout=output, stderr=output, env=dict(settings))
    return Metering(process, log)


@dataclass(frozen=True)
class Usage:
    """What a process used, in CPU seconds by kind of thread, and its memory in MiB."""

    loop: float  # the main thread: reading, checking, converting
    inserting: float  # the thread of the store's client: columns to bytes, and the engine's work on them
    engine: float  # the engine's own threads: merges
    memory_mib: float

    @property
    def total(self) -> float:
        return self.loop + self.inserting + self.engine

    def since(self, before: Usage) -> Usage:
        """What was used after another look; the memory of now."""
        return Usage(
            self.loop - before.loop, self.inserting - before.inserting, self.engine - before.engine, self.memory_mib
        )


def usage(pid: int) -> Usage:
    """Look at a process now."""
    loop = inserting = engine = 0.0
    process = psutil.Process(pid)
    for thread in process.threads():
        seconds = thread.user_time + thread.system_time
        if thread.id == pid:
            loop += seconds
        elif _is_pythons(pid, thread.id):
            inserting += seconds
        else:
            engine += seconds
    return Usage(loop, inserting, engine, process.memory_info().rss / 2**20)


def _is_pythons(pid: int, thread: int) -> bool:
    try:
        name = Path(f"/proc/{pid}/task/{thread}/comm").read_text(encoding="utf-8")
    except OSError:
        return False
    return name.startswith("python")


@contextmanager
def store_server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The engine behind ClickHouse's HTTP interface, as a process of its own."""
    process = start_store_server(folder, port)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def start_store_server(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start it, and return when it listens."""
    command = [sys.executable, "-m", "metering.testing.clickhouse_http", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said:
        if not said.readline():
            process.kill()
            process.wait()
            raise RuntimeError("the store did not start")
    return process
