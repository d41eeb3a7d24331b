"""Refusals as gRPC statuses with a google.rpc.ErrorInfo. The table of reasons is `contracts.errors`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NoReturn

import grpc
import msgspec

from contracts.errors import TREATMENTS, ErrorReason
from dialects.errors import InvalidRequestError
from router.domain.errors import RefusalError
from servicekit.grpc_errors import abort

_Context = grpc.aio.ServicerContext[Any, Any]
_encode = msgspec.json.Encoder().encode


async def refuse(context: _Context, error: RefusalError) -> NoReturn:
    """End the RPC with what the caller is told."""
    treatment = TREATMENTS[error.reason]
    metadata = {"http_status": str(error.http_status), "error_type": error.error_type.value}
    if error.param is not None:
        metadata["param"] = error.param
    if error.provider_code:
        metadata["provider_code"] = error.provider_code
    if error.provider_name is not None:
        metadata["provider_name"] = error.provider_name
    if error.availability is not None:
        metadata["availability"] = _encode(error.availability).decode()
    if error.previous_errors:
        metadata["previous_errors"] = _encode(error.previous_errors).decode()
    if error.retry_after is not None:
        metadata["retry_after_s"] = str(max(1, round(error.retry_after)))
    await abort(
        context,
        grpc.StatusCode[treatment.grpc_code],
        error.message,
        reason=error.reason.value,
        metadata=metadata,
        retry_after=timedelta(seconds=error.retry_after) if error.retry_after is not None else None,
    )


async def refuse_invalid(context: _Context, error: InvalidRequestError) -> NoReturn:
    """End the RPC because the request does not have the form that it must have."""
    treatment = TREATMENTS[ErrorReason.INVALID_REQUEST]
    metadata = {"http_status": str(treatment.http_status), "error_type": treatment.error_type}
    if error.param is not None:
        metadata["param"] = error.param
    await abort(
        context,
        grpc.StatusCode[treatment.grpc_code],
        error.message,
        reason=ErrorReason.INVALID_REQUEST.value,
        metadata=metadata,
    )
