"""Which endpoints can serve a request at all, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from contracts.catalog import Endpoint, Model, price_for
from dialects.parameters import supports
from router.domain.data_regions import countries_of
from router.domain.demand import Demand


class ExcludedBy(StrEnum):
    """Why an endpoint cannot serve a request. The public API's words where it has one."""

    ALLOWED_PROVIDERS = "allowed_providers"
    ALLOWED_MODELS = "allowed_models"
    """Its model is not for this caller."""
    TRAINING = "data_policy:training"
    ZDR = "data_policy:zdr"
    DATA_REGION = "data_region"
    QUANTIZATION = "quantization"
    MAX_PRICE = "max_price"
    REQUIRE_PARAMETERS = "require_parameters"
    CONTEXT_LENGTH = "context_length"
    TOOLS = "tools"
    MODALITY = "modality"
    SERVICE_TIER = "service_tier"
    """It serves another tier than the one that is asked for."""
    EXPIRED = "expired"
    """Its provider has stopped offering it."""
    CREDENTIALS = "credentials"
    """The operator has no key for the provider."""
    RATE_LIMITED = "rate_limited"
    """The provider has named a time before which it takes no call."""
    FALLBACKS = "allow_fallbacks"
    """The caller forbids falling back to it."""


_COMPLETION_TOKENS = "completion tokens"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """An endpoint that cannot serve the request.

    Attributes:
        endpoint: which.
        reason: why.
        detail: what the reason is about, such as the parameter.
        wait: seconds until the reason may be gone, 0 when it does not go by itself.
    """

    endpoint: Endpoint
    reason: ExcludedBy
    detail: str = ""
    wait: float = 0.0

    @property
    def about_output(self) -> bool:
        """Whether it is the answer alone that would be too long."""
        return self.reason is ExcludedBy.CONTEXT_LENGTH and self.detail.endswith(_COMPLETION_TOKENS)


# Parameters that narrow the choice when some endpoint supports them, and are dropped when none does.
SOFT_PARAMETERS = ("response_format", "verbosity")


def partition(
    model: Model, endpoints: Iterable[Endpoint], demand: Demand, credentials: Container[str], at: datetime
) -> tuple[list[Endpoint], list[Exclusion]]:
    """Split endpoints of a model into those that can serve the request and those that cannot.

    Args:
        model: the model.
        endpoints: its endpoints, or some of them.
        demand: what the request asks.
        credentials: slugs of the providers that can be called.
        at: the time, with a zone. The endpoints come with the price that they have now for a prompt of this length.
    """
    eligible: list[Endpoint] = []
    excluded: list[Exclusion] = []
    for listed in endpoints:
        endpoint = listed
        if listed.price_schedule is not None:
            endpoint = replace(listed, price=price_for(listed, demand.prompt_tokens, at))
        exclusion = _hard(model, endpoint, demand, credentials, at)
        if exclusion is None:
            eligible.append(endpoint)
        else:
            excluded.append(exclusion)
    return eligible, excluded


def soft_parameters(demand: Demand) -> list[str]:
    """The request's parameters that narrow the choice where some endpoint supports them."""
    return [parameter for parameter in SOFT_PARAMETERS if parameter in demand.parameters]


def narrow(eligible: list[Endpoint], demand: Demand, excluded: list[Exclusion]) -> list[Endpoint]:
    """Keep those that support the soft parameters of the request, as far as there are any; note the others as excluded."""
    for parameter in soft_parameters(demand):
        eligible = _prefer(eligible, parameter, excluded)
    return eligible


def _prefer(eligible: list[Endpoint], parameter: str, excluded: list[Exclusion]) -> list[Endpoint]:
    able = [endpoint for endpoint in eligible if supports(parameter, endpoint.supported_parameters)]
    if not able or len(able) == len(eligible):
        return eligible
    excluded.extend(
        Exclusion(endpoint, ExcludedBy.REQUIRE_PARAMETERS, parameter) for endpoint in eligible if endpoint not in able
    )
    return able


def _hard(
    model: Model, endpoint: Endpoint, demand: Demand, credentials: Container[str], at: datetime
) -> Exclusion | None:
    if not demand.policy.allows_model(model):
        return Exclusion(endpoint, ExcludedBy.ALLOWED_MODELS)
    for check in _CHECKS:
        found = check(endpoint, demand)
        if found is not None:
            return Exclusion(endpoint, found[0], found[1])
    missing = demand.input_modalities - set(model.input_modalities)
    if missing:
        return Exclusion(endpoint, ExcludedBy.MODALITY, f"{min(missing)} input")
    missing = demand.output_modalities - set(model.output_modalities)
    if missing:
        return Exclusion(endpoint, ExcludedBy.MODALITY, f"{min(missing)} output")
    if endpoint.expiration_date is not None and endpoint.is_expired(at.date()):
        return Exclusion(endpoint, ExcludedBy.EXPIRED, f"since {endpoint.expiration_date}")
    if endpoint.provider.slug not in credentials:
        return Exclusion(endpoint, ExcludedBy.CREDENTIALS)
    return None


