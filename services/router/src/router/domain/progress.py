"""What goes in and out of a generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.catalog import Endpoint
from contracts.error_types import STATUSES
from contracts.errors import TREATMENTS, ErrorReason
from contracts.ids import GenerationId
from contracts.money import Cost
from dialects.answers import ChoiceDelta
from dialects.chat import ChatRequest
from dialects.operations.codec import OperationRequest
from dialects.operations.products import Product
from router.domain.attempts import AttemptFailure, AttemptRecord, FailureKind
from router.domain.selection import Choice
from router.domain.settlement import Caller, Status
from router.domain.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Command:
    """A completion to make, or an operation to have done.

    Attributes:
        generation_id: names it.
        caller: who pays.
        request: what for.
        deadline: a moment on the monotonic clock.
        with_metadata: whether the caller wants to know how it was routed.
    """

    generation_id: GenerationId
    caller: Caller
    request: ChatRequest | OperationRequest
    deadline: float
    with_metadata: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """Where the answer comes from, what was tried before, and how it was chosen where the caller wants to know.

    `compressed` says of a prompt that was cut to fit about how many tokens it had, and has. `upstream_bodies` are the JSON bodies that were sent to providers, in the order of attempts, where the caller wants them.
    """

    endpoint: Endpoint
    failed_attempts: tuple[AttemptRecord, ...]
    requested_model: str = ""
    choice: Choice | None = None
    compressed: tuple[int, int] | None = None
    upstream_bodies: tuple[bytes, ...] = field(default=(), repr=False)
    is_byok: bool = False


@dataclass(frozen=True, slots=True)
class Interruption:
    """Why an answer broke off, for the caller: nothing in it is the provider's text."""

    status: int
    error_type: str
    message: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How the generation ended."""

    status: Status
    tokens: Tokens
    cost: Cost
    interruption: Interruption | None = None
    system_fingerprint: str = ""
    service_tier: str = ""
    is_byok: bool = False
    upstream_cost: int = 0
    """What the provider charges at list price, in nano-dollars."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is new of the answer. `route` is set in the first, `ending` in the last; an operation has one, with `product`."""

    route: Route | None
    deltas: Sequence[ChoiceDelta]
    ending: Ending | None = None
    product: Product | None = None


_REASONS = {
    FailureKind.TIMEOUT: ErrorReason.TIMEOUT,
    FailureKind.OVERLOADED: ErrorReason.PROVIDER_OVERLOADED,
    FailureKind.RATE_LIMITED: ErrorReason.RATE_LIMITED,
    FailureKind.CONTENT_POLICY: ErrorReason.CONTENT_POLICY_VIOLATION,
    FailureKind.CONTEXT_LENGTH: ErrorReason.CONTEXT_LENGTH_EXCEEDED,
}
_MESSAGES = {
    ErrorReason.TIMEOUT: "The provider stopped answering",
    ErrorReason.PROVIDER_OVERLOADED: "The provider is overloaded and broke off its answer",
    ErrorReason.RATE_LIMITED: "The provider's rate limit broke off its answer",
    ErrorReason.CONTENT_POLICY_VIOLATION: "The provider broke off its answer because of its content policy",
    ErrorReason.CONTEXT_LENGTH_EXCEEDED: "The provider broke off its answer because its context is full",
    ErrorReason.PROVIDER_UNAVAILABLE: "The provider's answer broke off",
    ErrorReason.DEPENDENCY_UNAVAILABLE: "The answer could not be recorded, so it is not charged",
}


def interruption(reason: ErrorReason, message: str | None = None) -> Interruption:
    """Describe why an answer broke off."""
    treatment = TREATMENTS[reason]
    return Interruption(treatment.http_status, treatment.error_type, message or _MESSAGES[reason])


def interruption_by(failure: AttemptFailure, *, late: bool) -> Interruption:
    """Describe a failure in the middle of an answer; `late` when it was the caller's deadline."""
    if late:
        return interruption(ErrorReason.TIMEOUT, "The answer was not complete before the deadline")
    found = interruption(_REASONS.get(failure.kind, ErrorReason.PROVIDER_UNAVAILABLE))
    if failure.error_type is None:
        return found
    return Interruption(STATUSES[failure.error_type], failure.error_type.value, found.message)
