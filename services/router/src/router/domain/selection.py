"""From a request to the list of endpoints to try: resolve the models, filter, rank. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from contracts.catalog import Catalog, Endpoint, Model
from contracts.error_types import AvailabilityCode
from contracts.errors import ErrorReason
from contracts.ids import EndpointId
from contracts.operations import Operation
from router.domain.availability import availability, shortened
from router.domain.demand import Demand, Strategy
from router.domain.eligibility import ExcludedBy, Exclusion, names, narrow, partition
from router.domain.errors import NoEndpointsError, RefusalError, RequestRefusedError
from router.domain.health_view import EndpointState, Standing
from router.domain.ranking import Candidate, Continuation, rank
from router.domain.sampling import looks_at_all, sample

# Attempts for each model of the request, and models after the first.
MAX_ATTEMPTS = 3
MAX_FALLBACK_MODELS = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a request may go.

    Attributes:
        models: the models in order of preference, at least one.
        candidates: endpoints in the order of attempts, of all models; the callable ones only.
        excluded: the rest, with the reason.
        strategy: what ordered the candidates: share or price2, order, or a sort of the caller.
    """

    models: tuple[Model, ...]
    candidates: tuple[Candidate, ...]
    excluded: tuple[Exclusion, ...]
    strategy: str

    @property
    def attempts(self) -> tuple[Candidate, ...]:
        """The candidates that are tried: MAX_ATTEMPTS of each model."""
        counts: dict[str, int] = {}
        taken = []
        for candidate in self.candidates:
            model = candidate.endpoint.model_id
            counts[model] = counts.get(model, 0) + 1
            if counts[model] <= MAX_ATTEMPTS:
                taken.append(candidate)
        return tuple(taken)


def choose(
    catalog: Catalog,
    demand: Demand,
    credentials: Container[str],
    state_of: Callable[[EndpointId], EndpointState],
    random: Random,
    *,
    at: datetime,
    strategy: Strategy = "share",
    continuation: Continuation | None = None,
    complete: bool = False,
) -> Choice:
    """Say where a request may go, and in which order.

    Args:
        catalog: what is on offer.
        demand: what the request asks.
        credentials: slugs of the providers that can be called.
        state_of: what is known of an endpoint's health.
        random: decides the draws; the same source gives the same choice.
        at: the time, with a zone: prices may depend on it.
        strategy: how traffic is shared out, where the request does not say.
        continuation: the conversation that the request is part of; None where it should not matter.
        complete: look at every endpoint, also where a sample of very many would do (`router.domain.sampling`).

    Raises:
        RefusalError: the request names no model, or one that is not on offer.
    """
    models = resolve(catalog, demand)
    strategy = demand.strategy or strategy
    candidates: list[Candidate] = []
    excluded: list[Exclusion] = []
    pool: list[Endpoint] = []

    # Asked of a sampled endpoint twice: when it is drawn, and when it is weighed.
    states: dict[EndpointId, EndpointState] = {}

    def state(endpoint: Endpoint) -> EndpointState:
        known = states.get(endpoint.id)
        if known is None:
            known = states[endpoint.id] = state_of(endpoint.id)
        return known

    def ranked(endpoints: list[Endpoint], wanted: Demand) -> list[Candidate]:
        return rank(endpoints, wanted, state, random, strategy=strategy, continuation=continuation)

    for model in models:
        if complete or looks_at_all(model, demand):
            eligible, others = partition(model, model.endpoints, demand, credentials, at)
        else:
            eligible, others = sample(model, demand, credentials, state, random, at=at, continuation=continuation)
        excluded += others
        eligible = narrow(eligible, demand, excluded)
        if demand.pooled:
            pool += eligible
        else:
            for group, wanted in by_service_tier(eligible, demand, excluded):
                candidates += _callable(ranked(group, wanted), demand, excluded)
    if demand.pooled:
        # Sorting in one pool is what the caller wants, so without a sort the price decides.
        by_price = demand if demand.sort else replace(demand, sort="price")
        candidates = _callable(ranked(pool, by_price), demand, excluded)
    if not demand.allow_fallbacks:
        candidates = _without_fallbacks(candidates, demand, excluded)
    named = "order" if demand.order else demand.sort or ("price" if demand.pooled else strategy)
    return Choice(models, tuple(candidates), tuple(excluded), named)


