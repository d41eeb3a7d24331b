"""The reasons that services give each other for refusing, and what each becomes at the public API.

A gRPC error carries a google.rpc.ErrorInfo with `domain` DOMAIN and a reason from here; its metadata may hold
`http_status` and `error_type` (when a provider's answer decides them), `availability` (JSON), `retry_after_s`,
`provider_name`, `provider_code`, `previous_errors` (JSON) and `param`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

DOMAIN = "turnpike"


class ErrorReason(StrEnum):
    """Why a call was refused. The values are wire vocabulary: add, never change."""

    INVALID_REQUEST = "INVALID_REQUEST"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    NO_ENDPOINTS = "NO_ENDPOINTS"
    CONTEXT_LENGTH_EXCEEDED = "CONTEXT_LENGTH_EXCEEDED"
    CONTENT_POLICY_VIOLATION = "CONTENT_POLICY_VIOLATION"
    INSUFFICIENT_CREDITS = "INSUFFICIENT_CREDITS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    RATE_LIMITED = "RATE_LIMITED"
    PROVIDER_REJECTED = "PROVIDER_REJECTED"
    PROVIDER_UNMAPPED = "PROVIDER_UNMAPPED"
    PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
    PROVIDER_OVERLOADED = "PROVIDER_OVERLOADED"
    TIMEOUT = "TIMEOUT"
    DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
    OVERLOADED = "OVERLOADED"
    FENCED = "FENCED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class ErrorTreatment:
    """What a reason becomes: the gRPC code by name, the HTTP status, and OpenRouter's `error_type`."""

    grpc_code: str
    http_status: int
    error_type: str


TREATMENTS: dict[ErrorReason, ErrorTreatment] = {
    ErrorReason.INVALID_REQUEST: ErrorTreatment("INVALID_ARGUMENT", 400, "invalid_request"),
    ErrorReason.MODEL_NOT_FOUND: ErrorTreatment("NOT_FOUND", 400, "invalid_request"),
    ErrorReason.NO_ENDPOINTS: ErrorTreatment("NOT_FOUND", 404, "not_found"),
    ErrorReason.CONTEXT_LENGTH_EXCEEDED: ErrorTreatment("INVALID_ARGUMENT", 400, "context_length_exceeded"),
    ErrorReason.CONTENT_POLICY_VIOLATION: ErrorTreatment("INVALID_ARGUMENT", 400, "content_policy_violation"),
    ErrorReason.INSUFFICIENT_CREDITS: ErrorTreatment("FAILED_PRECONDITION", 402, "payment_required"),
    ErrorReason.PERMISSION_DENIED: ErrorTreatment("PERMISSION_DENIED", 403, "permission_denied"),
    ErrorReason.UNAUTHENTICATED: ErrorTreatment("UNAUTHENTICATED", 401, "authentication"),
    ErrorReason.NOT_FOUND: ErrorTreatment("NOT_FOUND", 404, "not_found"),
    ErrorReason.ALREADY_EXISTS: ErrorTreatment("ALREADY_EXISTS", 409, "invalid_request"),
    ErrorReason.RATE_LIMITED: ErrorTreatment("RESOURCE_EXHAUSTED", 429, "rate_limit_exceeded"),
    ErrorReason.PROVIDER_REJECTED: ErrorTreatment("INVALID_ARGUMENT", 400, "invalid_request"),
    ErrorReason.PROVIDER_UNMAPPED: ErrorTreatment("INTERNAL", 500, "unmapped"),
    ErrorReason.PROVIDER_UNAVAILABLE: ErrorTreatment("UNAVAILABLE", 502, "provider_unavailable"),
    ErrorReason.PROVIDER_OVERLOADED: ErrorTreatment("UNAVAILABLE", 503, "provider_overloaded"),
    ErrorReason.TIMEOUT: ErrorTreatment("DEADLINE_EXCEEDED", 504, "timeout"),
    ErrorReason.DEPENDENCY_UNAVAILABLE: ErrorTreatment("UNAVAILABLE", 503, "provider_overloaded"),
    ErrorReason.OVERLOADED: ErrorTreatment("UNAVAILABLE", 503, "provider_overloaded"),
    # A younger process has taken the place of the one that asks, which is on its way out.
    ErrorReason.FENCED: ErrorTreatment("FAILED_PRECONDITION", 503, "provider_overloaded"),
    ErrorReason.INTERNAL: ErrorTreatment("INTERNAL", 500, "server"),
}
