"""Types of the answers about generations."""

from __future__ import annotations

from typing import Literal

from edge.api.http.answer import Answer, Data


class ProviderResponse(Answer, frozen=True, kw_only=True):
    """One attempt. `latency` is milliseconds; `status` is null where there was no answer."""

    endpoint_id: str
    is_byok: bool
    latency: float
    model_permaslug: str
    provider_name: str
    status: int | None
    id: str | None = None


class Generation(Answer, frozen=True, kw_only=True):
    """The record of a generation. Times are milliseconds, amounts dollars.

    `token_count_source` is Turnpike's own: `provider`, `tokenizer` (the model's, on our side) or `estimate`.
    """

    id: str
    upstream_id: str | None
    request_id: str | None
    session_id: str | None
    created_at: str
    model: str
    provider_name: str | None
    router: str | None
    preset_id: str | None
    service_tier: str | None
    api_type: str
    streamed: bool
    cancelled: bool
    finish_reason: str | None
    native_finish_reason: str | None
    latency: float | None
    generation_time: float | None
    moderation_latency: float | None
    tokens_prompt: int
    tokens_completion: int
    native_tokens_prompt: int
    native_tokens_completion: int
    native_tokens_cached: int
    native_tokens_reasoning: int
    native_tokens_completion_images: int | None
    token_count_source: Literal["provider", "tokenizer", "estimate"] | None
    num_media_prompt: int | None
    num_media_completion: int | None
    num_input_audio_prompt: int | None
    num_search_results: int | None
    num_fetches: int | None
    web_search_engine: str | None
    usage: float
    total_cost: float
    upstream_inference_cost: float | None
    cache_discount: float | None
    is_byok: bool
    origin: str
    http_referer: str | None
    user_agent: str | None
    app_id: int | None
    external_user: str | None
    workspace_id: str | None
    data_region: str
    response_cache_source_id: str | None
    provider_responses: list[ProviderResponse]


GenerationAnswer = Data[Generation]