def by_service_tier(
    eligible: list[Endpoint], demand: Demand, excluded: list[Exclusion]
) -> list[tuple[list[Endpoint], Demand]]:
    """Split endpoints into the groups that are tried one after the other, with how each is ordered.

    Who asks for `priority` gets its endpoints first, the fastest in front, and then the ordinary ones. Who asks for `flex`
    gets its endpoints only, the cheapest in front, as long as there are any. Source: OpenRouter's service tiers.
    """
    tiered = [endpoint for endpoint in eligible if demand.tier and endpoint.service_tier == demand.tier]
    if not tiered or demand.order:
        return [(eligible, demand)]
    others = [endpoint for endpoint in eligible if endpoint.service_tier != demand.tier]
    if demand.tier == "flex":
        excluded += [Exclusion(endpoint, ExcludedBy.SERVICE_TIER, "flex") for endpoint in others]
        return [(tiered, replace(demand, sort=demand.sort or "price"))]
    return [(tiered, replace(demand, sort=demand.sort or "throughput")), (others, demand)]


def resolve(catalog: Catalog, demand: Demand) -> tuple[Model, ...]:
    """Find the models that a request names, each once.

    Raises:
        RefusalError: it names none, too many, one that is not on offer, or one that does not chat.
    """
    if not demand.models:
        raise RequestRefusedError(ErrorReason.INVALID_REQUEST, "model: required", param="model")
    if len(demand.models) > MAX_FALLBACK_MODELS + 1:
        raise RequestRefusedError(
            ErrorReason.INVALID_REQUEST, f"models: at most {MAX_FALLBACK_MODELS} fallbacks", param="models"
        )
    found: dict[str, Model] = {}
    for name in demand.models:
        model = catalog.model(name)
        if model is None:
            raise _not_found(catalog, name, demand)
        if demand.operation not in model.operations:
            raise _wrong_endpoint(model, demand)
        found[model.id] = model
    return tuple(found.values())


# Where each operation is asked for in the public API.
_PATHS = {
    Operation.COMPLETION: "/chat/completions",
    Operation.EMBEDDINGS: "/embeddings",
    Operation.RERANK: "/rerank",
    Operation.SPEECH: "/audio/speech",
    Operation.TRANSCRIPTION: "/audio/transcriptions",
    Operation.IMAGES: "/images",
}


def _wrong_endpoint(model: Model, demand: Demand) -> RequestRefusedError:
    what = model.output_modalities[0] if model.output_modalities else "text"
    places = " or ".join(_PATHS[operation] for operation in sorted(model.operations)) or "another service"
    return RequestRefusedError(
        ErrorReason.INVALID_REQUEST,
        f"{model.id} does not answer at {_PATHS[demand.operation]}: its output is {what}. Use {places}",
        param="model",
        availability=availability(
            AvailabilityCode.WRONG_ENDPOINT, demand.models, constraint=("model", f"output modality {what}")
        ),
    )


def _not_found(catalog: Catalog, name: str, demand: Demand) -> RefusalError:
    plain, _, variant = name.rpartition(":")
    base = catalog.model(plain) if plain else None
    if base is not None and variant == "free":
        return NoEndpointsError(
            ErrorReason.NO_ENDPOINTS,
            f"{shortened(name)} is no longer free of charge: use {base.id}",
            param="model",
            availability=availability(AvailabilityCode.FREE_VARIANT_ENDED, demand.models, fallback_models=[base.id]),
        )
    return RequestRefusedError(
        ErrorReason.MODEL_NOT_FOUND,
        f"{shortened(name)} is not a valid model ID",
        param="model" if name == demand.models[0] else "models",
        availability=availability(
            AvailabilityCode.MODEL_NOT_FOUND, demand.models, fallback_models=[base.id] if base is not None else ()
        ),
    )


def _callable(ranked: Sequence[Candidate], demand: Demand, excluded: list[Exclusion]) -> list[Candidate]:
    taken = []
    for candidate in ranked:
        if candidate.state.standing is Standing.FORBIDDEN:
            wait = candidate.state.cooling_for
            excluded.append(Exclusion(candidate.endpoint, ExcludedBy.RATE_LIMITED, f"for {wait:.0f} s", wait))
        else:
            taken.append(candidate)
    return taken


def _without_fallbacks(candidates: list[Candidate], demand: Demand, excluded: list[Exclusion]) -> list[Candidate]:
    """Keep the first, or those that the caller has put in order."""
    if demand.order:
        kept = [each for each in candidates if any(names(slug, each.endpoint) for slug in demand.order)]
    else:
        kept = candidates[:1]
    excluded += [Exclusion(each.endpoint, ExcludedBy.FALLBACKS) for each in candidates if each not in kept]
    return kept
