"""What is seen of every RPC on the server: a span, a duration, one log line, and no exception left unhandled.

The handlers are wrapped when they are registered, which costs less for each call than a `grpc.aio.ServerInterceptor`:
that one looks every handler up again through a chain of coroutines.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext
from inspect import isasyncgenfunction
from types import MappingProxyType
from typing import Any, Final, NoReturn

import grpc
from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, Span, SpanKind, Status, StatusCode, use_span

from servicekit.deadlines import bind_deadline
from servicekit.lifecycle import Runtime
from servicekit.logs import bind_request, get_logger
from servicekit.metrics import STREAM_SECONDS, HistogramSpec
from servicekit.tracing import TRACEPARENT, attached, context_from_headers

_log = get_logger(__name__)

REQUEST_ID: Final = "x-request-id"

_DURATION: Final = HistogramSpec("rpc.server.call.duration", "s", "Duration of RPCs that were served.", STREAM_SECONDS)
_CODES: Final = MappingProxyType({code.value[0]: code for code in grpc.StatusCode})
_SERVER_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS,
    }
)  # fmt: skip
"""Codes that mark the span of a server as failed (semantic conventions of RPC)."""

_ServicerContext = grpc.aio.ServicerContext[Any, Any]


class CallObserver:
    """Wraps handlers; counts what is in flight."""

    def __init__(self, runtime: Runtime) -> None:
        self._tracer = runtime.tracer
        self._traces = not isinstance(runtime.tracer, NoOpTracer)
        self._duration = _DURATION.create(runtime.meter)
        self.in_flight = 0

    def wrap(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """The same handler, observed.

        Args:
            method: `/package.Service/Method`.
            handler: with coroutine functions or async generator functions.
        """
        name = method.removeprefix("/")
        serializers = (handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream(name, handler.stream_stream), *serializers)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._stream(name, handler.unary_stream), *serializers)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(self._unary(name, handler.stream_unary), *serializers)
        return grpc.unary_unary_rpc_method_handler(self._unary(name, handler.unary_unary), *serializers)

    def _unary(self, method: str, behaviour: Any) -> Callable[..., Awaitable[Any]]:
        async def serve(request: Any, context: _ServicerContext) -> Any:
            call = _Call(self, method, context)
            with call.scope:
                try:
                    response = await behaviour(request, context)
                except BaseException as error:
                    return await call.fail(error)
                call.succeed()
                return response

        return serve

    def _stream(self, method: str, behaviour: Any) -> Callable[..., Awaitable[None]]:
        generates = isasyncgenfunction(behaviour)

        async def serve(request: Any, context: _ServicerContext) -> None:
            call = _Call(self, method, context)
            with call.scope:
                try:
                    if generates:
                        await _write_all(behaviour(request, context), context)
                    else:
                        await behaviour(request, context)
                except BaseException as error:
                    await call.fail(error)
                call.succeed()

        return serve

    def begin(self, method: str, context: _ServicerContext) -> tuple[Span | None, AbstractContextManager[Any]]:
        """Enter a call: bind its request id and deadline, and make its trace context current inside the returned scope."""
        self.in_flight += 1
        headers: dict[str, str] = {}
        for key, value in context.invocation_metadata() or ():
            if key in (TRACEPARENT, "tracestate", REQUEST_ID) and isinstance(value, str):
                headers[key] = value
        left: Any = context.time_remaining()  # the stubs leave out that it may be None
        if left is not None:
            bind_deadline(left)
        request_id = headers.get(REQUEST_ID)
        if request_id:
            bind_request(request_id[:128])
        parent: Context | None = context_from_headers(headers) if TRACEPARENT in headers else None
        if not self._traces:
            return None, nullcontext() if parent is None else attached(parent)
        span = self._tracer.start_span(
            method, parent or Context(), SpanKind.SERVER, {"rpc.system.name": "grpc", "rpc.method": method}
        )
        return span, use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)

    def end(self, method: str, span: Span | None, code: grpc.StatusCode, seconds: float) -> None:
        """Leave a call."""
        self.in_flight -= 1
        self._duration.record(seconds, {"rpc.system.name": "grpc", "rpc.method": method, "rpc.status_code": code.name})
        if span is not None:
            span.set_attribute("rpc.status_code", code.name)
            if code in _SERVER_FAULTS:
                span.set_status(Status(StatusCode.ERROR))
            span.end()
        _log.info("rpc.handled", method=method, code=code.name, seconds=round(seconds, 6))


class _Call:
    """One RPC from its begin to its end."""

    __slots__ = ("_began", "_context", "_method", "_observer", "_span", "scope")

    def __init__(self, observer: CallObserver, method: str, context: _ServicerContext) -> None:
        self._observer, self._method, self._context = observer, method, context
        self._began = time.perf_counter()
        self._span, self.scope = observer.begin(method, context)

    def succeed(self) -> None:
        self._end(_code(self._context, grpc.StatusCode.OK))

    async def fail(self, error: BaseException) -> NoReturn:
        """Turn what the handler raised into a status. The text of an unexpected error stays here."""
        if isinstance(error, asyncio.CancelledError):
            self._end(grpc.StatusCode.CANCELLED)
            raise error
        if isinstance(error, grpc.aio.AbortError):
            self._end(_code(self._context, grpc.StatusCode.UNKNOWN))
            raise error
        _log.error("rpc.failed", method=self._method, exc_info=error)
        self._end(grpc.StatusCode.INTERNAL)
        await self._context.abort(grpc.StatusCode.INTERNAL, "internal error")
        raise AssertionError("abort always raises")

    def _end(self, code: grpc.StatusCode) -> None:
        self._observer.end(self._method, self._span, code, time.perf_counter() - self._began)


class ObservedServer(grpc.aio.Server):
    """A server to register servicers with: it wraps their handlers on the way to the real server."""

    def __init__(self, server: grpc.aio.Server, observer: CallObserver) -> None:
        self._server = server
        self._observer = observer

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Register handlers that are looked up by name."""
        wrapped = [_ObservedHandlers(handlers, self._observer) for handlers in generic_rpc_handlers]
        self._server.add_generic_rpc_handlers(wrapped)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        """Register handlers that are known by name (generated code does both)."""
        wrapped = {
            name: self._observer.wrap(f"/{service_name}/{name}", handler) for name, handler in method_handlers.items()
        }
        self._server.add_registered_method_handlers(service_name, wrapped)

    def add_insecure_port(self, address: str) -> int:
        return self._server.add_insecure_port(address)

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        return self._server.add_secure_port(address, server_credentials)

    async def start(self) -> None:
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        await self._server.stop(grace)

    async def wait_for_termination(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - of the base class
        return await self._server.wait_for_termination(timeout)


class _ObservedHandlers(grpc.GenericRpcHandler):
    def __init__(self, handlers: grpc.GenericRpcHandler, observer: CallObserver) -> None:
        self._handlers = handlers
        self._observer = observer
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = handler_call_details.method
        known = self._wrapped.get(method)
        if known is None:
            handler = self._handlers.service(handler_call_details)
            if handler is None:
                return None
            known = self._wrapped[method] = self._observer.wrap(method, handler)
        return known


async def _write_all(responses: AsyncIterator[Any], context: _ServicerContext) -> None:
    # Closed here and not by the garbage collector: what the generator holds is released when the RPC ends.
    async with aclosing(responses) as open_responses:  # type: ignore[type-var]  # an async generator, typed by its use
        async for response in open_responses:
            await context.write(response)


def _code(context: _ServicerContext, default: grpc.StatusCode) -> grpc.StatusCode:
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return _CODES.get(code, default) if code else default