def names(slug: str, endpoint: Endpoint) -> bool:
    """Whether a caller's word means an endpoint: a whole tag means one, a provider's slug all but those of service tiers."""
    slug = slug.lower()
    return slug == endpoint.tag or (slug == endpoint.provider.slug and not endpoint.service_tier)


def _providers(endpoint: Endpoint, demand: Demand) -> tuple[ExcludedBy, str] | None:
    if demand.only is not None and not any(names(slug, endpoint) for slug in demand.only):
        return ExcludedBy.ALLOWED_PROVIDERS, "only"
    if any(names(slug, endpoint) for slug in demand.ignore):
        return ExcludedBy.ALLOWED_PROVIDERS, "ignore"
    if not demand.policy.allows_provider(endpoint):
        return ExcludedBy.ALLOWED_PROVIDERS, "policy"
    return None


def _service_tier(endpoint: Endpoint, demand: Demand) -> tuple[ExcludedBy, str] | None:
    """An endpoint of a tier serves only who asks for the tier, or for the endpoint by its tag."""
    tier = endpoint.service_tier
    if not tier or tier == demand.tier or tier in demand.admitted_tiers:
        return None
    if endpoint.tag in demand.order or endpoint.tag in (demand.only or ()):
        return None
    return ExcludedBy.SERVICE_TIER, tier


def _data_policy(endpoint: Endpoint, demand: Demand) -> tuple[ExcludedBy, str] | None:
    policy, data = demand.policy, endpoint.data_policy
    if data.retains_prompts and (demand.zero_retention or policy.requires_zero_retention(endpoint)):
        return ExcludedBy.ZDR, ""
    if (demand.deny_training and data.trains_on_prompts) or policy.denies_training(endpoint):
        return ExcludedBy.TRAINING, ""
    return None


def _data_region(endpoint: Endpoint, demand: Demand) -> tuple[ExcludedBy, str] | None:
    """An endpoint is in a region when every place is known where it runs, and each is in it."""
    if not demand.data_region:
        return None
    places = endpoint.datacenters or endpoint.provider.datacenters
    inside = countries_of(demand.data_region)
    if places and inside.issuperset(places):
        return None
    return ExcludedBy.DATA_REGION, ", ".join(places) or "not known where"


def _quantization(endpoint: Endpoint, demand: Demand) -> tuple[ExcludedBy, str] | None:
    if demand.quantizations and endpoint.quantization not in demand.quantizations:
        return ExcludedBy.QUANTIZATION, endpoint.quantization
    return None


def _price(endpoint: Endpoint, demand: Demand) -> tuple[ExcludedBy, str] | None:
    for name, amount, limit in (
        ("prompt", endpoint.price.prompt, demand.ceiling.prompt),
        ("completion", endpoint.price.completion, demand.ceiling.completion),
        ("request", endpoint.price.request, demand.ceiling.request),
    ):
        if limit is not None and amount > limit:
            return ExcludedBy.MAX_PRICE, name
    return None


def _parameters(endpoint: Endpoint, demand: Demand) -> tuple[ExcludedBy, str] | None:
    if demand.tool_name is not None and "tools" not in endpoint.supported_parameters:
        return ExcludedBy.TOOLS, demand.tool_name
    for parameter in demand.needed:
        if not supports(parameter, endpoint.supported_parameters):
            return ExcludedBy.REQUIRE_PARAMETERS, parameter
    if demand.require_parameters:
        for parameter in demand.parameters:
            if not supports(parameter, endpoint.supported_parameters):
                return ExcludedBy.REQUIRE_PARAMETERS, parameter
    return None


def _length(endpoint: Endpoint, demand: Demand) -> tuple[ExcludedBy, str] | None:
    limit = demand.output_limit or 1
    if endpoint.max_completion_tokens and limit > endpoint.max_completion_tokens:
        return ExcludedBy.CONTEXT_LENGTH, f"at most {endpoint.max_completion_tokens} {_COMPLETION_TOKENS}"
    prompt = 0 if demand.compresses_for(endpoint.context_length) else demand.least_prompt_tokens
    if prompt + limit > endpoint.context_length:
        return ExcludedBy.CONTEXT_LENGTH, f"at most {endpoint.context_length} tokens"
    return None


_CHECKS: Sequence[Callable[[Endpoint, Demand], tuple[ExcludedBy, str] | None]] = (
    _providers,
    _service_tier,
    _data_policy,
    _data_region,
    _quantization,
    _price,
    _parameters,
    _length,
)
