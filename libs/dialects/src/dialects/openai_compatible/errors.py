"""What a provider's error object means. Every shape that OpenAI-compatible servers are known to send is read."""

from __future__ import annotations

from typing import Any

import msgspec

from dialects.answers import UpstreamError, UpstreamErrorKind

_MAX_MESSAGE = 1_000
_MAX_CODE = 64

_CONTEXT = (
    "context_length",
    "context length",
    "context window",
    "context size",
    "maximum context",
    "prompt is too long",
    "input is too long",
    "too many tokens",
)
_UNSUPPORTED = (
    "unsupported_parameter",
    "unsupported parameter",
    "unsupported_value",
    "unknown parameter",
    "unrecognized request argument",
    "extra inputs are not permitted",
    "is not supported",
    "does not support",
    "not support the parameter",
)
_POLICY = (
    "content_policy",
    "content policy",
    "content_filter",
    "content management policy",
    "responsibleaipolicyviolation",
    "moderation",
    "flagged",
)
# These never pass by themselves, so waiting for Retry-After is of no use.
_QUOTA = (
    "insufficient_quota",
    "exceeded your current quota",
    "quota_exceeded",
    "credit_balance",
    "spend_limit",
    "spend limit",
    "billing_hard_limit",
    "insufficient balance",
    "payment required",
)
_RATE = ("rate_limit", "rate limit", "too many requests", "resource_exhausted", "throttl")
_OVERLOADED = ("overloaded", "capacity", "server_busy", "engine_overloaded", "unavailable")
_AUTHENTICATION = ("invalid_api_key", "authentication", "permission_error", "permission_denied", "unauthorized")


def read_error_body(body: bytes, status: int) -> UpstreamError:
    """Read the body of an answer whose status is an error. A body that is not JSON tells nothing beyond the status."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        document = None
    found = find_error(document, status) if isinstance(document, dict) else None
    return found or UpstreamError(kind=kind_of_error(status, ""), status=status)


def find_error(document: dict[str, Any], status: int = 0) -> UpstreamError | None:
    """Return the error that a JSON object reports, None when it reports none.

    Args:
        document: an answer, an event or an error body.
        status: the HTTP status it came with when that is an error, else 0.
    """
    error = document.get("error")
    if error is None:
        # vLLM: {"object": "error", "message", "code"}; FastAPI: {"detail"}; others: {"type": "error", ...}.
        if document.get("object") == "error" or document.get("type") == "error" or status >= 400:
            return _from_object(document, status)
        return None
    if isinstance(error, dict):
        return _from_object(error, status)
    if error:
        return _from_object({"message": error, "code": document.get("code")}, status)
    return None


def _from_object(error: dict[str, Any], status: int) -> UpstreamError:
    message = error.get("message")
    if message is None:
        message = error.get("detail")
    text = message if isinstance(message, str) else ""
    code = error.get("code")
    inner = error.get("innererror")
    # Azure says there what its own code only hints at.
    inner_code = inner.get("code") if isinstance(inner, dict) else None
    words = [word for word in (code, error.get("type"), error.get("status"), inner_code) if isinstance(word, str)]
    if not status:
        status = next(
            (number for number in map(_status, (code, error.get("status"), error.get("http_code"))) if number), 0
        )
    kind = kind_of_error(status, " ".join([*words, text[:_MAX_MESSAGE]]).lower())
    return UpstreamError(
        kind=kind, status=status, code=(words[0] if words else "")[:_MAX_CODE], message=text[:_MAX_MESSAGE]
    )


def _status(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and 400 <= value <= 599 else 0


def kind_of_error(status: int, text: str) -> UpstreamErrorKind:
    """Say what an error means.

    Args:
        status: HTTP status, 0 when there is none.
        text: the provider's words for it in lower case: code, type, message.
    """
    kind = UpstreamErrorKind
    if _any(_QUOTA, text) or status == 402:
        return kind.QUOTA_EXHAUSTED
    if status == 429:
        return kind.RATE_LIMITED
    if status in (401, 403):
        return kind.CONTENT_POLICY if status == 403 and _any(_POLICY, text) else kind.AUTHENTICATION
    if status in (408, 504, 524):
        return kind.TIMEOUT
    if status in (503, 529):
        return kind.OVERLOADED
    if status >= 500:
        return kind.SERVER
    if status in (0, 400, 404, 413, 422):
        by_text = _kind_by_text(text)
        if by_text is not None and (status == 0 or by_text not in _NOT_FOR_CLIENT_STATUS):
            return by_text
    if status == 404:
        return kind.MODEL_NOT_FOUND
    if status == 413:
        return kind.CONTEXT_LENGTH
    return kind.INVALID_REQUEST if 400 <= status < 500 else kind.SERVER


# With a 400 these words appear in ordinary sentences; the status says more than they do.
_NOT_FOR_CLIENT_STATUS = frozenset(
    {UpstreamErrorKind.RATE_LIMITED, UpstreamErrorKind.OVERLOADED, UpstreamErrorKind.INVALID_REQUEST}
)


def _kind_by_text(text: str) -> UpstreamErrorKind | None:
    for words, kind in (
        (_CONTEXT, UpstreamErrorKind.CONTEXT_LENGTH),
        (_UNSUPPORTED, UpstreamErrorKind.UNSUPPORTED_PARAMETER),
        (_POLICY, UpstreamErrorKind.CONTENT_POLICY),
        (_RATE, UpstreamErrorKind.RATE_LIMITED),
        (_AUTHENTICATION, UpstreamErrorKind.AUTHENTICATION),
        (_OVERLOADED, UpstreamErrorKind.OVERLOADED),
        (("model_not_found",), UpstreamErrorKind.MODEL_NOT_FOUND),
        (("invalid_request",), UpstreamErrorKind.INVALID_REQUEST),
    ):
        if _any(words, text):
            return kind
    return None


def _any(words: tuple[str, ...], text: str) -> bool:
    return any(word in text for word in words)
