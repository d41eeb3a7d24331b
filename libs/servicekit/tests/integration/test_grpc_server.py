"""The server over real sockets: kinds of methods, health, reflection, the drain."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from servicekit.grpc_client import open_channel
from servicekit.grpc_server import GrpcServer
from servicekit.lifecycle import Runtime
from servicekit.readiness import Phase
from servicekit.settings import GrpcServerSettings
from servicekit.testing import RecordingTelemetry, make_runtime, run_servicer, running
from servicekit.testing.byte_service import BYTE_SERVICE, ByteContext, byte_method, byte_service

Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


async def unary_echo(request: bytes, _: ByteContext) -> bytes:
    return request


async def stream_count(request: bytes, _: ByteContext) -> AsyncIterator[bytes]:
    for number in range(int(request)):
        yield b"%d" % number


@asynccontextmanager
async def ready(server: GrpcServer, runtime: Runtime) -> AsyncIterator[grpc.aio.Channel]:
    async with running(server), open_channel(f"127.0.0.1:{server.port}", runtime) as channel:
        yield channel


async def test_all_four_kinds_of_methods_are_served_and_measured() -> None:
    telemetry = RecordingTelemetry()

    async def collect_words(requests: AsyncIterator[bytes], _: ByteContext) -> bytes:
        return b"+".join([request async for request in requests])

    async def chat_louder(requests: AsyncIterator[bytes], _: ByteContext) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request.upper()

    async def stream_written(request: bytes, context: ByteContext) -> None:
        for _ in range(int(request)):
            await context.write(b"w")

    methods = byte_service(
        unary_echo=unary_echo,
        stream_count=stream_count,
        collect_words=collect_words,
        chat_louder=chat_louder,
        stream_written=stream_written,
    )
    async with run_servicer(methods, make_runtime(tracer=telemetry.tracer, meter=telemetry.meter)) as channel:

        async def words() -> AsyncIterator[bytes]:
            yield b"a"
            yield b"b"

        assert await byte_method(channel, "unary_echo")(b"hello") == b"hello"
        assert [part async for part in byte_method(channel, "stream_count")(b"3")] == [b"0", b"1", b"2"]
        assert [part async for part in byte_method(channel, "stream_written")(b"2")] == [b"w", b"w"]
        assert await byte_method(channel, "collect_words")(words()) == b"a+b"
        chatting = byte_method(channel, "chat_louder")(words())
        assert [part async for part in chatting] == [b"A", b"B"]
    for side in ("client", "server"):
        assert telemetry.metric(f"rpc.{side}.call.duration", {"rpc.status_code": "OK"}) == 5
    assert telemetry.metric("rpc.server.call.duration", {"rpc.method": f"{BYTE_SERVICE}/chat_louder"}) == 1


async def test_health_says_serving_and_turns_when_the_drain_begins() -> None:
    runtime = make_runtime()
    server = GrpcServer(GrpcServerSettings(), runtime, byte_service(unary_echo=unary_echo))
    async with running(server), grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", BYTE_SERVICE):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watch = aiter(stub.Watch(health_pb2.HealthCheckRequest(service=BYTE_SERVICE), timeout=10))
        assert (await anext(watch)).status == health_pb2.HealthCheckResponse.SERVING
        # The propagation: clients learn of it while the server still serves.
        runtime.readiness.enter(Phase.DRAINING)
        assert (await anext(watch)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await byte_method(channel, "unary_echo")(b"late", timeout=10) == b"late"


async def test_reflection_lists_the_services() -> None:
    async with run_servicer(byte_service(unary_echo=unary_echo)) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        calls = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        answers = [answer async for answer in calls]
    names = {service.name for service in answers[0].list_services_response.service}
    assert {BYTE_SERVICE, "grpc.health.v1.Health"} <= names


async def test_a_taken_port_is_an_error_of_the_system() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = GrpcServer(GrpcServerSettings(port=port), make_runtime(), byte_service(unary_echo=unary_echo))
        with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
            await server.start()
        await server.stop(timedelta(seconds=1))
    assert server.port == 0


class Gate:
    """A stream that waits in the middle."""

    def __init__(self) -> None:
        self.reached, self.opened, self.closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stream_through(self, _: bytes, __: ByteContext) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            self.reached.set()
            await self.opened.wait()
            yield b"last"
        finally:
            self.closed.set()


async def call_until_refused(channel: grpc.aio.Channel) -> None:
    while True:
        await byte_method(channel, "unary_echo")(b"new", timeout=5)


async def test_a_drain_lets_a_stream_in_flight_finish_and_refuses_new_calls() -> None:
    gate, runtime = Gate(), make_runtime()
    server = GrpcServer(
        GrpcServerSettings(), runtime, byte_service(stream_through=gate.stream_through, unary_echo=unary_echo)
    )
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        await server.start()
        tasks.create_task(server.run())
        async with open_channel(f"127.0.0.1:{server.port}", runtime, health_service=None) as channel:
            parts = aiter(byte_method(channel, "stream_through")(b""))
            assert await anext(parts) == b"first"
            await gate.reached.wait()
            assert server.in_flight() == 1
            stopping = tasks.create_task(server.stop(timedelta(seconds=15)))
            # Refused from some moment on, while the stream goes on: a call that just came in is dropped as CANCELLED.
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call_until_refused(channel)
            assert caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
            assert not stopping.done()
            gate.opened.set()
            assert [part async for part in parts] == [b"last"]
    assert server.in_flight() == 0


async def test_a_stream_that_outlasts_the_grace_is_cancelled_and_released() -> None:
    gate, telemetry = Gate(), RecordingTelemetry()
    runtime = make_runtime(tracer=telemetry.tracer, meter=telemetry.meter)
    server = GrpcServer(GrpcServerSettings(), runtime, byte_service(stream_through=gate.stream_through))
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        await server.start()
        tasks.create_task(server.run())
        async with open_channel(f"127.0.0.1:{server.port}", runtime) as channel:
            parts = aiter(byte_method(channel, "stream_through")(b""))
            assert await anext(parts) == b"first"
            await gate.reached.wait()
            await server.stop(timedelta(seconds=0.1))
            with pytest.raises(grpc.aio.AioRpcError):
                await anext(parts)
        await gate.closed.wait()
    assert server.in_flight() == 0
    assert telemetry.metric("rpc.server.call.duration", {"rpc.status_code": "CANCELLED"}) == 1


async def test_a_client_that_leaves_cancels_what_is_done_for_it(eventually: Eventually) -> None:
    gate, runtime = Gate(), make_runtime()
    server = GrpcServer(GrpcServerSettings(), runtime, byte_service(stream_through=gate.stream_through))
    async with asyncio.timeout(20), ready(server, runtime) as channel:
        call = byte_method(channel, "stream_through")(b"")
        assert await anext(aiter(call)) == b"first"
        await gate.reached.wait()
        call.cancel()
        await gate.closed.wait()
        await eventually(lambda: server.in_flight() == 0)


async def test_a_channel_finds_a_server_that_comes_later_and_again_after_a_restart() -> None:
    runtime = make_runtime()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with asyncio.timeout(60), open_channel(f"127.0.0.1:{port}", runtime, retry_unavailable=True) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await byte_method(channel, "unary_echo")(b"early", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        for _ in range(2):
            server = GrpcServer(GrpcServerSettings(port=port), runtime, byte_service(unary_echo=unary_echo))
            async with running(server):
                assert await byte_method(channel, "unary_echo")(b"x", wait_for_ready=True) == b"x"
