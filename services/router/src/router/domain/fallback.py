"""What follows a failed attempt, and what the caller is told when none is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from contracts.catalog import Endpoint
from contracts.errors import ErrorReason
from router.domain.attempts import AttemptFailure, FailureKind
from router.domain.demand import Demand
from router.domain.eligibility import ExcludedBy
from router.domain.errors import (
    NoEndpointsError,
    RefusalError,
    RequestRefusedError,
    UpstreamRateLimitedError,
    UpstreamUnavailableError,
)
from router.domain.selection import Choice


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


_MOVES = {
    FailureKind.REJECTED: Move.RETURN,
    FailureKind.CONTENT_POLICY: Move.NEXT_MODEL,
    FailureKind.CONTEXT_LENGTH: Move.LARGER_CONTEXT,
}
_RATE_LIMITS = frozenset({FailureKind.RATE_LIMITED})
_BUSY = frozenset({FailureKind.RATE_LIMITED, FailureKind.OVERLOADED})


def move_after(failure: AttemptFailure) -> Move:
    """Say what follows. An invalid request goes back at once; what another endpoint may accept goes on."""
    return _MOVES.get(failure.kind, Move.NEXT_ENDPOINT)


def no_endpoints(choice: Choice, demand: Demand) -> RefusalError:
    """The refusal of a request that no endpoint may serve."""
    limited = [exclusion for exclusion in choice.excluded if exclusion.reason is ExcludedBy.RATE_LIMITED]
    if limited:
        wait = min(exclusion.wait for exclusion in limited)
        return _rate_limited(demand, [exclusion.endpoint for exclusion in limited], wait, ())
    reasons = {exclusion.reason for exclusion in choice.excluded}
    if reasons == {ExcludedBy.CONTEXT_LENGTH}:
        longest = max(model.context_length for model in choice.models)
        return RequestRefusedError(
            ErrorReason.CONTEXT_LENGTH_EXCEEDED,
            f"No endpoint of the model fits the request: the largest context is {longest} tokens,"
            " prompt and max_tokens together",
            param="max_tokens" if demand.output_limit is not None else "messages",
        )
    return NoEndpointsError(
        ErrorReason.NO_ENDPOINTS,
        _no_endpoints_message(choice, reasons),
        availability=_availability(
            _code_of(reasons),
            demand,
            retryable=False,
            excluded_by=sorted(reason for reason in reasons if reason in _PUBLIC_REASONS),
        ),
    )


# The vocabulary of `excluded_by`; our own further words stay inside.
_PUBLIC_REASONS = frozenset(
    {
        ExcludedBy.ALLOWED_PROVIDERS,
        ExcludedBy.TRAINING,
        ExcludedBy.ZDR,
        ExcludedBy.QUANTIZATION,
        ExcludedBy.MAX_PRICE,
        ExcludedBy.REQUIRE_PARAMETERS,
        ExcludedBy.CONTEXT_LENGTH,
    }
)


def _code_of(reasons: set[ExcludedBy]) -> str:
    if reasons and reasons <= {ExcludedBy.TRAINING, ExcludedBy.ZDR}:
        return "privacy_restricted"
    return "constraint_filtered" if reasons & _PUBLIC_REASONS else "no_endpoints"


def _no_endpoints_message(choice: Choice, reasons: set[ExcludedBy]) -> str:
    names = ", ".join(model.id for model in choice.models)
    by_reason = {exclusion.reason: exclusion for exclusion in reversed(choice.excluded)}
    if ExcludedBy.TOOLS in reasons:
        tool = by_reason[ExcludedBy.TOOLS].detail
        return f'No endpoints found that support tool use. Try disabling "{tool}".'
    if ExcludedBy.MODALITY in reasons:
        return f"No endpoints found that support {by_reason[ExcludedBy.MODALITY].detail}"
    if reasons == {ExcludedBy.ALLOWED_PROVIDERS}:
        serving = ", ".join(sorted({each.endpoint.provider.slug for each in choice.excluded}))
        return f"No allowed providers are available for the selected model. Providers serving {names}: {serving}."
    if reasons and reasons <= {ExcludedBy.TRAINING, ExcludedBy.ZDR}:
        return "No endpoints found matching your data policy"
    public = sorted(reason for reason in reasons if reason in _PUBLIC_REASONS)
    if public:
        return f"No endpoints of {names} meet the request's requirements: {', '.join(public)}"
    return f"No endpoints found for {names}"


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
    reason = ErrorReason.PROVIDER_UNAVAILABLE
    if kinds == {FailureKind.TIMEOUT}:
        reason = ErrorReason.TIMEOUT
    elif kinds <= {FailureKind.TIMEOUT, *_BUSY}:
        reason = ErrorReason.PROVIDER_OVERLOADED
    waits = [each.failure.retry_after for each in failed if each.failure.retry_after is not None]
    return UpstreamUnavailableError(
        reason,
        _UNAVAILABLE_MESSAGES[reason],
        provider_name=last.endpoint.provider.name,
        retry_after=min(waits, default=None),
        availability=_availability(
            "temporarily_unavailable",
            demand,
            retryable=True,
            retry_after=min(waits, default=None),
            affected_providers=sorted({each.endpoint.provider.slug for each in failed}),
        ),
        previous_errors=previous,
    )


_UNAVAILABLE_MESSAGES = {
    ErrorReason.PROVIDER_UNAVAILABLE: "Provider returned error",
    ErrorReason.PROVIDER_OVERLOADED: "The providers of this model are overloaded",
    ErrorReason.TIMEOUT: "The providers of this model did not answer in time",
}


def out_of_time(failed: Sequence[FailedAttempt], demand: Demand) -> RefusalError:
    """The refusal when the caller's deadline ends the attempts."""
    return UpstreamUnavailableError(
        ErrorReason.TIMEOUT,
        "No answer before the deadline",
        availability=_availability("temporarily_unavailable", demand, retryable=True),
        previous_errors=tuple(_previous(each) for each in failed),
    )


def _rejected(reason: ErrorReason, attempt: FailedAttempt, previous: tuple[dict[str, Any], ...]) -> RequestRefusedError:
    failure = attempt.failure
    return RequestRefusedError(
        reason,
        failure.message or "Provider returned error",
        # A provider's 413 or 422 is passed on; every other refusal of a request is a 400.
        http_status=failure.status if failure.status in (413, 422) else None,
        provider_name=attempt.endpoint.provider.name,
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
        availability=_availability(
            "capacity_exhausted",
            demand,
            retryable=True,
            retry_after=wait,
            affected_providers=sorted({endpoint.provider.slug for endpoint in endpoints}),
        ),
        previous_errors=previous,
    )


def _availability(code: str, demand: Demand, *, retryable: bool, **optional: Any) -> dict[str, Any]:
    shown = {name: value for name, value in optional.items() if value not in (None, [])}
    return {"code": code, "retryable": retryable, "requested_models": list(demand.models), **shown}


def _previous(attempt: FailedAttempt) -> dict[str, Any]:
    return {
        "provider": attempt.endpoint.provider.name,
        "code": attempt.failure.kind.value,
        "status": attempt.failure.status,
    }
