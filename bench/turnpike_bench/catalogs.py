"""Made-up catalogues of any size, in memory."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.catalog import Catalog, DataPolicy, Endpoint, Model, Provider
from contracts.ids import EndpointId, ModelId
from contracts.money import PicoUsd, UnitPrice

_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
_PARAMETERS = frozenset({"max_tokens", "temperature", "top_p", "stop", "seed", "tools", "response_format"})


def made_up_catalog(models: int, endpoints: int) -> Catalog:
    """A catalogue of so many models (`bench/m0`, …) with so many endpoints each, all priced a little differently."""
    providers = {
        f"p{number}": Provider(f"p{number}", f"P{number}", "http://127.0.0.1:9") for number in range(endpoints)
    }
    made = [_model(ModelId(f"bench/m{number}"), list(providers.values())) for number in range(models)]
    return Catalog(
        version="bench",
        providers=providers,
        models={model.id: model for model in made},
        endpoints={endpoint.id: endpoint for model in made for endpoint in model.endpoints},
        names={model.id: model for model in made},
    )


def _model(model_id: ModelId, providers: list[Provider]) -> Model:
    return Model(
        id=model_id,
        canonical_slug=f"{model_id}-20260101",
        name="Bench",
        description="Made up.",
        created=_CREATED,
        input_modalities=("text",),
        output_modalities=("text",),
        tokenizer="Other",
        hugging_face_id="",
        aliases=(),
        endpoints=tuple(_endpoint(model_id, provider, number) for number, provider in enumerate(providers)),
    )


def _endpoint(model_id: ModelId, provider: Provider, number: int) -> Endpoint:
    price = PicoUsd(1_000_000 + 50_000 * number)
    return Endpoint(
        id=EndpointId(f"{model_id}@{provider.slug}"),
        model_id=model_id,
        provider=provider,
        tag=provider.slug,
        upstream_model="bench",
        price=UnitPrice(f"v{number}", price, price, price, PicoUsd(price // 4), price),
        price_as_of=None,
        price_source="made up",
        context_length=128_000,
        max_completion_tokens=8_192,
        supported_parameters=_PARAMETERS,
        quantization="fp8",
        data_policy=DataPolicy(),
    )
