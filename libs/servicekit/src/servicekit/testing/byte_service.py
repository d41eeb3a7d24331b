"""A gRPC service whose messages are plain bytes, so that tests of RPCs need no generated code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import grpc

BYTE_SERVICE: Final = "shop.v1.TillService"

ByteContext: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]

_HANDLERS: Final[dict[str, Callable[..., grpc.RpcMethodHandler[Any, Any]]]] = {
    "unary": grpc.unary_unary_rpc_method_handler,
    "stream": grpc.unary_stream_rpc_method_handler,
    "collect": grpc.stream_unary_rpc_method_handler,
    "chat": grpc.stream_stream_rpc_method_handler,
}


def byte_service(**methods: Callable[..., Any]) -> Callable[[grpc.aio.Server], Sequence[str]]:
    """Make what `GrpcServer` registers.

    Args:
        methods: by name, whose first word is the kind: `unary_…`, `stream_…` (of answers), `collect_…` (of requests) or
            `chat_…` (of both).
    """

    def register(server: grpc.aio.Server) -> Sequence[str]:
        handlers = {name: _HANDLERS[name.partition("_")[0]](method) for name, method in methods.items()}
        # Generated code does both.
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(BYTE_SERVICE, handlers)])
        server.add_registered_method_handlers(BYTE_SERVICE, handlers)
        return [BYTE_SERVICE]

    return register


def byte_method(channel: grpc.aio.Channel, name: str) -> Any:
    """The method of this name, to be called; its kind is as in `byte_service`."""
    kinds = {
        "unary": channel.unary_unary,
        "stream": channel.unary_stream,
        "collect": channel.stream_unary,
        "chat": channel.stream_stream,
    }
    make: Any = kinds[name.partition("_")[0]]
    return make(f"/{BYTE_SERVICE}/{name}")
