"""Errors of the doubles as statuses, as the services make them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from contracts.errors import DOMAIN, TREATMENTS, ErrorReason
from edge.domain.errors import BrokenAnswerError, DependencyError, NotFoundError, RefusedError
from servicekit.grpc_errors import abort

Context = grpc.aio.ServicerContext[Any, Any]


@asynccontextmanager
async def aborting(context: Context) -> AsyncIterator[None]:
    """Turn errors of the doubles into statuses, as the services do."""
    try:
        yield
    except NotFoundError as error:
        await _refuse(context, RefusedError(ErrorReason.NOT_FOUND, str(error)))
    except RefusedError as error:
        await _refuse(context, error)
    except DependencyError as error:
        await _refuse(context, RefusedError(ErrorReason.DEPENDENCY_UNAVAILABLE, str(error)))
    except BrokenAnswerError as error:
        # A server that dies says nothing about why.
        await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))


async def _refuse(context: Context, error: RefusedError) -> None:
    metadata = dict(error.metadata)
    if error.retry_after_s is not None:
        metadata["retry_after_s"] = str(error.retry_after_s)
    code = grpc.StatusCode[TREATMENTS[error.reason].grpc_code]
    await abort(context, code, error.message, reason=error.reason.value, metadata=metadata, domain=DOMAIN)
