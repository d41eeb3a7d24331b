"""What a resource's errors mean where they do not mean what they would elsewhere."""

from __future__ import annotations

from msgspec.structs import replace

from dialects.answers import UpstreamError, UpstreamErrorKind
from dialects.openai_compatible import read_error_body as read_common_error_body

# By code: the region has no machines left; the deployment's model has no chat.
_BY_CODE = {
    "nocapacity": UpstreamErrorKind.OVERLOADED,
    "deploymentnotfound": UpstreamErrorKind.MODEL_NOT_FOUND,
    "operationnotsupported": UpstreamErrorKind.MODEL_NOT_FOUND,
}
# By sentence: no request helps against a resource that is blocked, or that does not have the version.
_BY_SENTENCE = {
    "temporarily blocked": UpstreamErrorKind.AUTHENTICATION,
    "api version not supported": UpstreamErrorKind.MODEL_NOT_FOUND,
}


def read_error_body(body: bytes, status: int) -> UpstreamError:
    """Read the body of an answer whose status is an error."""
    error = read_common_error_body(body, status)
    kind = _BY_CODE.get(error.code.lower())
    if kind is None:
        sentence = error.message.lower()
        kind = next((kind for words, kind in _BY_SENTENCE.items() if words in sentence), error.kind)
    return error if kind is error.kind else replace(error, kind=kind)
