"""Models and endpoints in OpenRouter's shape, with every member that strict clients require."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from edge.api.catalog.pricing_json import overrides_json, pricing_json
from edge.api.catalog.rows import Row
from turnpike.health.v1 import endpoint_verdict_pb2
from turnpike.metering.v1 import endpoint_stats_pb2
from turnpike.router.v1 import catalog_pb2

_OK: Final = 0
# The mildest of the values below 0, which all mean that something is wrong with the endpoint.
_DEGRADED: Final = -1
# The gravest: there are no credentials for it here, so it is listed for its price and called by nobody.
_NOT_OFFERED: Final = -10
_NO_DEFAULTS: Final = dict.fromkeys(
    ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "repetition_penalty")
)
_PERCENT: Final = 100
# What the lines of aliases have for a tokenizer: it is that of whichever model they stand for.
_TOKENIZER_OF_ALIASES: Final = "Router"


def model_json(row: Row) -> dict[str, Any]:
    """Describe a model, or an alias for one. Its price is that of the endpoint with the cheapest output."""
    model, top = row.model, row.top
    slug = row.alias or model.canonical_slug or model.id
    document = {
        "id": row.id,
        "canonical_slug": slug,
        "hugging_face_id": model.hugging_face_id,
        "name": f"{model.name} (latest)" if row.alias else model.name,
        "created": model.created_at.seconds,
        "description": model.description,
        "context_length": model.context_length,
        "architecture": architecture_json(model, is_alias=bool(row.alias)),
        "pricing": pricing_json(top.price) | overrides_json(top.price_overrides),
        "top_provider": {
            "context_length": top.context_length,
            "max_completion_tokens": top.max_completion_tokens or None,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": _union(endpoint.supported_parameters for endpoint in model.endpoints),
        "default_parameters": _NO_DEFAULTS,
        "supported_voices": None,
        "knowledge_cutoff": None,
        "expiration_date": model.expiration_date or None,
        "links": {"details": f"/api/v1/models/{slug}/endpoints"},
    }
    if row.alias:
        document["alias_target"] = {"name": model.name, "slug": model.id}
    return document


def endpoints_json(
    model: catalog_pb2.Model,
    endpoints: Iterable[tuple[catalog_pb2.Endpoint, endpoint_stats_pb2.EndpointStats | None]],
    *,
    with_speed: bool,
) -> dict[str, Any]:
    """Describe a model with its endpoints.

    Args:
        model: to describe.
        endpoints: of it, with what they did lately; none for a variant of the model that does not exist.
        with_speed: whether the caller may see how fast they are.
    """
    return {
        "id": model.id,
        "name": model.name,
        "created": model.created_at.seconds,
        "description": model.description,
        "architecture": architecture_json(model),
        "endpoints": [endpoint_json(model, endpoint, stats, with_speed=with_speed) for endpoint, stats in endpoints],
    }


def endpoint_json(
    model: catalog_pb2.Model,
    endpoint: catalog_pb2.Endpoint,
    stats: endpoint_stats_pb2.EndpointStats | None,
    *,
    with_speed: bool,
) -> dict[str, Any]:
    """Describe an endpoint. Figures that nobody measured are null."""
    price = endpoint.price
    chooses_tools = "tool_choice" in endpoint.supported_parameters
    return {
        "name": f"{endpoint.provider_name} | {model.canonical_slug or model.id}",
        "model_id": model.id,
        "model_name": model.name,
        "context_length": endpoint.context_length,
        "pricing": pricing_json(price) | overrides_json(endpoint.price_overrides),
        "provider_name": endpoint.provider_name,
        "tag": endpoint.tag,
        "quantization": endpoint.quantization or "unknown",
        "max_completion_tokens": endpoint.max_completion_tokens or None,
        "max_prompt_tokens": None,
        "supported_parameters": list(endpoint.supported_parameters),
        "status": _status(endpoint),
        "uptime_last_5m": _uptime(stats, "last_5m"),
        "uptime_last_30m": _uptime(stats, "last_30m"),
        "uptime_last_1d": _uptime(stats, "last_1d"),
        "latency_last_30m": _percentiles(stats, "first_token_ms") if with_speed else None,
        "throughput_last_30m": _percentiles(stats, "tokens_per_second") if with_speed else None,
        # A price of its own for cached input is how a provider says that it caches.
        "supports_implicit_caching": price.cached_pico_usd != price.prompt_pico_usd,
        "supports_voice_cloning": False,
        "supports_diarization": False,
        "supports_tool_choice": dict.fromkeys(("auto", "function", "none", "required"), chooses_tools),
        "native_tools": {},
        "service_tier": endpoint.service_tier or None,
    }


def _status(endpoint: catalog_pb2.Endpoint) -> int:
    if not endpoint.routable:
        return _NOT_OFFERED
    return _DEGRADED if endpoint.health == endpoint_verdict_pb2.ENDPOINT_HEALTH_UNHEALTHY else _OK


def _uptime(stats: endpoint_stats_pb2.EndpointStats | None, window: str) -> float | None:
    """In per cent."""
    found: endpoint_stats_pb2.EndpointWindow | None = getattr(stats, window, None)
    return found.uptime * _PERCENT if found is not None and found.HasField("uptime") else None


def _percentiles(stats: endpoint_stats_pb2.EndpointStats | None, measure: str) -> dict[str, float] | None:
    if stats is None or not stats.last_30m.HasField(measure):  # type: ignore[arg-type]  # one of two names of fields
        return None
    found: endpoint_stats_pb2.Percentiles = getattr(stats.last_30m, measure)
    return {"p50": found.p50, "p75": found.p75, "p90": found.p90, "p99": found.p99}


def architecture_json(model: catalog_pb2.Model, *, is_alias: bool = False) -> dict[str, Any]:
    """Describe what a model reads and writes."""
    reads, writes = list(model.input_modalities), list(model.output_modalities)
    return {
        "modality": f"{'+'.join(reads)}->{'+'.join(writes)}",
        "input_modalities": reads,
        "output_modalities": writes,
        "tokenizer": _TOKENIZER_OF_ALIASES if is_alias else model.tokenizer or "Other",
        "instruct_type": None,
    }


def _union(lists: Iterable[Iterable[str]]) -> list[str]:
    return sorted({name for names in lists for name in names})
