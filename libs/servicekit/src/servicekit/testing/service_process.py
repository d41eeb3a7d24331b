"""A service as a process of its own, and what it logs."""

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

_STEP_S = 0.05


@dataclass(frozen=True)
class ServiceProcess:
    """A running `python -m SERVICE`; its log is JSON lines."""

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


@asynccontextmanager
async def service_process(module: str, folder: Path, variables: Mapping[str, str]) -> AsyncIterator[ServiceProcess]:
    """Start `python -m MODULE` with these variables alone; killed at the end of the block if it still runs."""
    log = folder / f"{module}-{len(list(folder.iterdir()))}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, stdout=output, stderr=output, env=variables
        )
    try:
        yield ServiceProcess(process, log)
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
