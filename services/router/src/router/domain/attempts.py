"""How one call of one endpoint ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts.error_types import ErrorType
from contracts.ids import EndpointId
from router.domain.tokens import Expense


class FailureKind(StrEnum):
    """Why a call gave no usable answer."""

    CONNECT = "connect"
    """No connection: DNS, TCP, TLS, or broken off before an answer."""
    TIMEOUT = "timeout"
    """No answer, no first token, or no next token in time."""
    BAD_ANSWER = "bad_answer"
    """Not a completion: HTML, a malformed event, an empty or a cut answer."""
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    """Our account at the provider is out of money or over its spending limit."""
    KEY_REJECTED = "key_rejected"
    MODEL_MISSING = "model_missing"
    REJECTED = "rejected"
    """The provider finds the request itself invalid."""
    CONTEXT_LENGTH = "context_length"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    CONTENT_POLICY = "content_policy"
    UNMAPPED = "unmapped"
    """A refusal with a status that says nothing of the request, such as 405: the endpoint is not what the catalogue says."""


class AttemptOutcome(StrEnum):
    """How a call ended, in the words of the usage event."""

    SUCCESS = "success"
    FAILURE = "failure"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


OUTCOMES: dict[FailureKind, AttemptOutcome] = {
    FailureKind.CONNECT: AttemptOutcome.FAILURE,
    FailureKind.TIMEOUT: AttemptOutcome.TIMEOUT,
    FailureKind.BAD_ANSWER: AttemptOutcome.FAILURE,
    FailureKind.SERVER_ERROR: AttemptOutcome.FAILURE,
    FailureKind.OVERLOADED: AttemptOutcome.FAILURE,
    FailureKind.RATE_LIMITED: AttemptOutcome.RATE_LIMITED,
    FailureKind.QUOTA_EXHAUSTED: AttemptOutcome.RATE_LIMITED,
    FailureKind.KEY_REJECTED: AttemptOutcome.FAILURE,
    FailureKind.MODEL_MISSING: AttemptOutcome.FAILURE,
    FailureKind.REJECTED: AttemptOutcome.REJECTED,
    FailureKind.CONTEXT_LENGTH: AttemptOutcome.REJECTED,
    FailureKind.UNSUPPORTED_PARAMETER: AttemptOutcome.REJECTED,
    FailureKind.CONTENT_POLICY: AttemptOutcome.REJECTED,
    FailureKind.UNMAPPED: AttemptOutcome.FAILURE,
}


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """A failed call.

    Attributes:
        kind: what it means.
        status: the provider's HTTP status, 0 when there was none.
        detail: what happened, in our words; safe for logs.
        message: the provider's text, cleaned of secrets, for kinds that the caller must act on; else empty.
        retry_after: seconds that the provider asks us to wait, None when it does not say.
        error_type: what exactly the provider finds wrong with the request; None when `kind` says it all.
        code: the provider's machine word for it, cleaned like `message`; else empty.
    """

    kind: FailureKind
    status: int = 0
    detail: str = ""
    message: str = ""
    retry_after: float | None = None
    error_type: ErrorType | None = None
    code: str = ""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One call for the usage event and for the caller.

    `latency_ms` is to the first token, or to the failure. `expense` is set for a copy that was cancelled because another
    endpoint was faster.
    """

    endpoint_id: EndpointId
    provider: str
    outcome: AttemptOutcome
    status: int
    latency_ms: int
    failure: FailureKind | None = None
    expense: Expense | None = None
