"""What the caller is told of a request that no endpoint may serve."""

from __future__ import annotations

from collections import Counter

from contracts.error_types import AvailabilityCode, ErrorType
from contracts.errors import ErrorReason
from router.domain.availability import availability
from router.domain.demand import Demand
from router.domain.eligibility import ExcludedBy, Exclusion
from router.domain.errors import NoEndpointsError, RefusalError, RequestRefusedError, UpstreamRateLimitedError
from router.domain.selection import Choice

# The vocabulary of `excluded_by`; our own further words stay inside.
_PUBLIC_REASONS = frozenset(
    {
        ExcludedBy.ALLOWED_PROVIDERS,
        ExcludedBy.TRAINING,
        ExcludedBy.ZDR,
        ExcludedBy.DATA_REGION,
        ExcludedBy.QUANTIZATION,
        ExcludedBy.MAX_PRICE,
        ExcludedBy.REQUIRE_PARAMETERS,
        ExcludedBy.CONTEXT_LENGTH,
    }
)
_PRIVACY = frozenset({ExcludedBy.TRAINING, ExcludedBy.ZDR})
# What an endpoint is without is not the caller's doing, so it is only told when nothing else is to be told.
_OURS = frozenset({ExcludedBy.CREDENTIALS, ExcludedBy.EXPIRED})
_FREE_SUFFIX = ":free"


def no_endpoints(choice: Choice, demand: Demand) -> RefusalError:
    """The refusal of a request that no endpoint may serve."""
    limited = [exclusion for exclusion in choice.excluded if exclusion.reason is ExcludedBy.RATE_LIMITED]
    if limited:
        return _limited(limited, demand)
    reasons = {exclusion.reason for exclusion in choice.excluded}
    reasons = reasons - _OURS or reasons
    if reasons == {ExcludedBy.CONTEXT_LENGTH}:
        return _too_long(choice, demand)
    if reasons == {ExcludedBy.ALLOWED_MODELS}:
        return RequestRefusedError(
            ErrorReason.PERMISSION_DENIED,
            f"The restrictions of this API key do not allow {_names(choice)}",
            param="model",
        )
    if reasons == {ExcludedBy.DATA_REGION}:
        return RequestRefusedError(
            ErrorReason.PERMISSION_DENIED,
            f"No endpoint of {_names(choice)} is in the region {demand.data_region}",
            availability=availability(
                AvailabilityCode.REGION_RESTRICTED, demand.models, excluded_by=[ExcludedBy.DATA_REGION.value]
            ),
        )
    return NoEndpointsError(
        ErrorReason.NO_ENDPOINTS,
        _message(choice, demand, reasons),
        availability=availability(
            _code_of(choice, reasons),
            demand.models,
            excluded_by=sorted(reason.value for reason in reasons & _PUBLIC_REASONS),
            fallback_models=_paid_variants(choice) if reasons == {ExcludedBy.EXPIRED} else (),
            constraint=_constraint(choice, demand, reasons),
        ),
    )


def _limited(limited: list[Exclusion], demand: Demand) -> RefusalError:
    wait = min(exclusion.wait for exclusion in limited)
    return UpstreamRateLimitedError(
        ErrorReason.RATE_LIMITED,
        "Every provider of this model is rate limited",
        retry_after=wait,
        provider_name=limited[-1].endpoint.provider.name,
        availability=availability(
            AvailabilityCode.CAPACITY_EXHAUSTED,
            demand.models,
            retry_after=wait,
            affected_providers=sorted({exclusion.endpoint.provider.slug for exclusion in limited}),
        ),
    )


def _too_long(choice: Choice, demand: Demand) -> RefusalError:
    excluded = [exclusion for exclusion in choice.excluded if exclusion.reason is ExcludedBy.CONTEXT_LENGTH]
    limits = [exclusion.endpoint.max_completion_tokens for exclusion in excluded if exclusion.about_output]
    if len(limits) == len(excluded):
        return RequestRefusedError(
            ErrorReason.INVALID_REQUEST,
            f"max_tokens: no endpoint of the model answers with more than {max(limits)} tokens",
            error_type=ErrorType.MAX_TOKENS_EXCEEDED,
            param="max_tokens",
        )
    longest = max(model.context_length for model in choice.models)
    return RequestRefusedError(
        ErrorReason.CONTEXT_LENGTH_EXCEEDED,
        f"No endpoint of the model fits the request: the largest context is {longest} tokens,"
        " prompt and max_tokens together",
        param="max_tokens" if demand.output_limit is not None else "messages",
    )


