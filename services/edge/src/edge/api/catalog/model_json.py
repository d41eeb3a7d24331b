"""Models and endpoints in OpenRouter's shape, with every member that strict clients require."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from contracts import money
from turnpike.health.v1 import endpoint_verdict_pb2
from turnpike.router.v1 import catalog_pb2
from turnpike.usage.v1 import token_usage_pb2

_OK: Final = 0
# The mildest of the values below 0, which all mean that something is wrong with the endpoint.
_DEGRADED: Final = -1
# The gravest: there are no credentials for it here, so it is listed for its price and called by nobody.
_NOT_OFFERED: Final = -10


def model_json(model: catalog_pb2.Model) -> dict[str, Any]:
    """Describe a model. Its price is that of the endpoint with the cheapest output."""
    top = min(
        model.endpoints, key=lambda endpoint: (endpoint.price.completion_pico_usd, endpoint.price.prompt_pico_usd)
    )
    return {
        "id": model.id,
        "canonical_slug": model.canonical_slug or model.id,
        "hugging_face_id": model.hugging_face_id,
        "name": model.name,
        "created": model.created_at.seconds,
        "description": model.description,
        "context_length": model.context_length,
        "architecture": architecture_json(model),
        "pricing": pricing_json(top.price),
        "top_provider": {
            "context_length": top.context_length,
            "max_completion_tokens": top.max_completion_tokens or None,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": _union(endpoint.supported_parameters for endpoint in model.endpoints),
        "default_parameters": None,
        "supported_voices": None,
        "knowledge_cutoff": None,
        "expiration_date": None,
        "links": {"details": f"/api/v1/models/{model.id}/endpoints"},
    }


def endpoints_json(model: catalog_pb2.Model, *, with_endpoints: bool = True) -> dict[str, Any]:
    """Describe a model with its endpoints.

    Args:
        model: to describe.
        with_endpoints: false for a variant of the model that does not exist.
    """
    return {
        "id": model.id,
        "name": model.name,
        "created": model.created_at.seconds,
        "description": model.description,
        "architecture": architecture_json(model),
        "endpoints": [endpoint_json(model, endpoint) for endpoint in model.endpoints] if with_endpoints else [],
    }


def endpoint_json(model: catalog_pb2.Model, endpoint: catalog_pb2.Endpoint) -> dict[str, Any]:
    """Describe an endpoint. Figures of its performance are null until there is somebody who measures them."""
    price = endpoint.price
    return {
        "name": f"{endpoint.provider_name} | {model.canonical_slug or model.id}",
        "model_id": model.id,
        "model_name": model.name,
        "context_length": endpoint.context_length,
        "pricing": pricing_json(price),
        "provider_name": endpoint.provider_name,
        "tag": endpoint.tag,
        "quantization": endpoint.quantization or "unknown",
        "max_completion_tokens": endpoint.max_completion_tokens or None,
        "max_prompt_tokens": None,
        "supported_parameters": list(endpoint.supported_parameters),
        "status": _status(endpoint),
        "uptime_last_5m": None,
        "uptime_last_30m": None,
        "uptime_last_1d": None,
        "latency_last_30m": None,
        "throughput_last_30m": None,
        # A price of its own for cached input is how a provider says that it caches.
        "supports_implicit_caching": price.cached_pico_usd != price.prompt_pico_usd,
        "supports_voice_cloning": False,
    }


def _status(endpoint: catalog_pb2.Endpoint) -> int:
    if not endpoint.routable:
        return _NOT_OFFERED
    return _DEGRADED if endpoint.health == endpoint_verdict_pb2.ENDPOINT_HEALTH_UNHEALTHY else _OK


def architecture_json(model: catalog_pb2.Model) -> dict[str, Any]:
    """Describe what a model reads and writes."""
    reads, writes = list(model.input_modalities), list(model.output_modalities)
    return {
        "modality": f"{'+'.join(reads)}->{'+'.join(writes)}",
        "input_modalities": reads,
        "output_modalities": writes,
        "tokenizer": model.tokenizer or "Other",
        "instruct_type": None,
    }


def pricing_json(price: token_usage_pb2.Price) -> dict[str, str]:
    """State a price: decimal strings, dollars per token. What costs the same as its plain kind is left out."""
    pricing = {
        "prompt": money.pico_to_decimal_text(price.prompt_pico_usd),
        "completion": money.pico_to_decimal_text(price.completion_pico_usd),
    }
    if price.request_pico_usd:
        pricing["request"] = money.pico_to_decimal_text(price.request_pico_usd)
    for name, amount in (
        ("image_output", price.image_pico_usd),
        ("audio_second", price.second_pico_usd),
        ("character", price.character_pico_usd),
        ("search_unit", price.search_unit_pico_usd),
    ):
        if amount:
            pricing[name] = money.pico_to_decimal_text(amount)
    if price.reasoning_pico_usd != price.completion_pico_usd:
        pricing["internal_reasoning"] = money.pico_to_decimal_text(price.reasoning_pico_usd)
    if price.cached_pico_usd != price.prompt_pico_usd:
        pricing["input_cache_read"] = money.pico_to_decimal_text(price.cached_pico_usd)
    if price.cache_write_pico_usd != price.prompt_pico_usd:
        pricing["input_cache_write"] = money.pico_to_decimal_text(price.cache_write_pico_usd)
    return pricing


def _union(lists: Iterable[Iterable[str]]) -> list[str]:
    return sorted({name for names in lists for name in names})
