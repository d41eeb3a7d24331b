"""What the API's errors mean. They are a sentence and a status."""

from __future__ import annotations

from typing import Any

from dialects.answers import UpstreamError, UpstreamErrorKind
from dialects.json_values import decode_or_none, text_in
from dialects.openai_compatible import kind_of_error
from dialects.upstream_errors import upstream_error

Kind = UpstreamErrorKind

# The status of a key that is unknown or barred.
_INVALID_TOKEN = 498
_CLIENT_CLOSED = 499
# A trial key's calls of a month are used up; those of a minute come back.
_SPENT = ("/ month", "per month", "billing limit", "spend limit", "monthly")


def read_error_body(body: bytes, status: int) -> UpstreamError:
    """Read the body of an answer whose status is an error."""
    document = decode_or_none(body)
    found = find_error(document, status) if isinstance(document, dict) else None
    return found or upstream_error(_kind(status, ""), status)


def find_error(document: dict[str, Any], status: int = 0) -> UpstreamError | None:
    """Return the error that a JSON object reports, None when it reports none."""
    message = text_in(document, "message") or text_in(document, "error") or text_in(document, "data")
    if not message and not status:
        return None
    code = text_in(document, "code")
    return upstream_error(_kind(status, message), status, code, message)


def _kind(status: int, message: str) -> Kind:
    text = message.lower()
    if status == _INVALID_TOKEN:
        return Kind.AUTHENTICATION
    if status == _CLIENT_CLOSED:
        return Kind.SERVER
    if status == 429 and any(word in text for word in _SPENT):
        return Kind.QUOTA_EXHAUSTED
    if status == 404:
        # The sentence says of a model that it is not there, or no longer supported.
        return Kind.MODEL_NOT_FOUND
    return kind_of_error(status, text)
