"""Metering as a process, and what it left in its store."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STEP_S = 0.05
# An engine serves one process, and a process has one engine: whoever looks into a store does it in a process of its own.
_LOOK = """
import json, sys, clickhouse_connect
client = clickhouse_connect.get_client(dsn="chdb://" + sys.argv[1])
print(json.dumps([client.query(text).result_rows for text in sys.argv[2:]], default=str))
client.close()
"""


@dataclass(frozen=True)
class MeteringProcess:
    """`python -m metering`; its log is JSON lines."""

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


def environment(dsn: str, bootstrap: str, **more: str) -> Mapping[str, str]:
    """The settings of a process, and nothing else of ours."""
    return {
        "METERING_CLICKHOUSE_DSN": dsn,
        "METERING_KAFKA_BROKERS": bootstrap,
        "METERING_KAFKA_WATCH_INTERVAL": "200ms",
        # After a kill its partitions are free again only then.
        "METERING_KAFKA_SESSION_TIMEOUT": "2s",
        "METERING_BATCH_INTERVAL": "100ms",
        **more,
    }


@asynccontextmanager
async def metering_process(folder: Path, variables: Mapping[str, str]) -> AsyncIterator[MeteringProcess]:
    """Start metering; killed at the end of the block if it still runs."""
    log = folder / f"metering-{len(list(folder.iterdir()))}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "metering", stdout=output, stderr=output, env=variables
        )
    try:
        yield MeteringProcess(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def look(store: Path, *queries: str) -> list[list[list[Any]]]:
    """Ask an embedded store that no process has open: the rows of each query."""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _LOOK, str(store), *queries], capture_output=True, text=True, check=True
    )
    answers: list[list[list[Any]]] = json.loads(done.stdout)
    return answers


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
