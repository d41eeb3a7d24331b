"""`python -m router` as a process, with a client of its gRPC service."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc

from router.testing.stack import RouterStack
from router.testing.waiting import eventually
from turnpike.router.v1 import router_service_pb2_grpc


def environment(folder: Path, bootstrap: str, **more: str) -> Mapping[str, str]:
    """The settings of a router over the files in `folder`."""
    return {
        "ROUTER_KAFKA_BROKERS": bootstrap,
        "ROUTER_CATALOG_PATHS": str(folder / "catalog.yaml"),
        "ROUTER_PROVIDERS_SECRETS": str(folder / "keys.yaml"),
        "ROUTER_SPOOL_DIR": str(folder / "spool"),
        **more,
    }


class RouterProcess:
    """`python -m router`."""

    def __init__(self, folder: Path, bootstrap: str, **more: str) -> None:
        """Start it; `more` are further settings."""
        self.log = folder / "router.log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "router"], env=environment(folder, bootstrap, **more), stdout=log, stderr=log
            )

    @property
    def port(self) -> int:
        """Where it listens, 0 while it does not."""
        for line in self.log.read_text().splitlines():
            if '"grpc.listening"' in line:
                return int(line.partition('"port":')[2].partition(",")[0])
        return 0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def end(self) -> int:
        """Wait for its end, and return its exit status."""
        return await asyncio.to_thread(self._process.wait, 30)


@asynccontextmanager
async def router_process(folder: Path, bootstrap: str, **more: str) -> AsyncIterator[tuple[RouterProcess, RouterStack]]:
    """Run a router over the files in `folder`; it is killed at the end if it is still there."""
    process = RouterProcess(folder, bootstrap, **more)
    try:
        await eventually(lambda: process.port, "the router listens", 30)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{process.port}") as channel:
            stub = router_service_pb2_grpc.RouterServiceStub(channel)
            yield process, RouterStack(stub, process.port, folder, channel)
    finally:
        with suppress(ProcessLookupError):
            process.signal(signal.SIGKILL)
        await process.end()
