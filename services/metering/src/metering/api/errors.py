"""What each error becomes on the wire. One table, one row for each error that a call can meet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import grpc

from contracts.errors import TREATMENTS, ErrorReason
from metering.domain.errors import (
    GenerationNotFoundError,
    InvalidQuestionError,
    MeteringError,
    NotReadingError,
    QuestionTooHeavyError,
    UsageLogBusyError,
    UsageLogRefusedError,
    UsageLogUnavailableError,
)
from servicekit.grpc_errors import abort
from servicekit.logs import get_logger

_log = get_logger(__name__)

REASONS: Final[dict[type[MeteringError], tuple[ErrorReason, str]]] = {
    GenerationNotFoundError: (ErrorReason.NOT_FOUND, "Generation not found"),
    InvalidQuestionError: (ErrorReason.INVALID_REQUEST, "{error}"),
    NotReadingError: (ErrorReason.DEPENDENCY_UNAVAILABLE, "Usage events are not being read at the moment"),
    UsageLogBusyError: (ErrorReason.OVERLOADED, "Too many questions are waiting for the usage store"),
    QuestionTooHeavyError: (
        ErrorReason.TIMEOUT,
        "The question takes too long: ask for a shorter period or less detail",
    ),
    UsageLogUnavailableError: (ErrorReason.DEPENDENCY_UNAVAILABLE, "The usage store is not available"),
    UsageLogRefusedError: (ErrorReason.INTERNAL, "The usage store refused the question"),
}
"""Error to reason and message; `{error}` stands for the error's own text, where that is fit for the caller."""

_RETRY_AFTER: Final = timedelta(seconds=1)


@asynccontextmanager
async def aborting(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Turn metering's errors inside the block into statuses with a reason."""
    try:
        yield
    except MeteringError as error:
        reason, message = REASONS[type(error)]
        treatment = TREATMENTS[reason]
        if reason is ErrorReason.INTERNAL:
            _log.error("question.failed", error=type(error).__name__, reason=str(error))
        transient = treatment.grpc_code == grpc.StatusCode.UNAVAILABLE.name
        await abort(
            context,
            grpc.StatusCode[treatment.grpc_code],
            message.format(error=error),
            reason=reason.value,
            metadata={"param": error.field} if isinstance(error, InvalidQuestionError) else {},
            retry_after=_RETRY_AFTER if transient else None,
        )
