"""What the Messages API's errors mean."""

from __future__ import annotations

from typing import Any

from dialects.answers import UpstreamError, UpstreamErrorKind
from dialects.json_values import decode_or_none, object_in, text_in
from dialects.openai_compatible import kind_of_error, read_error_body
from dialects.upstream_errors import upstream_error

# The status that each documented type comes with: in a stream it is all that tells.
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
# Sentences and codes that say more than the type.
_BY_WORDS = (
    (("spend_limit_reached", "spend limit", "credit balance is too low", "usage limits"), UpstreamErrorKind.QUOTA_EXHAUSTED),
    (("organization_on_hold", "organization has been disabled"), UpstreamErrorKind.AUTHENTICATION),
    (("content filtering policy", "usage policy"), UpstreamErrorKind.CONTENT_POLICY),
    (("prompt is too long", "exceed context limit", "context window"), UpstreamErrorKind.CONTEXT_LENGTH),
)  # fmt: skip
# Types whose meaning no sentence changes.
_PLAIN = {
    "overloaded_error": UpstreamErrorKind.OVERLOADED,
    "api_error": UpstreamErrorKind.SERVER,
    "timeout_error": UpstreamErrorKind.TIMEOUT,
    "authentication_error": UpstreamErrorKind.AUTHENTICATION,
    "billing_error": UpstreamErrorKind.QUOTA_EXHAUSTED,
}


def read_error(body: bytes, status: int) -> UpstreamError:
    """Read the body of an answer whose status is an error. Never raises."""
    document = decode_or_none(body)
    if isinstance(document, dict) and isinstance(document.get("error"), dict):
        return error_of(document, status)
    # Whatever stands before the API has its own shapes.
    return read_error_body(body, status)


def error_of(document: dict[str, Any], status: int = 0) -> UpstreamError:
    """Read an error object.

    Args:
        document: `{"type": "error", "error": {...}}`.
        status: the HTTP status it came with when that is an error, else 0.
    """
    error = object_in(document, "error")
    kind, message, code = text_in(error, "type"), text_in(error, "message"), _code(error)
    status = status or _STATUS.get(kind, 0)
    return upstream_error(_kind(kind, status, f"{code} {message}".lower()), status, code or kind, message)


def _code(error: dict[str, Any]) -> str:
    return text_in(error, "error_code") or text_in(object_in(error, "details"), "error_code")


def _kind(type_: str, status: int, words: str) -> UpstreamErrorKind:
    if type_ in _PLAIN:
        return _PLAIN[type_]
    for sentences, kind in _BY_WORDS:
        if any(sentence in words for sentence in sentences):
            return kind
    return kind_of_error(status, words)
