"""Errors as a caller gets them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from servicekit.grpc_errors import ErrorDetail, abort, error_info
from servicekit.testing import RecordingTelemetry, make_runtime, run_servicer
from servicekit.testing.byte_service import BYTE_SERVICE, ByteContext, byte_method, byte_service


async def unary_echo(request: bytes, _: ByteContext) -> bytes:
    return request


async def read_all(call: Any) -> None:
    """Wait for a call's end, of either kind."""
    if isinstance(call, grpc.aio.UnaryUnaryCall):
        await call
        return
    async for part in call:
        assert part == b"first"


async def test_a_reason_its_facts_and_when_to_try_again_arrive_at_the_caller() -> None:
    async def unary_refuse(_: bytes, context: ByteContext) -> bytes:
        await abort(
            context,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "the till is full",
            reason="TILL_FULL",
            metadata={"till": "3"},
            retry_after=timedelta(seconds=1.5),
        )

    async def stream_refuse(request: bytes, context: ByteContext) -> AsyncIterator[bytes]:
        yield request
        await abort(context, grpc.StatusCode.NOT_FOUND, "no such till", reason="TILL_NOT_FOUND", domain="elsewhere")

    telemetry = RecordingTelemetry()
    async with run_servicer(
        byte_service(unary_refuse=unary_refuse, stream_refuse=stream_refuse),
        make_runtime(tracer=telemetry.tracer, meter=telemetry.meter),
    ) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await byte_method(channel, "unary_refuse")(b"")
        with pytest.raises(grpc.aio.AioRpcError) as caught_later:
            await read_all(byte_method(channel, "stream_refuse")(b"first"))
    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "the till is full",
    )
    assert error_info(caught.value) == ErrorDetail("TILL_FULL", {"till": "3"}, "turnpike", timedelta(seconds=1.5))
    assert error_info(caught_later.value) == ErrorDetail("TILL_NOT_FOUND", {}, "elsewhere")
    assert telemetry.metric("rpc.server.call.duration", {"rpc.status_code": "RESOURCE_EXHAUSTED"}) == 1
    assert telemetry.metric("rpc.client.call.duration", {"rpc.status_code": "NOT_FOUND"}) == 1
    # A caller's fault is no failure of the server.
    refused = [span for span in telemetry.spans if span.name == f"{BYTE_SERVICE}/unary_refuse"]
    assert {span.kind: span.status.status_code for span in refused} == {
        SpanKind.SERVER: StatusCode.UNSET,
        SpanKind.CLIENT: StatusCode.ERROR,
    }


@pytest.mark.parametrize("method", ["unary_fail", "stream_fail"])
async def test_an_unexpected_error_is_internal_and_its_text_stays_in_the_log(method: str, logged: Any) -> None:
    async def unary_fail(_: bytes, __: ByteContext) -> bytes:
        raise KeyError("row 7 of table customers")

    async def stream_fail(_: bytes, __: ByteContext) -> AsyncIterator[bytes]:
        yield b"first"
        raise KeyError("row 7 of table customers")

    telemetry = RecordingTelemetry()
    async with run_servicer(
        byte_service(unary_fail=unary_fail, stream_fail=stream_fail),
        make_runtime(tracer=telemetry.tracer, meter=telemetry.meter),
    ) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_all(byte_method(channel, method)(b""))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "internal error"
    assert error_info(caught.value) is None
    assert "customers" not in str(caught.value) + str(caught.value.trailing_metadata())
    (line,) = logged.named("rpc.failed")
    assert line["exception"].endswith("KeyError: 'row 7 of table customers'")
    assert line["method"] == f"{BYTE_SERVICE}/{method}"
    (server,) = [found for found in telemetry.spans if found.kind is SpanKind.SERVER]
    assert server.status.status_code is StatusCode.ERROR
    assert "customers" not in server.to_json()
    assert telemetry.metric("rpc.server.call.duration", {"rpc.status_code": "INTERNAL"}) == 1


@pytest.mark.parametrize("trailing", [None, [("grpc-status-details-bin", b"\xff\xff")], [("other", "x")]])
def test_a_status_without_sound_details_has_no_reason(trailing: Any) -> None:
    metadata = grpc.aio.Metadata.from_tuple(tuple(trailing)) if trailing else grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), metadata, "gone")
    assert error_info(error) is None


async def test_a_method_that_is_not_there_is_unimplemented() -> None:
    async with run_servicer(byte_service(unary_echo=unary_echo)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await byte_method(channel, "unary_absent")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_closed_channel_ends_the_span_of_the_call_it_refuses() -> None:
    telemetry = RecordingTelemetry()
    async with run_servicer(
        byte_service(unary_echo=unary_echo), make_runtime(tracer=telemetry.tracer, meter=telemetry.meter)
    ) as channel:
        pass
    with pytest.raises(grpc.aio.UsageError):
        await byte_method(channel, "unary_echo")(b"late")
    assert telemetry.span(f"{BYTE_SERVICE}/unary_echo").status.status_code is StatusCode.ERROR