def _code_of(choice: Choice, reasons: set[ExcludedBy]) -> AvailabilityCode:
    if reasons == {ExcludedBy.EXPIRED}:
        is_free = all(model.id.endswith(_FREE_SUFFIX) for model in choice.models)
        return AvailabilityCode.FREE_VARIANT_ENDED if is_free else AvailabilityCode.MODEL_DEPRECATED
    if reasons and reasons <= _PRIVACY:
        return AvailabilityCode.PRIVACY_RESTRICTED
    if reasons & _PUBLIC_REASONS:
        return AvailabilityCode.CONSTRAINT_FILTERED
    return AvailabilityCode.NO_ENDPOINTS


def _paid_variants(choice: Choice) -> list[str]:
    return [model.id.removesuffix(_FREE_SUFFIX) for model in choice.models if model.id.endswith(_FREE_SUFFIX)]


def _constraint(choice: Choice, demand: Demand, reasons: set[ExcludedBy]) -> tuple[str, str] | None:
    """The member of the request that excludes most endpoints."""
    counts = Counter(exclusion.reason for exclusion in choice.excluded if exclusion.reason in reasons & _PUBLIC_REASONS)
    if not counts:
        return None
    reason = min(counts, key=lambda each: (-counts[each], each.value))
    exclusion = next(each for each in choice.excluded if each.reason is reason)
    length_field = "max_tokens" if demand.output_limit is not None else "messages"
    field = {
        ExcludedBy.ALLOWED_PROVIDERS: f"provider.{exclusion.detail}",
        ExcludedBy.TRAINING: "provider.data_collection",
        ExcludedBy.ZDR: "provider.zdr",
        ExcludedBy.DATA_REGION: "data_region",
        ExcludedBy.QUANTIZATION: "provider.quantizations",
        ExcludedBy.MAX_PRICE: f"provider.max_price.{exclusion.detail}",
        ExcludedBy.REQUIRE_PARAMETERS: "provider.require_parameters",
        ExcludedBy.CONTEXT_LENGTH: length_field,
    }[reason]
    return field, f"{exclusion.endpoint.id}: {exclusion.detail or reason.value}"


def _message(choice: Choice, demand: Demand, reasons: set[ExcludedBy]) -> str:
    names = _names(choice)
    by_reason = {exclusion.reason: exclusion for exclusion in reversed(choice.excluded)}
    if ExcludedBy.TOOLS in reasons:
        tool = by_reason[ExcludedBy.TOOLS].detail
        return f'No endpoints found that support tool use. Try disabling "{tool}".'
    if ExcludedBy.MODALITY in reasons:
        return f"No endpoints found that support {by_reason[ExcludedBy.MODALITY].detail}"
    if reasons == {ExcludedBy.ALLOWED_PROVIDERS}:
        serving = ", ".join(sorted({each.endpoint.provider.slug for each in choice.excluded}))
        told = f"No allowed providers are available for the selected model. Providers serving {names}: {serving}"
        if demand.only is None:
            return f"{told}."
        return f"{told}, but your request's provider.only preference permits only: {', '.join(demand.only) or 'none'}."
    if reasons == {ExcludedBy.EXPIRED}:
        return f"{names} is no longer offered"
    if reasons and reasons <= _PRIVACY:
        return "No endpoints found matching your data policy"
    public = sorted(reason for reason in reasons if reason in _PUBLIC_REASONS)
    if public:
        return f"No endpoints of {names} meet the request's requirements: {', '.join(public)}"
    return f"No endpoints found for {names}"


def _names(choice: Choice) -> str:
    return ", ".join(model.id for model in choice.models)
