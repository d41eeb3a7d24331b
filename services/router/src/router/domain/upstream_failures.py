"""Errors that providers state, as failures of attempts; and their text, made fit for callers."""

from __future__ import annotations

import re

from dialects.answers import UpstreamError, UpstreamErrorKind
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


def failure_of(error: UpstreamError, retry_after: float | None = None) -> AttemptFailure:
    """Translate an error object of a provider; `retry_after` is what its headers say, which counts before its body."""
    kind = _KINDS[error.kind]
    return AttemptFailure(
        kind=kind,
        status=error.status,
        detail=error.kind.value,
        message=public_text(error.message) if kind in _FOR_CALLERS else "",
        retry_after=retry_after if retry_after is not None else error.retry_after,
    )


def public_text(text: str) -> str:
    """Take out of a provider's text what may be a key, an account, an address or a control character (S37)."""
    return _SECRETS.sub("[removed]", _CONTROLS.sub(" ", text)).strip()[:_MAX_MESSAGE]
