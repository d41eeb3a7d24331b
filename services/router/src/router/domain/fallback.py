"""What follows a failed attempt, and what the caller is told when none is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from contracts.catalog import Endpoint
from contracts.error_types import AvailabilityCode
from contracts.errors import ErrorReason
from router.domain.attempts import AttemptFailure, FailureKind
from router.domain.availability import availability
from router.domain.customer_keys import CustomerKey
from router.domain.demand import Demand
from router.domain.errors import (
    NoEndpointsError,
    RefusalError,
    RequestRefusedError,
    UpstreamRateLimitedError,
    UpstreamUnavailableError,
)


class Move(StrEnum):
    """What follows a failed attempt."""

    NEXT_ENDPOINT = "next_endpoint"
    LARGER_CONTEXT = "larger_context"
    """Only an endpoint with a larger context may do, of this model or of another."""
    NEXT_MODEL = "next_model"
    """Another endpoint of the same model would say the same."""
    RETURN = "return"
    """The request itself is at fault."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An endpoint and how its call failed."""

    endpoint: Endpoint
    failure: AttemptFailure
    customer_key: CustomerKey | None = None


_MOVES = {
    FailureKind.REJECTED: Move.RETURN,
    FailureKind.CONTENT_POLICY: Move.NEXT_MODEL,
    FailureKind.CONTEXT_LENGTH: Move.LARGER_CONTEXT,
}
_RATE_LIMITS = frozenset({FailureKind.RATE_LIMITED})
_BUSY = frozenset({FailureKind.RATE_LIMITED, FailureKind.OVERLOADED})
# Several endpoints that answer like this are one statement: the model cannot be served for a while.
_FOR_A_WHILE = frozenset({FailureKind.TIMEOUT, FailureKind.SERVER_ERROR, *_BUSY})


def move_after(failure: AttemptFailure) -> Move:
    """Say what follows. An invalid request goes back at once; what another endpoint may accept goes on."""
    return _MOVES.get(failure.kind, Move.NEXT_ENDPOINT)


def exhausted(failed: Sequence[FailedAttempt], demand: Demand) -> RefusalError:
    """The refusal after every attempt has failed. The last failure decides when the request itself is at fault."""
    previous = tuple(_previous(each) for each in failed)
    last = failed[-1]
    if last.failure.kind in (FailureKind.REJECTED, FailureKind.UNSUPPORTED_PARAMETER):
        return _rejected(ErrorReason.PROVIDER_REJECTED, last, previous)
    if any(each.failure.kind is FailureKind.CONTENT_POLICY for each in failed):
        return _rejected(ErrorReason.CONTENT_POLICY_VIOLATION, last, previous)
    kinds = {each.failure.kind for each in failed}
    if FailureKind.CONTEXT_LENGTH in kinds and kinds <= {FailureKind.CONTEXT_LENGTH, *_BUSY}:
        too_long = next(each for each in failed if each.failure.kind is FailureKind.CONTEXT_LENGTH)
        return _rejected(ErrorReason.CONTEXT_LENGTH_EXCEEDED, too_long, previous)
    if kinds <= _RATE_LIMITS:
        waits = [each.failure.retry_after for each in failed if each.failure.retry_after is not None]
        return _rate_limited(demand, [each.endpoint for each in failed], min(waits, default=None), previous)
    if kinds == {FailureKind.MODEL_MISSING}:
        return _gone_upstream(failed, demand, previous)
    reason = _unavailable(kinds, len(failed))
    waits = [each.failure.retry_after for each in failed if each.failure.retry_after is not None]
    return UpstreamUnavailableError(
        reason,
        _UNAVAILABLE_MESSAGES[reason],
        provider_name=last.endpoint.provider.name,
        retry_after=min(waits, default=None),
        availability=availability(
            AvailabilityCode.TEMPORARILY_UNAVAILABLE,
            demand.models,
            retry_after=min(waits, default=None),
            affected_providers=sorted({each.endpoint.provider.slug for each in failed}),
        ),
        previous_errors=previous,
    )


def _unavailable(kinds: set[FailureKind], attempts: int) -> ErrorReason:
    """One endpoint's failure is told as what it is; of several, what they have in common."""
    if kinds == {FailureKind.TIMEOUT}:
        return ErrorReason.TIMEOUT
    if kinds == {FailureKind.UNMAPPED}:
        return ErrorReason.PROVIDER_UNMAPPED
    if kinds <= {FailureKind.TIMEOUT, *_BUSY} or (attempts > 1 and kinds <= _FOR_A_WHILE):
        return ErrorReason.PROVIDER_OVERLOADED
    return ErrorReason.PROVIDER_UNAVAILABLE


_UNAVAILABLE_MESSAGES = {
    ErrorReason.PROVIDER_UNMAPPED: "Provider returned error",
    ErrorReason.PROVIDER_UNAVAILABLE: "Provider returned error",
    ErrorReason.PROVIDER_OVERLOADED: "The providers of this model are overloaded",
    ErrorReason.TIMEOUT: "The providers of this model did not answer in time",
}


def out_of_time(failed: Sequence[FailedAttempt], demand: Demand) -> RefusalError:
    """The refusal when the caller's deadline ends the attempts."""
    return UpstreamUnavailableError(
        ErrorReason.TIMEOUT,
        "No answer before the deadline",
        availability=availability(AvailabilityCode.TEMPORARILY_UNAVAILABLE, demand.models),
        previous_errors=tuple(_previous(each) for each in failed),
    )


def _rejected(reason: ErrorReason, attempt: FailedAttempt, previous: tuple[dict[str, Any], ...]) -> RequestRefusedError:
    failure = attempt.failure
    return RequestRefusedError(
        reason,
        failure.message or "Provider returned error",
        error_type=failure.error_type,
        # A provider's 413 or 422 is passed on; every other refusal of a request is a 400, unless its type says more.
        http_status=failure.status if failure.status in (413, 422) else None,
        provider_name=attempt.endpoint.provider.name,
        provider_code=failure.code,
        previous_errors=previous,
    )


def _rate_limited(
    demand: Demand, endpoints: Sequence[Endpoint], wait: float | None, previous: tuple[dict[str, Any], ...]
) -> UpstreamRateLimitedError:
    return UpstreamRateLimitedError(
        ErrorReason.RATE_LIMITED,
        "Every provider of this model is rate limited",
        retry_after=wait,
        provider_name=endpoints[-1].provider.name,
        availability=availability(
            AvailabilityCode.CAPACITY_EXHAUSTED,
            demand.models,
            retry_after=wait,
            affected_providers=sorted({endpoint.provider.slug for endpoint in endpoints}),
        ),
        previous_errors=previous,
    )


def _gone_upstream(
    failed: Sequence[FailedAttempt], demand: Demand, previous: tuple[dict[str, Any], ...]
) -> NoEndpointsError:
    return NoEndpointsError(
        ErrorReason.NO_ENDPOINTS,
        "No provider of this model has it any more",
        provider_name=failed[-1].endpoint.provider.name,
        availability=availability(
            AvailabilityCode.MODEL_UNAVAILABLE_UPSTREAM,
            demand.models,
            affected_providers=sorted({each.endpoint.provider.slug for each in failed}),
        ),
        previous_errors=previous,
    )


def _previous(attempt: FailedAttempt) -> dict[str, Any]:
    return {
        "provider": attempt.endpoint.provider.name,
        "code": attempt.failure.kind.value,
        "status": attempt.failure.status,
    }
