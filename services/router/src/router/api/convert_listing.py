"""The catalogue on the wire."""

from __future__ import annotations

from datetime import date, time

from google.protobuf.timestamp_pb2 import Timestamp

from contracts import money
from contracts.catalog import DataPolicy, Endpoint, Model, Provider, dearest_price
from contracts.catalog.price_schedule import PriceOverride
from router.catalog_listing import EndpointStatus, Listing
from turnpike.health.v1 import endpoint_verdict_pb2
from turnpike.router.v1 import catalog_pb2, router_service_pb2

_HEALTH = {
    None: endpoint_verdict_pb2.ENDPOINT_HEALTH_UNSPECIFIED,
    True: endpoint_verdict_pb2.ENDPOINT_HEALTH_HEALTHY,
    False: endpoint_verdict_pb2.ENDPOINT_HEALTH_UNHEALTHY,
}


def listing_to_proto(listing: Listing) -> router_service_pb2.ListModelsResponse:
    """Put the catalogue on the wire."""
    return router_service_pb2.ListModelsResponse(
        version=listing.version,
        models=[
            _model_to_proto(model, [_endpoint_to_proto(each, listing.statuses[each.id]) for each in model.endpoints])
            for model in listing.models
        ],
        providers=[_provider_to_proto(provider) for provider in listing.providers],
    )


def _provider_to_proto(provider: Provider) -> catalog_pb2.Provider:
    return catalog_pb2.Provider(
        slug=provider.slug,
        name=provider.name,
        privacy_policy_url=provider.privacy_policy_url,
        terms_of_service_url=provider.terms_of_service_url,
        status_page_url=provider.status_page_url,
        headquarters=provider.headquarters,
        datacenters=provider.datacenters,
        simulated=provider.simulated,
    )


def _model_to_proto(model: Model, endpoints: list[catalog_pb2.Endpoint]) -> catalog_pb2.Model:
    created = Timestamp()
    created.FromDatetime(model.created)
    return catalog_pb2.Model(
        id=model.id,
        canonical_slug=model.canonical_slug,
        name=model.name,
        description=model.description,
        created_at=created,
        context_length=model.context_length,
        input_modalities=model.input_modalities,
        output_modalities=model.output_modalities,
        tokenizer=model.tokenizer,
        hugging_face_id=model.hugging_face_id,
        endpoints=endpoints,
        aliases=model.aliases,
        expiration_date=_day(model.expiration_date),
    )


def _endpoint_to_proto(endpoint: Endpoint, status: EndpointStatus) -> catalog_pb2.Endpoint:
    schedule = endpoint.price_schedule
    return catalog_pb2.Endpoint(
        id=endpoint.id,
        model_id=endpoint.model_id,
        provider=endpoint.provider.slug,
        provider_name=endpoint.provider.name,
        tag=endpoint.tag,
        price=money.price_to_proto(endpoint.price),
        context_length=endpoint.context_length,
        max_completion_tokens=endpoint.max_completion_tokens,
        supported_parameters=sorted(endpoint.supported_parameters),
        quantization=endpoint.quantization,
        routable=status.routable,
        simulated=endpoint.provider.simulated,
        health=_HEALTH[status.healthy],
        dearest_price=money.price_to_proto(dearest_price(endpoint)) if schedule is not None else None,
        data_policy=_policy_to_proto(endpoint.data_policy),
        price_overrides=[_override_to_proto(each) for each in schedule.overrides] if schedule is not None else (),
        service_tier=endpoint.service_tier,
        region=endpoint.region,
        datacenters=endpoint.datacenters,
        expiration_date=_day(endpoint.expiration_date),
    )


def _policy_to_proto(policy: DataPolicy) -> catalog_pb2.DataPolicy:
    return catalog_pb2.DataPolicy(
        trains_on_prompts=policy.trains_on_prompts,
        retains_prompts=policy.retains_prompts,
        retention_days=policy.retention_days,
    )


def _override_to_proto(override: PriceOverride) -> catalog_pb2.PriceOverride:
    return catalog_pb2.PriceOverride(
        amounts_pico_usd=dict(override.amounts),
        min_prompt_tokens=override.min_prompt_tokens,
        utc_start=_clock(override.utc_start),
        utc_end=_clock(override.utc_end),
        utc_days=override.utc_days,
    )


def _day(day: date | None) -> str:
    return "" if day is None else day.isoformat()


def _clock(moment: time | None) -> str:
    return "" if moment is None else f"{moment:%H%M}"
