"""Errors that providers state, as failures of attempts; and their text, made fit for callers."""

from __future__ import annotations

import re

from contracts.error_types import ErrorType
from dialects.answers import UpstreamError, UpstreamErrorKind
from dialects.refusals import refusal_type
from router.domain.attempts import AttemptFailure, FailureKind

_KINDS = {
    UpstreamErrorKind.CONTEXT_LENGTH: FailureKind.CONTEXT_LENGTH,
    UpstreamErrorKind.UNSUPPORTED_PARAMETER: FailureKind.UNSUPPORTED_PARAMETER,
    UpstreamErrorKind.CONTENT_POLICY: FailureKind.CONTENT_POLICY,
    UpstreamErrorKind.INVALID_REQUEST: FailureKind.REJECTED,
    UpstreamErrorKind.AUTHENTICATION: FailureKind.KEY_REJECTED,
    UpstreamErrorKind.MODEL_NOT_FOUND: FailureKind.MODEL_MISSING,
    UpstreamErrorKind.RATE_LIMITED: FailureKind.RATE_LIMITED,
    UpstreamErrorKind.QUOTA_EXHAUSTED: FailureKind.QUOTA_EXHAUSTED,
    UpstreamErrorKind.OVERLOADED: FailureKind.OVERLOADED,
    UpstreamErrorKind.TIMEOUT: FailureKind.TIMEOUT,
    UpstreamErrorKind.SERVER: FailureKind.SERVER_ERROR,
}
# The caller must change the request for these, so it must learn what the provider says.
_FOR_CALLERS = frozenset(
    {
        FailureKind.REJECTED,
        FailureKind.CONTEXT_LENGTH,
        FailureKind.UNSUPPORTED_PARAMETER,
        FailureKind.CONTENT_POLICY,
    }
)

_MAX_MESSAGE = 400
_SECRETS = re.compile(
    r"""
      \bBearer\s+\S+
    | \b(?:sk|pk|gsk|xai|key|org|proj|project|user|acct|account|req|tp)[-_][A-Za-z0-9_.*-]{4,}
    | \b[A-Za-z0-9+/_-]{24,}={0,2}                   # anything as long and unbroken as a key
    | \b[\w.+-]+@[\w-]+\.[\w.]+
    | \b(?:https?|wss?)://\S+
    | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


# Another endpoint may accept what one refuses for these; the rest is wrong everywhere.
_ELSEWHERE = frozenset(
    {
        ErrorType.MAX_TOKENS_EXCEEDED,
        ErrorType.TOKEN_LIMIT_EXCEEDED,
        ErrorType.IMAGE_TOO_LARGE,
        ErrorType.IMAGE_TOO_SMALL,
        ErrorType.UNSUPPORTED_IMAGE_FORMAT,
        ErrorType.IMAGE_DOWNLOAD_FAILED,
    }
)
# A refusal with another status in the four hundreds, and without a word that is known, is not about the request.
_ABOUT_REQUESTS = frozenset({0, 400, 404, 408, 409, 412, 413, 422})


def failure_of(error: UpstreamError, retry_after: float | None = None) -> AttemptFailure:
    """Translate an error object of a provider; `retry_after` is what its headers say, which counts before its body."""
    kind, error_type = _KINDS[error.kind], None
    if kind in _FOR_CALLERS or kind is FailureKind.MODEL_MISSING:
        error_type = refusal_type(error)
    elif kind is FailureKind.SERVER_ERROR and not error.status:
        # In the middle of a stream there is no status, so that only the code can say that the request is at fault.
        error_type = refusal_type(UpstreamError(error.kind, code=error.code))
        kind = kind if error_type is None else FailureKind.REJECTED
    if kind in _FOR_CALLERS or kind is FailureKind.MODEL_MISSING:
        kind = _refined(kind, error_type, error.status)
    told = kind in _FOR_CALLERS
    return AttemptFailure(
        kind=kind,
        status=error.status,
        detail=error.kind.value,
        message=public_text(error.message) if told else "",
        retry_after=retry_after if retry_after is not None else error.retry_after,
        error_type=error_type if told else None,
        code=public_text(error.code) if told else "",
    )


def _refined(kind: FailureKind, error_type: ErrorType | None, status: int) -> FailureKind:
    """What follows from what exactly is wrong."""
    if error_type is None:
        unmapped = kind is FailureKind.REJECTED and status not in _ABOUT_REQUESTS
        return FailureKind.UNMAPPED if unmapped else kind
    if error_type in _ELSEWHERE:
        return FailureKind.UNSUPPORTED_PARAMETER
    if error_type is ErrorType.REFUSAL:
        return FailureKind.CONTENT_POLICY
    if kind is FailureKind.MODEL_MISSING:
        # A 404 about an image, not about the model.
        return FailureKind.REJECTED if error_type is ErrorType.IMAGE_NOT_FOUND else kind
    return kind


def public_text(text: str) -> str:
    """Take out of a provider's text what may be a key, an account, an address or a control character (S37)."""
    return _SECRETS.sub("[removed]", _CONTROLS.sub(" ", text)).strip()[:_MAX_MESSAGE]
