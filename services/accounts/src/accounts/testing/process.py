"""Accounts as a process, and what it published."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer

_STEP_S = 0.05


@dataclass(frozen=True)
class AccountsProcess:
    """`python -m accounts`; its log is JSON lines."""

    process: asyncio.subprocess.Process
    log: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of an event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    @property
    def port(self) -> int:
        """Where it answers calls; 0 before it does."""
        return next((int(line["port"]) for line in self.events("grpc.listening")), 0)

    async def end(self) -> int:
        """Wait for it to end by itself, and return its exit code."""
        return await asyncio.wait_for(self.process.wait(), 40)

    async def stop(self) -> int:
        """Ask it to drain, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.end()


def environment(dsn: str, bootstrap: str, pepper: str, **more: str) -> Mapping[str, str]:
    """The settings of a process, and nothing else of ours."""
    return {
        "ACCOUNTS_POSTGRES_DSN": dsn,
        "ACCOUNTS_KEYS_PEPPER": pepper,
        "ACCOUNTS_KAFKA_BROKERS": bootstrap,
        "ACCOUNTS_KAFKA_WATCH_INTERVAL": "200ms",
        # After a kill its partitions are free again only then.
        "ACCOUNTS_KAFKA_SESSION_TIMEOUT": "2s",
        "ACCOUNTS_OUTBOX_INTERVAL": "50ms",
        **more,
    }


@asynccontextmanager
async def accounts_process(folder: Path, variables: Mapping[str, str]) -> AsyncIterator[AccountsProcess]:
    """Start accounts; killed at the end of the block if it still runs."""
    log = folder / f"accounts-{len(list(folder.iterdir()))}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "accounts", stdout=output, stderr=output, env=variables
        )
    try:
        yield AccountsProcess(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def eventually(holds: Callable[[], Awaitable[object]], what: str, seconds: float = 40) -> None:
    """Return as soon as something holds; how long that takes is not tested.

    Raises:
        AssertionError: it did not.
    """
    for _ in range(int(seconds / _STEP_S)):
        if await holds():
            return
        await asyncio.sleep(_STEP_S)
    raise AssertionError(f"did not happen: {what}")


async def read_topic(bootstrap: str, topic: str) -> list[tuple[str, bytes | None]]:
    """Everything that a topic has now, partition by partition, as (key, value)."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        found: list[tuple[str, bytes | None]] = []
        for partition, end in (await consumer.end_offsets(consumer.assignment())).items():
            while await consumer.position(partition) < end:
                fetched = await consumer.getmany(partition, timeout_ms=500)
                found += [(record.key.decode(), record.value) for record in fetched.get(partition, [])]
        return found
    finally:
        await consumer.stop()
