"""Errors over gRPC that a machine can read: `google.rpc.Status` with an `ErrorInfo`, and `RetryInfo` where it helps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from servicekit.namespace import NAMESPACE

_DETAILS_KEY: Final = "grpc-status-details-bin"


@dataclass(frozen=True)
class ErrorDetail:
    """What a server said about an error.

    Attributes:
        reason: a constant such as `MODEL_NOT_FOUND`.
        metadata: further facts; text only.
        domain: who defines the reason.
        retry_after: when trying again makes sense.
    """

    reason: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    domain: str = NAMESPACE
    retry_after: timedelta | None = None


async def abort(
    context: grpc.aio.ServicerContext[Any, Any],
    code: grpc.StatusCode,
    message: str,
    *,
    reason: str,
    metadata: Mapping[str, str] | None = None,
    retry_after: timedelta | None = None,
    domain: str = NAMESPACE,
) -> NoReturn:
    """End the RPC with a status that carries a reason.

    Args:
        context: of the RPC.
        code: status code; not OK.
        message: for people. It reaches the caller, so it holds no secret and no internals.
        reason: UPPER_SNAKE constant.
        metadata: further facts for the caller.
        retry_after: when trying again makes sense.
        domain: who defines the reason.
    """
    detail = ErrorDetail(reason, dict(metadata or {}), domain, retry_after)
    trailing = ((_DETAILS_KEY, status_of(code, message, detail).SerializeToString()),)
    await context.abort(code, message, trailing)
    raise AssertionError("abort always raises")


def status_of(code: grpc.StatusCode, message: str, detail: ErrorDetail) -> status_pb2.Status:
    """The `google.rpc.Status` message for an error."""
    info = error_details_pb2.ErrorInfo(reason=detail.reason, domain=detail.domain, metadata=dict(detail.metadata))
    details = [AnyMessage()]
    details[0].Pack(info)
    if detail.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(detail.retry_after)
        details.append(AnyMessage())
        details[1].Pack(retry)
    return status_pb2.Status(code=code.value[0], message=message, details=details)


def error_info(error: grpc.aio.AioRpcError) -> ErrorDetail | None:
    """What the server said about an error; None if it gave no (or no well-formed) `ErrorInfo`."""
    raw = next((value for key, value in _items(error.trailing_metadata()) if key == _DETAILS_KEY), None)
    if not isinstance(raw, bytes):
        return None
    info, retry_after = None, None
    try:
        for detail in status_pb2.Status.FromString(raw).details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                retry_after = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay.ToTimedelta()
    except DecodeError:
        return None
    if info is None:
        return None
    return ErrorDetail(info.reason, dict(info.metadata), info.domain, retry_after)


def remaining(context: grpc.aio.ServicerContext[Any, Any], *, reserve: float = 0.0) -> float | None:
    """Seconds that are left of the caller's deadline, to pass on as `timeout` of an RPC; None without a deadline.

    Args:
        context: of the RPC that is being served.
        reserve: seconds to keep for our own answer.
    """
    left: Any = context.time_remaining()  # the stubs leave out that it may be None
    return None if left is None else max(0.0, left - reserve)


def _items(metadata: Any) -> Iterable[tuple[str, str | bytes]]:
    # None when the call ended before the server answered, whatever the stubs say.
    return metadata or ()
