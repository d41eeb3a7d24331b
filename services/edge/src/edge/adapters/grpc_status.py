"""gRPC errors in the words of the edge."""

from __future__ import annotations

from typing import Final

import grpc

from contracts.errors import DOMAIN, ErrorReason
from edge.domain.errors import DependencyError, EdgeError, NotFoundError, RefusedError
from servicekit.grpc_errors import error_info

# Nothing was said about the request itself: the other side is gone, going, or not what we take it for.
_UNAVAILABLE: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED, grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED,
    }
)  # fmt: skip
_REASONS: Final = {reason.value: reason for reason in ErrorReason}


def error_from_status(error: grpc.aio.AioRpcError, dependency: str) -> EdgeError:
    """Translate a failed call.

    Args:
        error: what gRPC raised.
        dependency: the service that was called.
    """
    detail = error_info(error)
    reason = _REASONS.get(detail.reason) if detail is not None and detail.domain == DOMAIN else None
    if detail is not None and reason is not None:
        if reason is ErrorReason.DEPENDENCY_UNAVAILABLE:
            return DependencyError(dependency)
        retry_after = detail.retry_after.total_seconds() if detail.retry_after is not None else None
        return RefusedError(
            reason,
            error.details() or reason.replace("_", " ").capitalize(),
            detail.metadata,
            retry_after if retry_after is not None else _seconds(detail.metadata.get("retry_after_s")),
        )
    if error.code() in _UNAVAILABLE:
        return DependencyError(dependency)
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return NotFoundError("Not found")
    return RefusedError(ErrorReason.INTERNAL, "internal error")


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds <= 86_400 else None
