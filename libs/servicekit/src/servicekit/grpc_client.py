"""Channels to other services.

The channel adds trace context and request id to the metadata of each call, limits its time and measures it, without
`grpc.aio.ClientInterceptor`: an intercepted call costs a task and a queue more.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import grpc
from opentelemetry.trace import NoOpTracer, Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from servicekit.deadlines import limited_timeout
from servicekit.grpc_observation import REQUEST_ID
from servicekit.grpc_server import MAX_MESSAGE_BYTES
from servicekit.lifecycle import Runtime
from servicekit.logs import current_request_id
from servicekit.metrics import STREAM_SECONDS, HistogramSpec
from servicekit.tracing import inject_headers, record_error

Metadata = tuple[tuple[str, str | bytes], ...]

DEFAULT_TIMEOUT: Final = timedelta(seconds=30)
"""A call without a limit would wait for ever on a server that hangs."""

_DURATION: Final = HistogramSpec("rpc.client.call.duration", "s", "Duration of RPCs that were made.", STREAM_SECONDS)


def call_metadata(extra: Mapping[str, str | bytes] | None = None) -> Metadata:
    """Metadata for a call: `traceparent` of the current span, `x-request-id` that `bind_request` bound, and `extra`.

    Channels of `open_channel` do this by themselves; it is for other ones.
    """
    headers: dict[str, Any] = {}
    inject_headers(headers)
    request_id = current_request_id()
    if request_id is not None:
        headers[REQUEST_ID] = request_id
    if extra:
        headers.update(extra)
    return tuple(headers.items())


@asynccontextmanager
async def open_channel(
    target: str,
    runtime: Runtime,
    *,
    retry_unavailable: bool = False,
    health_service: str | None = "",
    default_timeout: timedelta = DEFAULT_TIMEOUT,
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to all addresses of `target`, in turn.

    Args:
        target: `host:port`, or `dns:///host:port` for a headless service.
        runtime: gives tracer and meter.
        retry_unavailable: try UNAVAILABLE calls again, up to 3 times. Only for servers whose calls may be repeated:
            a call that broke off may have been handled. (gRPC itself repeats calls that certainly were not.)
        health_service: name that the servers' health services are watched for, so that a draining server gets no new
            calls; None to not watch.
        default_timeout: of calls that name no timeout of their own. No call outlives the RPC that it is made for either
            (`servicekit.deadlines`).
    """
    options = _options(retry_unavailable, health_service)
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        yield ObservedChannel(channel, runtime, default_timeout)


def _options(retry_unavailable: bool, health_service: str | None) -> list[tuple[str, Any]]:
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if health_service is not None:
        config["healthCheckConfig"] = {"serviceName": health_service}
    if retry_unavailable:
        policy = {
            "maxAttempts": 3,
            "initialBackoff": "0.05s",
            "maxBackoff": "1s",
            "backoffMultiplier": 3,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config["methodConfig"] = [{"name": [{}], "retryPolicy": policy}]
        # Retries stop when most calls fail, so that they do not add to an overload.
        config["retryThrottling"] = {"maxTokens": 10, "tokenRatio": 0.1}
    return [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # After a restart of the other side (gRPC's default goes up to 120 s).
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]


class ObservedChannel(grpc.aio.Channel):
    """A channel whose calls carry trace context and request id and are measured."""

    def __init__(
        self, channel: grpc.aio.Channel, runtime: Runtime, default_timeout: timedelta = DEFAULT_TIMEOUT
    ) -> None:
        self._channel = channel
        self._timeout = default_timeout.total_seconds()
        self._tracer = runtime.tracer
        self._duration = _DURATION.create(runtime.meter)

    async def __aenter__(self) -> ObservedChannel:
        await self._channel.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> bool | None:
        return await self._channel.__aexit__(*error)

    async def close(self, grace: float | None = None) -> None:
        """Close; calls in flight get `grace` seconds."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the connection."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Return when the state is another one."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Return when connected."""
        await self._channel.channel_ready()

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._observed(method, self._channel.unary_unary(method, *arguments, **options))

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._observed(method, self._channel.unary_stream(method, *arguments, **options))

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._observed(method, self._channel.stream_unary(method, *arguments, **options))

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._observed(method, self._channel.stream_stream(method, *arguments, **options))

    def _observed(self, method: str, call: Callable[..., Any]) -> Callable[..., Any]:
        return _MultiCallable(method.removeprefix("/"), call, self._tracer, self._duration.record, self._timeout)


class _MultiCallable:
    """A method of a service that can be called many times."""

    __slots__ = ("_call", "_method", "_record", "_timeout", "_tracer", "_traces")

    def __init__(
        self,
        method: str,
        call: Callable[..., Any],
        tracer: Tracer,
        record: Callable[..., None],
        default_timeout: float,
    ) -> None:
        self._timeout = default_timeout
        self._method = method
        self._call = call
        self._tracer = tracer
        self._traces = not isinstance(tracer, NoOpTracer)
        self._record = record

    def __call__(
        self,
        *request: Any,
        timeout: float | None = None,
        metadata: Sequence[tuple[str, str | bytes]] | None = None,
        **options: Any,
    ) -> Any:
        began = time.perf_counter()
        headers: dict[str, Any] = {}
        span: Span | None = None
        if self._traces:
            attributes = {"rpc.system.name": "grpc", "rpc.method": self._method}
            span = self._tracer.start_span(self._method, kind=SpanKind.CLIENT, attributes=attributes)
            inject_headers(headers, set_span_in_context(span))
        else:
            inject_headers(headers)
        request_id = current_request_id()
        if request_id is not None:
            headers[REQUEST_ID] = request_id
        merged = (*headers.items(), *(item for item in metadata or () if item[0] not in headers))
        limit = limited_timeout(self._timeout if timeout is None else timeout)
        try:
            call = self._call(*request, timeout=limit, metadata=merged, **options)
        except BaseException as error:  # such as a channel that is closed
            if span is not None:
                record_error(span, error)
                span.end()
            raise

        def done(finished: Any) -> None:
            self._done(finished, span, time.perf_counter() - began)

        call.add_done_callback(done)
        return call

    def _done(self, call: Any, span: Span | None, seconds: float) -> None:
        code = _code_of(call)
        self._record(seconds, {"rpc.system.name": "grpc", "rpc.method": self._method, "rpc.status_code": code})
        if span is not None:
            span.set_attribute("rpc.status_code", code)
            if code != "OK":
                span.set_status(Status(StatusCode.ERROR))
            span.end()


def _code_of(call: Any) -> str:
    """The status of a finished call: `code()` is a coroutine that does not wait then."""
    code = call.code()
    try:
        code.send(None)
    except StopIteration as result:
        return str(result.value.name)
    code.close()
    return "UNKNOWN"
