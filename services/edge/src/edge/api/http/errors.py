"""The one table that turns an error into an answer, and OpenRouter's envelope, which is every route's that names no other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import msgspec
from aiohttp import web

from contracts.error_types import STATUSES, ErrorType
from contracts.errors import TREATMENTS, ErrorReason
from dialects.errors import InvalidRequestError
from edge.domain import errors

INTERNAL_MESSAGE: Final = "Internal Server Error"
# Jittered by the clients themselves; long enough for a restart to be over, short enough for nobody to give up.
RETRY_AFTER_S: Final = 2

_encode = msgspec.json.Encoder().encode


class HttpError(errors.EdgeError):
    """Something that only HTTP knows is wrong with a request.

    Attributes:
        status: HTTP status.
        error_type: the word for it in the public API.
        headers: what the answer must say besides.
    """

    def __init__(
        self, status: int, message: str, error_type: str = "invalid_request", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as the caller sees it.

    Attributes:
        status: HTTP status, and `error.code`.
        error_type: `error.metadata.error_type`.
        metadata: further members of `error.metadata`.
        availability: `error.availability`, when a model cannot be served.
        retry_after_s: seconds for `Retry-After`.
        headers: further headers of the answer.
    """

    status: int
    error_type: str
    message: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    availability: Mapping[str, Any] | None = None
    retry_after_s: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def error_json(self) -> bytes:
        """Render the `error` object."""
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "metadata": {"error_type": self.error_type, **self.metadata},
        }
        if self.availability is not None:
            error["availability"] = self.availability
        return _encode(error)

    def response(self, body: bytes | None = None) -> web.Response:
        """Make the whole answer, in OpenRouter's envelope unless another body is given."""
        headers = {"Content-Type": "application/json", **self.headers}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        return web.Response(status=self.status, body=openrouter_error(self) if body is None else body, headers=headers)


ErrorBody = Callable[[Problem, str | None], bytes]
"""Renders the whole body of an error in a route's dialect, from the problem and the generation's id, None before there is one."""


def openrouter_error(problem: Problem, generation_id: str | None = None) -> bytes:
    """Render OpenRouter's envelope."""
    return b'{"error":' + problem.error_json() + b"}"


# Status and error type of each kind of error that needs nothing else; a subclass is treated as its nearest ancestor here.
_PLAIN: Final[Mapping[type[errors.EdgeError], tuple[int, str]]] = MappingProxyType(
    {
        errors.CredentialError: (401, "authentication"),
        errors.ForbiddenError: (403, "permission_denied"),
        errors.CreditError: (402, "payment_required"),
        errors.InvalidInputError: (400, "invalid_request"),
        errors.NotFoundError: (404, "not_found"),
        errors.BusyError: (503, "provider_overloaded"),
        errors.DependencyError: (503, "provider_overloaded"),
    }
)
_COPIED_METADATA: Final = ("provider_name", "provider_code", "param")
# Nothing of these reaches the caller but that they happened (S37).
_MASKED: Final = frozenset({ErrorReason.INTERNAL, ErrorReason.PROVIDER_UNMAPPED})
# Where people read what an availability code means: served by `edge.api.http.error_reference`.
DOCS_PATH: Final = "/docs/errors"


def problem_of(error: BaseException) -> Problem:
    """Say how an error reaches the caller. Whatever is not in the table is a 500 that says nothing (S37)."""
    if isinstance(error, errors.RefusedError):
        return _refused(error)
    if isinstance(error, errors.BrokenAnswerError):
        return Problem(error.status, error.error_type, str(error))
    if isinstance(error, HttpError):
        return Problem(error.status, error.error_type, str(error), headers=error.headers)
    if isinstance(error, InvalidRequestError):
        return _invalid(error.message, error.param, error.error_type)
    if isinstance(error, errors.InvalidInputError):
        return _invalid(str(error), error.param)
    if isinstance(error, errors.RateLimitError):
        return _limited(error)
    if isinstance(error, errors.ContentBlockedError):
        return Problem(403, "permission_denied", str(error), {"patterns": list(error.patterns)})
    for kind in type(error).__mro__:
        treatment = _PLAIN.get(kind)
        if treatment is not None:
            status, error_type = treatment
            retry_after = RETRY_AFTER_S if status == 503 else None
            return Problem(status, error_type, str(error), retry_after_s=retry_after)
    return Problem(500, "server", INTERNAL_MESSAGE)


def _invalid(message: str, param: str | None, error_type: ErrorType = ErrorType.INVALID_REQUEST) -> Problem:
    return Problem(STATUSES[error_type], error_type.value, message, {} if param is None else {"param": param})


def _limited(error: errors.RateLimitError) -> Problem:
    """A limit of ours: only such a 429 says how much there is, how much is left, and when there is more."""
    headers = {
        "X-RateLimit-Limit": str(error.limit),
        "X-RateLimit-Remaining": str(error.remaining),
        "X-RateLimit-Reset": str(error.reset_ms),
    }
    return Problem(
        429,
        "rate_limit_exceeded",
        str(error),
        {"limit_source": "platform"},
        retry_after_s=max(1, math.ceil(error.retry_after_s)),
        headers=headers,
    )


def _refused(error: errors.RefusedError) -> Problem:
    treatment = TREATMENTS[error.reason]
    if error.reason in _MASKED:
        return Problem(500, treatment.error_type, INTERNAL_MESSAGE)
    status = _status(error.metadata.get("http_status"), treatment.http_status)
    retry_after = None if error.retry_after_s is None else max(1, math.ceil(error.retry_after_s))
    if retry_after is None and status == 503:
        retry_after = RETRY_AFTER_S
    return Problem(
        status=status,
        error_type=error.metadata.get("error_type") or treatment.error_type,
        message=error.message,
        metadata=_metadata(error, status),
        availability=_availability(error.metadata.get("availability")),
        retry_after_s=retry_after,
    )


def _status(text: str | None, default: int) -> int:
    """A provider's status may decide ours, but only an error status does; its 401 is never the caller's."""
    if text is None or not text.isascii() or not text.isdigit() or not 400 <= int(text) <= 599 or int(text) == 401:
        return default
    return int(text)


def _metadata(error: errors.RefusedError, status: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {name: error.metadata[name] for name in _COPIED_METADATA if error.metadata.get(name)}
    previous = error.metadata.get("previous_errors")
    if previous:
        try:
            metadata["previous_errors"] = msgspec.json.decode(previous, type=list[dict[str, Any]])
        except msgspec.MsgspecError:
            # It tells more than must be told; the error itself is still whole.
            previous = None
    if status == 429:
        metadata["limit_source"] = "upstream"
    return metadata


def _availability(text: str | None) -> Mapping[str, Any] | None:
    if not text:
        return None
    try:
        document = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        return None
    return {**document, "docs_url": f"{DOCS_PATH}#{document.get('code', '')}"}
