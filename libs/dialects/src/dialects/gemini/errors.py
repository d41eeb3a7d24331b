"""What the API's errors mean."""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from dialects.answers import UpstreamError, UpstreamErrorKind
from dialects.json_values import decode_or_none, object_in, objects_in, text_in
from dialects.openai_compatible import kind_of_error
from dialects.upstream_errors import error_status, upstream_error

Kind = UpstreamErrorKind

# HTTP statuses of google.rpc.Code, for errors inside a stream.
_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
# Nothing of the request helps against these: the key, its project or its place is refused.
_KEY_REASONS = frozenset(("API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "CONSUMER_INVALID", "SERVICE_DISABLED"))
# Every limit is said to be "your current quota", also one that is over in a minute: these never pass by waiting.
_SPENT = ("spending cap", "spend cap", "credits are depleted", "prepayment", "billing account")
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,9})?)s", re.ASCII)
_LONG_QUOTAS = ("PerDay", "PerMonth")


def read_error_body(body: bytes, status: int) -> UpstreamError:
    """Read the body of an answer whose status is an error."""
    document = decode_or_none(body)
    if isinstance(document, list) and document:
        # A stream that is not one of events begins with a bracket, errors too.
        document = document[0]
    found = find_error(document, status) if isinstance(document, dict) else None
    return found or UpstreamError(kind=kind_of_error(status, ""), status=status)


def find_error(document: dict[str, Any], status: int = 0) -> UpstreamError | None:
    """Return the error that a JSON object reports, None when it reports none."""
    error = document.get("error")
    if error is None:
        return None
    if not isinstance(error, dict):
        error = {"message": error}
    code, message = text_in(error, "status"), text_in(error, "message")
    status = status or error_status(error.get("code")) or _STATUSES.get(code, 0)
    details = objects_in(error, "details")
    found = upstream_error(_kind(status, code, message, details), status, code, message)
    return replace(found, retry_after=_retry_delay(details))


def _retry_delay(details: list[dict[str, Any]]) -> float | None:
    """What google.rpc.RetryInfo says, such as `34.07s`: this API has no Retry-After header."""
    for detail in details:
        match = _DURATION.fullmatch(text_in(detail, "retryDelay"))
        if match is not None:
            return float(match[1])
    return None


def _kind(status: int, code: str, message: str, details: list[dict[str, Any]]) -> Kind:
    text = message.lower()
    reasons = {text_in(detail, "reason") for detail in details}
    if code == "FAILED_PRECONDITION" or reasons & _KEY_REASONS or "api key" in text:
        return Kind.AUTHENTICATION
    if status == 429:
        return Kind.QUOTA_EXHAUSTED if _is_spent(text, details) else Kind.RATE_LIMITED
    if status == 404:
        return Kind.MODEL_NOT_FOUND
    if status == 499:
        return Kind.SERVER
    if status == 400:
        if "token count" in text and "exceeds" in text:
            return Kind.CONTEXT_LENGTH
        if "is not enabled for" in text or "unknown name" in text:
            return Kind.UNSUPPORTED_PARAMETER
    return kind_of_error(status, f"{code} {message}".lower())


def _is_spent(text: str, details: list[dict[str, Any]]) -> bool:
    if any(word in text for word in _SPENT):
        return True
    quotas = [text_in(violation, "quotaId") for detail in details for violation in objects_in(detail, "violations")]
    return any(word in quota for quota in quotas for word in _LONG_QUOTAS)


def prompt_block(document: dict[str, Any]) -> UpstreamError | None:
    """Return the error that a refused prompt is: the answer then has a reason and no candidates."""
    feedback = object_in(document, "promptFeedback")
    reason = text_in(feedback, "blockReason")
    if not reason or document.get("candidates"):
        return None
    message = text_in(feedback, "blockReasonMessage") or "the prompt was blocked"
    return upstream_error(Kind.CONTENT_POLICY, 0, reason, message)
