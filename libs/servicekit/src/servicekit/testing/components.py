"""Running of components and servicers inside a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
from opentelemetry.metrics import Meter, NoOpMeter
from opentelemetry.trace import NoOpTracer, Tracer

from servicekit.clock import Clock, SystemClock
from servicekit.grpc_client import open_channel
from servicekit.grpc_server import GrpcServer
from servicekit.lifecycle import Component, Runtime
from servicekit.settings import GrpcServerSettings, ServiceSettings


def make_runtime(
    *,
    service: str = "test",
    settings: ServiceSettings | None = None,
    clock: Clock | None = None,
    tracer: Tracer | None = None,
    meter: Meter | None = None,
) -> Runtime:
    """A runtime for tests; without telemetry unless it is given."""
    return Runtime(
        service=service,
        settings=settings or ServiceSettings(instance="test"),
        clock=clock or SystemClock(),
        tracer=tracer or NoOpTracer(),
        meter=meter or NoOpMeter("test"),
    )


@asynccontextmanager
async def running(*components: Component, grace: timedelta = timedelta(seconds=5)) -> AsyncIterator[None]:
    """Start components (given in drain order) and run them inside the block; stop them at its end.

    An exception of a component's `run` cancels the block and is raised, in an `ExceptionGroup`.
    """
    started: list[Component] = []
    async with asyncio.TaskGroup() as tasks:
        try:
            for component in reversed(components):
                started.append(component)
                await component.start()
                tasks.create_task(component.run())
            yield
        finally:
            for component in reversed(started):
                await component.stop(grace)


@asynccontextmanager
async def run_servicer(
    register: Callable[[grpc.aio.Server], Sequence[str]], runtime: Runtime | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """Serve on a real socket; yields a channel to it.

    Args:
        register: as for `GrpcServer`.
        runtime: of server and channel.
    """
    runtime = runtime or make_runtime()
    server = GrpcServer(GrpcServerSettings(), runtime, register)
    async with running(server), open_channel(f"127.0.0.1:{server.port}", runtime) as channel:
        yield channel
