"""Metering as a process, and what it left in its store."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from servicekit.testing.service_process import ServiceProcess, service_process

# An engine serves one process, and a process has one engine: whoever looks into a store does it in a process of its own.
_LOOK = """
import json, sys, clickhouse_connect
client = clickhouse_connect.get_client(dsn="chdb://" + sys.argv[1])
print(json.dumps([client.query(text).result_rows for text in sys.argv[2:]], default=str))
client.close()
"""


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


def metering_process(folder: Path, variables: Mapping[str, str]) -> AbstractAsyncContextManager[ServiceProcess]:
    """Start metering; killed at the end of the block if it still runs."""
    return service_process("metering", folder, variables)


async def look(store: Path, *queries: str) -> list[list[list[Any]]]:
    """Ask an embedded store that no process has open: the rows of each query."""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _LOOK, str(store), *queries], capture_output=True, text=True, check=True
    )
    answers: list[list[list[Any]]] = json.loads(done.stdout)
    return answers
