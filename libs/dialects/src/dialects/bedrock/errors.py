"""What Bedrock's errors mean."""

from __future__ import annotations

from typing import Any

from dialects.answers import UpstreamError, UpstreamErrorKind
from dialects.json_values import decode_or_none, text_in
from dialects.openai_compatible import kind_of_error
from dialects.upstream_errors import upstream_error

# The status of each documented exception: in a stream its name is all that tells.
_STATUS = {
    "accessdeniedexception": 403,
    "internalserverexception": 500,
    "modelerrorexception": 424,
    "modelnotreadyexception": 429,
    "modelstreamerrorexception": 424,
    "modeltimeoutexception": 408,
    "resourcenotfoundexception": 404,
    "servicequotaexceededexception": 400,
    "serviceunavailableexception": 503,
    "throttlingexception": 429,
    "validationexception": 400,
}
_BY_NAME = {
    "modelnotreadyexception": UpstreamErrorKind.OVERLOADED,
    "servicequotaexceededexception": UpstreamErrorKind.QUOTA_EXHAUSTED,
    "throttlingexception": UpstreamErrorKind.RATE_LIMITED,
}
# Sentences that say more than the status, for the statuses at which they are said.
_BY_WORDS = (
    (429, ("tokens per day", "requests per day"), UpstreamErrorKind.QUOTA_EXHAUSTED),
    (429, ("not ready", "too many connections"), UpstreamErrorKind.OVERLOADED),
    (400, ("service quota",), UpstreamErrorKind.QUOTA_EXHAUSTED),
    (400, ("input is too long", "prompt is too long", "too many input tokens", "exceed context limit"), UpstreamErrorKind.CONTEXT_LENGTH),
    (400, ("model identifier is invalid", "on-demand throughput", "end of its life"), UpstreamErrorKind.MODEL_NOT_FOUND),
    (400, ("operation not allowed", "access to bedrock models is not allowed"), UpstreamErrorKind.AUTHENTICATION),
    (400, ("extraneous key", "doesn't support the", "does not support the", "not permitted"), UpstreamErrorKind.UNSUPPORTED_PARAMETER),
    (400, ("content filtering policy", "blocked by guardrail"), UpstreamErrorKind.CONTENT_POLICY),
)  # fmt: skip


def read_error(body: bytes, status: int) -> UpstreamError:
    """Read the body of an answer whose status is an error. Never raises."""
    document = decode_or_none(body)
    document = document if isinstance(document, dict) else {}
    return error_of(text_in(document, "__type").rpartition("#")[2], document, status)


def error_of(name: str, document: dict[str, Any], status: int = 0) -> UpstreamError:
    """Read an error.

    Args:
        name: the exception, empty when it is not known.
        document: its members.
        status: the HTTP status it came with when that is an error, else 0.
    """
    # What stands before the service writes the message with a capital.
    message = text_in(document, "message") or text_in(document, "Message") or text_in(document, "originalMessage")
    key = name.lower()
    status = status or _STATUS.get(key, 0)
    return upstream_error(_kind(key, status, message.lower(), document), status, name, message)


def _kind(key: str, status: int, words: str, document: dict[str, Any]) -> UpstreamErrorKind:
    if status == 424:
        # The model failed behind the service; what it said, said its own status.
        original = document.get("originalStatusCode")
        status = original if type(original) is int and 400 <= original <= 599 and original != 424 else 500
    # The apostrophe of these sentences is not always the typewriter's.
    words = words.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    for at, sentences, kind in _BY_WORDS:
        if status == at and any(sentence in words for sentence in sentences):
            return kind
    return _BY_NAME.get(key) or kind_of_error(status, words)
