"""Types of the answers about models, endpoints and providers: every member that strict clients require."""

from __future__ import annotations

from typing import Any

from edge.api.http.answer import Answer, Data


class Architecture(Answer, frozen=True, kw_only=True):
    """What a model reads and writes."""

    modality: str | None
    input_modalities: list[str]
    output_modalities: list[str]
    tokenizer: str
    instruct_type: str | None


class Pricing(Answer, frozen=True, kw_only=True):
    """Dollars per unit, as decimal strings. What costs the same as its plain kind is absent."""

    prompt: str
    completion: str
    request: str | None = None
    internal_reasoning: str | None = None
    input_cache_read: str | None = None
    input_cache_write: str | None = None


class TopProvider(Answer, frozen=True, kw_only=True):
    """The endpoint whose price and limits stand for the model."""

    context_length: int | None
    max_completion_tokens: int | None
    is_moderated: bool


class Details(Answer, frozen=True, kw_only=True):
    """Paths of more about the model."""

    details: str


class Model(Answer, frozen=True, kw_only=True):
    """A model that can be called here. `created` is Unix seconds."""

    id: str
    canonical_slug: str
    hugging_face_id: str | None
    name: str
    created: int
    description: str
    context_length: int | None
    architecture: Architecture
    pricing: Pricing
    top_provider: TopProvider
    per_request_limits: dict[str, Any] | None
    supported_parameters: list[str]
    default_parameters: dict[str, Any] | None
    supported_voices: list[str] | None
    knowledge_cutoff: str | None
    expiration_date: str | None
    links: Details


class PageLinks(Answer, frozen=True, kw_only=True):
    """Where the next page is; null on the last one."""

    next: str | None


class ModelList(Answer, frozen=True, kw_only=True):
    """Models, all of them or a page."""

    data: list[Model]
    links: PageLinks
    total_count: int


class Percentiles(Answer, frozen=True, kw_only=True):
    """Of half an hour: milliseconds to the first token, or tokens per second."""

    p50: float
    p75: float
    p90: float
    p99: float


class Endpoint(Answer, frozen=True, kw_only=True):
    """A model at a provider. Uptimes are percentages; figures are null where too little was measured."""

    name: str
    model_id: str
    model_name: str
    context_length: int
    pricing: Pricing
    provider_name: str
    tag: str
    quantization: str | None
    max_completion_tokens: int | None
    max_prompt_tokens: int | None
    supported_parameters: list[str]
    status: int
    uptime_last_5m: float | None
    uptime_last_30m: float | None
    uptime_last_1d: float | None
    latency_last_30m: Percentiles | None
    throughput_last_30m: Percentiles | None
    supports_implicit_caching: bool
    supports_voice_cloning: bool


class ModelEndpoints(Answer, frozen=True, kw_only=True):
    """A model with its endpoints."""

    id: str
    name: str
    created: int
    description: str
    architecture: Architecture
    endpoints: list[Endpoint]


ModelAnswer = Data[Model]
EndpointsAnswer = Data[ModelEndpoints]
