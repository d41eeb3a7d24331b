"""What travels with a call: its deadline, its trace, its request id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from opentelemetry.trace import SpanKind

from servicekit.deadlines import remaining_seconds
from servicekit.grpc_client import call_metadata, open_channel
from servicekit.grpc_errors import remaining
from servicekit.grpc_server import GrpcServer
from servicekit.lifecycle import Runtime
from servicekit.logs import bind_request, current_request_id
from servicekit.settings import GrpcServerSettings
from servicekit.testing import RecordingTelemetry, make_runtime, run_servicer, running
from servicekit.testing.byte_service import BYTE_SERVICE, ByteContext, byte_method, byte_service
from servicekit.tracing import inject_headers, span


@asynccontextmanager
async def ready(server: GrpcServer, runtime: Runtime) -> AsyncIterator[grpc.aio.Channel]:
    async with running(server), open_channel(f"127.0.0.1:{server.port}", runtime) as channel:
        yield channel


async def test_every_call_has_a_deadline_and_one_that_names_none_gets_the_default() -> None:
    seen = list[float | None]()

    async def unary_look(_: bytes, context: ByteContext) -> bytes:
        seen.append(remaining(context))
        return b""

    async def unary_hang(_: bytes, __: ByteContext) -> bytes:
        await asyncio.Event().wait()
        return b""

    runtime = make_runtime()
    server = GrpcServer(GrpcServerSettings(), runtime, byte_service(unary_look=unary_look, unary_hang=unary_hang))
    async with ready(server, runtime) as channel:
        await byte_method(channel, "unary_look")(b"")
        await byte_method(channel, "unary_look")(b"", timeout=3600)
    assert seen[0] is not None
    assert seen[1] is not None
    # On the wire a timeout has few digits and is rounded up.
    assert 0 < seen[0] <= 31
    assert 31 < seen[1] <= 3700

    server = GrpcServer(GrpcServerSettings(), runtime, byte_service(unary_hang=unary_hang))
    async with running(server):
        target = f"127.0.0.1:{server.port}"
        async with open_channel(target, runtime, default_timeout=timedelta(seconds=0.1)) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await byte_method(channel, "unary_hang")(b"")
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_made_for_an_rpc_has_no_more_time_than_the_rpc() -> None:
    seen = list[float | None]()

    async def unary_look(_: bytes, context: ByteContext) -> bytes:
        seen.append(remaining(context))
        return b"seen"

    runtime = make_runtime()
    behind = GrpcServer(GrpcServerSettings(), runtime, byte_service(unary_look=unary_look))
    async with ready(behind, runtime) as inner:

        async def unary_pass_on(request: bytes, context: ByteContext) -> bytes:
            answer: bytes = await byte_method(inner, "unary_look")(request, timeout=3600)
            return answer

        async with ready(
            GrpcServer(GrpcServerSettings(), runtime, byte_service(unary_pass_on=unary_pass_on)), runtime
        ) as outer:
            assert await byte_method(outer, "unary_pass_on")(b"", timeout=20) == b"seen"
            assert await byte_method(outer, "unary_pass_on")(b"", timeout=7200) == b"seen"
    assert seen[0] is not None
    assert seen[1] is not None
    # On the wire a timeout has few digits and is rounded up.
    assert seen[0] <= 21
    assert 21 < seen[1] <= 3700
    # What is bound for an RPC ends with it.
    assert remaining_seconds() is None


async def test_what_remains_can_be_held_back_for_the_answer_and_is_none_without_a_deadline() -> None:
    seen = list[float | None]()

    async def unary_look(_: bytes, context: ByteContext) -> bytes:
        seen.append(remaining(context, reserve=1000))
        return b""

    server = GrpcServer(GrpcServerSettings(), make_runtime(), byte_service(unary_look=unary_look))
    async with running(server), grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as plain:
        await byte_method(plain, "unary_look")(b"")
        await byte_method(plain, "unary_look")(b"", timeout=20)
    assert seen == [None, 0.0]


async def test_trace_and_request_id_are_carried_and_one_line_is_logged(logged: Any) -> None:
    seen = list[str | None]()

    async def unary_look(_: bytes, __: ByteContext) -> bytes:
        seen.append(current_request_id())
        headers: dict[str, str] = {}
        inject_headers(headers)
        return headers["traceparent"].encode()

    telemetry = RecordingTelemetry()
    async with run_servicer(
        byte_service(unary_look=unary_look), make_runtime(tracer=telemetry.tracer, meter=telemetry.meter)
    ) as channel:
        with bind_request("request-1"), span(telemetry.tracer, "outer"):
            await byte_method(channel, "unary_look")(b"", metadata=(("x-other", "kept"), ("x-request-id", "forged")))
    outer = telemetry.span("outer")
    sides = {found.kind: found for found in telemetry.spans if found.name == f"{BYTE_SERVICE}/unary_look"}
    client, server = sides[SpanKind.CLIENT], sides[SpanKind.SERVER]
    assert outer.context is not None
    assert client.context is not None
    assert client.parent is not None
    assert server.parent is not None
    assert client.parent.span_id == outer.context.span_id
    assert server.parent.span_id == client.context.span_id
    assert seen == ["request-1"]
    (line,) = logged.named("rpc.handled")
    assert (line["method"], line["code"], line["request_id"]) == (f"{BYTE_SERVICE}/unary_look", "OK", "request-1")
    assert line["trace_id"] == f"{outer.context.trace_id:032x}"


async def test_without_a_collector_the_context_still_passes_through() -> None:
    async def unary_look(_: bytes, __: ByteContext) -> bytes:
        headers: dict[str, str] = {}
        inject_headers(headers)
        return headers.get("traceparent", "none").encode()

    telemetry = RecordingTelemetry()
    async with run_servicer(byte_service(unary_look=unary_look)) as channel:
        assert await byte_method(channel, "unary_look")(b"") == b"none"
        with span(telemetry.tracer, "outer"):
            traceparent = (await byte_method(channel, "unary_look")(b"")).decode()
    outer = telemetry.span("outer")
    assert outer.context is not None
    assert traceparent.split("-")[1:3] == [f"{outer.context.trace_id:032x}", f"{outer.context.span_id:016x}"]


def test_metadata_for_other_channels_is_the_same() -> None:
    telemetry = RecordingTelemetry()
    assert call_metadata() == ()
    with bind_request("request-1"), span(telemetry.tracer, "outer"):
        metadata = dict(call_metadata({"x-other": "1"}))
    assert metadata.keys() == {"traceparent", "x-request-id", "x-other"}
    assert metadata["x-request-id"] == "request-1"
