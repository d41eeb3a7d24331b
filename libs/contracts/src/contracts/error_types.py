"""The words of the public API for what went wrong: types of errors, and codes for a model that cannot be served.

Source: OpenRouter's published API. Clients decide by these words, so none is added and none changes its status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ErrorType(StrEnum):
    """What kind of error it is: `error.metadata.error_type` of chat completions, and its like in the other dialects."""

    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    MAX_TOKENS_EXCEEDED = "max_tokens_exceeded"
    TOKEN_LIMIT_EXCEEDED = "token_limit_exceeded"  # noqa: S105 - a word for an error
    STRING_TOO_LONG = "string_too_long"
    INVALID_REQUEST = "invalid_request"
    INVALID_PROMPT = "invalid_prompt"
    CONTENT_POLICY_VIOLATION = "content_policy_violation"
    REFUSAL = "refusal"
    INVALID_IMAGE = "invalid_image"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_TOO_SMALL = "image_too_small"
    UNSUPPORTED_IMAGE_FORMAT = "unsupported_image_format"
    IMAGE_DOWNLOAD_FAILED = "image_download_failed"
    AUTHENTICATION = "authentication"
    PAYMENT_REQUIRED = "payment_required"
    PERMISSION_DENIED = "permission_denied"
    NOT_FOUND = "not_found"
    IMAGE_NOT_FOUND = "image_not_found"
    PRECONDITION_FAILED = "precondition_failed"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNPROCESSABLE = "unprocessable"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    SERVER = "server"
    UNMAPPED = "unmapped"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_OVERLOADED = "provider_overloaded"
    TIMEOUT = "timeout"


_OTHER_THAN_400: Final = {
    ErrorType.AUTHENTICATION: 401,
    ErrorType.PAYMENT_REQUIRED: 402,
    ErrorType.PERMISSION_DENIED: 403,
    ErrorType.NOT_FOUND: 404,
    ErrorType.IMAGE_NOT_FOUND: 404,
    ErrorType.PRECONDITION_FAILED: 412,
    ErrorType.PAYLOAD_TOO_LARGE: 413,
    ErrorType.UNPROCESSABLE: 422,
    ErrorType.RATE_LIMIT_EXCEEDED: 429,
    ErrorType.SERVER: 500,
    ErrorType.UNMAPPED: 500,
    ErrorType.PROVIDER_UNAVAILABLE: 502,
    ErrorType.PROVIDER_OVERLOADED: 503,
    ErrorType.TIMEOUT: 504,
}
STATUSES: Final[Mapping[ErrorType, int]] = MappingProxyType(
    {error_type: _OTHER_THAN_400.get(error_type, 400) for error_type in ErrorType}
)
"""HTTP status of each type."""


class AvailabilityCode(StrEnum):
    """Why a model cannot be served: `error.availability.code`."""

    MODEL_NOT_FOUND = "model_not_found"
    WRONG_ENDPOINT = "wrong_endpoint"
    NO_ENDPOINTS = "no_endpoints"
    MODEL_DEPRECATED = "model_deprecated"
    MODEL_UNAVAILABLE_UPSTREAM = "model_unavailable_upstream"
    PRIVACY_RESTRICTED = "privacy_restricted"
    CONSTRAINT_FILTERED = "constraint_filtered"
    FREE_VARIANT_ENDED = "free_variant_ended"
    REGION_RESTRICTED = "region_restricted"
    CAPACITY_EXHAUSTED = "capacity_exhausted"
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"


@dataclass(frozen=True, slots=True)
class Availability:
    """What an availability code comes with."""

    error_type: ErrorType
    retryable: bool = False

    @property
    def status(self) -> int:
        """HTTP status."""
        return STATUSES[self.error_type]


AVAILABILITY: Final[Mapping[AvailabilityCode, Availability]] = MappingProxyType(
    {
        AvailabilityCode.MODEL_NOT_FOUND: Availability(ErrorType.INVALID_REQUEST),
        AvailabilityCode.WRONG_ENDPOINT: Availability(ErrorType.INVALID_REQUEST),
        AvailabilityCode.NO_ENDPOINTS: Availability(ErrorType.NOT_FOUND),
        AvailabilityCode.MODEL_DEPRECATED: Availability(ErrorType.NOT_FOUND),
        AvailabilityCode.MODEL_UNAVAILABLE_UPSTREAM: Availability(ErrorType.NOT_FOUND),
        AvailabilityCode.PRIVACY_RESTRICTED: Availability(ErrorType.NOT_FOUND),
        AvailabilityCode.CONSTRAINT_FILTERED: Availability(ErrorType.NOT_FOUND),
        AvailabilityCode.FREE_VARIANT_ENDED: Availability(ErrorType.NOT_FOUND),
        AvailabilityCode.REGION_RESTRICTED: Availability(ErrorType.PERMISSION_DENIED),
        AvailabilityCode.CAPACITY_EXHAUSTED: Availability(ErrorType.RATE_LIMIT_EXCEEDED, retryable=True),
        AvailabilityCode.TEMPORARILY_UNAVAILABLE: Availability(ErrorType.PROVIDER_OVERLOADED, retryable=True),
    }
)
