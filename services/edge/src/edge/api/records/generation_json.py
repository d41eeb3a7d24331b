"""The record of a generation in OpenRouter's shape."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from contracts import money
from contracts.apps import app_of
from edge.api.http.timestamps import timestamp_json
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

_API_TYPES: Final = {
    usage_event_pb2.OPERATION_EMBEDDINGS: "embeddings",
    usage_event_pb2.OPERATION_RERANK: "rerank",
    usage_event_pb2.OPERATION_SPEECH: "tts",
    usage_event_pb2.OPERATION_TRANSCRIPTION: "stt",
    usage_event_pb2.OPERATION_IMAGES: "image",
}
_SOURCES: Final = {
    token_usage_pb2.TOKEN_COUNT_SOURCE_PROVIDER: "provider",
    token_usage_pb2.TOKEN_COUNT_SOURCE_TOKENIZER: "tokenizer",
    token_usage_pb2.TOKEN_COUNT_SOURCE_ESTIMATE: "estimate",
}
_PICO_DIGITS: Final = 12


def generation_json(event: usage_event_pb2.UsageEvent, provider_names: Mapping[str, str]) -> dict[str, Any]:
    """Describe a generation. What this system does not have (moderation, web search) is null or 0.

    Args:
        event: the record.
        provider_names: display names of providers, by endpoint id; the provider's slug stands in for one that is gone.
    """
    usage = event.usage
    answered = bool(event.endpoint_id)
    cost = _dollars(event.cost_nano_usd)
    return {
        "id": event.generation_id,
        "upstream_id": event.upstream_id or None,
        "request_id": event.request_id or None,
        "session_id": event.session_id or None,
        "created_at": timestamp_json(event.started_at),
        "model": event.model or event.requested_model,
        "provider_name": provider_names.get(event.endpoint_id, event.provider) if answered else None,
        "router": None,
        "preset_id": None,
        "service_tier": event.service_tier or None,
        "api_type": _API_TYPES.get(event.operation, "completions"),
        "streamed": event.streamed,
        "cancelled": event.status == usage_event_pb2.GENERATION_STATUS_CANCELLED,
        "finish_reason": event.finish_reason or None,
        "native_finish_reason": event.native_finish_reason or None,
        "latency": event.first_token_ms if answered else None,
        "generation_time": event.generation_ms if answered else None,
        "moderation_latency": None,
        "tokens_prompt": usage.prompt_tokens,
        "tokens_completion": usage.completion_tokens,
        "native_tokens_prompt": usage.prompt_tokens,
        "native_tokens_completion": usage.completion_tokens,
        "native_tokens_cached": usage.cached_tokens,
        "native_tokens_reasoning": usage.reasoning_tokens,
        "native_tokens_completion_images": 0,
        "token_count_source": _SOURCES.get(usage.source),
        "num_media_prompt": None,
        "num_media_completion": usage.images,
        "num_input_audio_prompt": None,
        "num_search_results": None,
        "num_fetches": 0,
        "web_search_engine": None,
        "usage": cost,
        "total_cost": cost,
        "upstream_inference_cost": _dollars(event.provider_cost_nano_usd) if event.is_byok else None,
        "cache_discount": _cache_discount(event),
        "is_byok": event.is_byok,
        "origin": event.http_referer,
        "http_referer": event.http_referer or None,
        "user_agent": event.user_agent or None,
        "app_id": app_of(event.http_referer, event.app_title).app_id or None,
        "external_user": event.external_user or None,
        # The first workspace has the id of its organisation.
        "workspace_id": event.workspace_id or event.org_id,
        "data_region": "global",
        "response_cache_source_id": None,
        "provider_responses": [_attempt_json(event, attempt, provider_names) for attempt in event.attempts],
    }


def _dollars(nano: int) -> msgspec.Raw:
    return msgspec.Raw(money.usd_text(nano).encode())


def _cache_discount(event: usage_event_pb2.UsageEvent) -> msgspec.Raw | None:
    """What the provider's cache saved, in dollars; negative where writing to it cost more. None when it was not used."""
    usage, price = event.usage, event.price
    if not usage.cached_tokens and not usage.cache_write_tokens:
        return None
    saved = usage.cached_tokens * (price.prompt_pico_usd - price.cached_pico_usd)
    saved += usage.cache_write_tokens * (price.prompt_pico_usd - price.cache_write_pico_usd)
    return msgspec.Raw(format(Decimal(saved).scaleb(-_PICO_DIGITS).normalize(), "f").encode())


def _attempt_json(
    event: usage_event_pb2.UsageEvent, attempt: usage_event_pb2.Attempt, provider_names: Mapping[str, str]
) -> dict[str, Any]:
    document = {
        "endpoint_id": attempt.endpoint_id,
        "is_byok": event.is_byok and attempt.outcome == usage_event_pb2.ATTEMPT_OUTCOME_SUCCESS,
        "latency": attempt.latency_ms,
        "model_permaslug": event.model or event.requested_model,
        "provider_name": provider_names.get(attempt.endpoint_id, attempt.provider),
        "status": attempt.status_code or None,
    }
    if attempt.outcome == usage_event_pb2.ATTEMPT_OUTCOME_SUCCESS and event.upstream_id:
        document["id"] = event.upstream_id
    return document
