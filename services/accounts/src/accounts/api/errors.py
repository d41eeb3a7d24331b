"""What each error becomes on the wire. One table, one row for each error that a call can meet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import grpc

from accounts.domain.errors import (
    AccountsError,
    AlreadyExistsError,
    BusyError,
    FencedError,
    ForbiddenError,
    InvalidFieldError,
    NotFoundError,
    NotSetUpError,
    NotSignedInError,
    PaymentDeclinedError,
    PaymentProviderError,
    PaymentsDisabledError,
    PowerfulRoleError,
    ProviderUnavailableError,
    StoreUnavailableError,
    TooEarlyError,
    TooManyAttemptsError,
    UntrustedStatementError,
)
from contracts.errors import TREATMENTS, ErrorReason
from servicekit.grpc_errors import abort

REASONS: Final[dict[type[AccountsError], tuple[ErrorReason, str]]] = {
    InvalidFieldError: (ErrorReason.INVALID_REQUEST, "{error}"),
    NotFoundError: (ErrorReason.NOT_FOUND, "{error}"),
    AlreadyExistsError: (ErrorReason.ALREADY_EXISTS, "{error}"),
    ForbiddenError: (ErrorReason.PERMISSION_DENIED, "{error}"),
    NotSignedInError: (ErrorReason.UNAUTHENTICATED, "{error}"),
    TooManyAttemptsError: (ErrorReason.RATE_LIMITED, "{error}"),
    ProviderUnavailableError: (ErrorReason.DEPENDENCY_UNAVAILABLE, "The OpenID provider is not available"),
    NotSetUpError: (ErrorReason.PERMISSION_DENIED, "{error}"),
    StoreUnavailableError: (ErrorReason.DEPENDENCY_UNAVAILABLE, "The accounts database is not available"),
    PaymentsDisabledError: (ErrorReason.INVALID_REQUEST, "{error}"),
    PaymentProviderError: (ErrorReason.DEPENDENCY_UNAVAILABLE, "The payment provider is not available"),
    PaymentDeclinedError: (ErrorReason.INVALID_REQUEST, "{error}"),
    UntrustedStatementError: (ErrorReason.INVALID_REQUEST, "{error}"),
    TooEarlyError: (ErrorReason.DEPENDENCY_UNAVAILABLE, "{error}"),
    FencedError: (ErrorReason.FENCED, "{error}"),
    BusyError: (ErrorReason.OVERLOADED, "{error}"),
    PowerfulRoleError: (ErrorReason.INTERNAL, "internal error"),
}
"""Error to reason and message; `{error}` stands for the error's own text, where that is fit for the caller."""

_RETRY_AFTER: Final = timedelta(seconds=1)


@asynccontextmanager
async def aborting(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Turn accounts' errors inside the block into statuses with a reason."""
    try:
        yield
    except AccountsError as error:
        reason, message = REASONS[type(error)]
        treatment = TREATMENTS[reason]
        await abort(
            context,
            grpc.StatusCode[treatment.grpc_code],
            message.format(error=error),
            reason=reason.value,
            metadata={"param": error.field} if isinstance(error, InvalidFieldError) else {},
            retry_after=_retry_after(error),
        )


def _retry_after(error: AccountsError) -> timedelta | None:
    if isinstance(error, TooManyAttemptsError):
        return timedelta(seconds=error.retry_after_s)
    return (
        _RETRY_AFTER
        if isinstance(
            error,
            StoreUnavailableError | ProviderUnavailableError | PaymentProviderError | TooEarlyError | BusyError,
        )
        else None
    )
