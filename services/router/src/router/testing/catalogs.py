"""Small catalogues, written as the files that operators write and read by the real reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import yaml

from contracts.catalog import Catalog, parse_catalog

ALL_PARAMETERS = (
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "tools",
    "tool_choice",
    "response_format",
    "logprobs",
)


@dataclass(frozen=True)
class Offer:
    """An endpoint of a test. Prices are dollars per token."""

    provider: str
    prompt: str = "0.000001"
    completion: str = "0.000002"
    cached: str = ""
    url: str = "http://127.0.0.1:9"
    model: str = "acme/one"
    upstream_model: str = "one"
    tag: str = ""
    context_length: int = 8192
    max_completion_tokens: int = 0
    parameters: Sequence[str] = ALL_PARAMETERS
    quantization: str = "unknown"
    trains: bool = False
    retains: bool = False
    dialect: str = "openai-compatible"
    quirks: Sequence[str] = ()
    service_tier: str = ""
    datacenters: Sequence[str] = ()
    expiration_date: str = ""
    input_modalities: Sequence[str] = ()
    """Of its model, where they are not the catalogue's; likewise `output_modalities`. The first offer of a model counts."""
    output_modalities: Sequence[str] = ("text",)
    prices: Mapping[str, str] = field(default_factory=dict)
    """Of other kinds than tokens, by kind."""
    tokenizer: str = "Other"
    """Of its model; the first offer of a model counts."""


def catalog_text(offers: Sequence[Offer], modalities: Sequence[str] = ("text",)) -> str:
    """Write the catalogue file of some offers."""
    providers = {
        offer.provider: {
            "slug": offer.provider,
            "name": offer.provider.title(),
            "base_url": offer.url,
            "dialect": offer.dialect,
            "data_policy": {"trains_on_prompts": offer.trains, "retains_prompts": offer.retains},
        }
        for offer in offers
    }
    models: dict[str, dict[str, Any]] = {}
    for offer in offers:
        model = models.setdefault(
            offer.model,
            {
                "id": offer.model,
                "canonical_slug": f"{offer.model}-20260101",
                "name": offer.model.title(),
                "description": "A model.",
                "created": "2026-01-01",
                "input_modalities": list(offer.input_modalities or modalities),
                "output_modalities": list(offer.output_modalities),
                "tokenizer": offer.tokenizer,
                "endpoints": [],
            },
        )
        model["endpoints"].append(_endpoint(offer))
    text = yaml.safe_dump({"providers": list(providers.values()), "models": list(models.values())})
    # A date in YAML has no quotes.
    return text.replace("'2026-01-01'", "2026-01-01")


def _endpoint(offer: Offer) -> dict[str, Any]:
    endpoint: dict[str, Any] = {
        "provider": offer.provider,
        "tag": offer.tag or offer.provider,
        "upstream_model": offer.upstream_model,
        "price": {"prompt": offer.prompt, "completion": offer.completion, **offer.prices},
        "context_length": offer.context_length,
        "max_completion_tokens": offer.max_completion_tokens,
        "supported_parameters": list(offer.parameters),
        "quantization": offer.quantization,
        "data_policy": {"trains_on_prompts": offer.trains, "retains_prompts": offer.retains},
    }
    if offer.service_tier:
        endpoint["service_tier"] = offer.service_tier
    if offer.datacenters:
        endpoint["datacenters"] = list(offer.datacenters)
    if offer.expiration_date:
        endpoint["expiration_date"] = date.fromisoformat(offer.expiration_date)
    if offer.cached:
        endpoint["price"]["cached"] = offer.cached
    if offer.quirks:
        endpoint["quirks"] = list(offer.quirks)
    return endpoint


def catalog_of(*offers: Offer, modalities: Sequence[str] = ("text",)) -> Catalog:
    """Make the catalogue of some offers."""
    return parse_catalog([("catalog.yaml", catalog_text(offers, modalities))])
