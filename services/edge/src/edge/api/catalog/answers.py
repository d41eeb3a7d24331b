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


class OtherPrices(Answer, frozen=True, kw_only=True):
    """Dollars per unit, as decimal strings, beside tokens in and out. What costs the same as its plain kind is absent."""

    request: str | None = None
    image_output: str | None = None
    audio_second: str | None = None
    character: str | None = None
    search_unit: str | None = None
    internal_reasoning: str | None = None
    input_cache_read: str | None = None
    input_cache_write: str | None = None


class PricingOverride(OtherPrices, frozen=True, kw_only=True):
    """What a price is while every condition is met; of several that hold the later one wins.

    `min_prompt_tokens` holds for longer prompts. `utc_start` and `utc_end` are times of day as numbers: 1630 is half past four.
    """

    prompt: str | None = None
    completion: str | None = None
    min_prompt_tokens: int | None = None
    utc_start: int | None = None
    utc_end: int | None = None
    utc_days: list[str] | None = None


class Pricing(OtherPrices, frozen=True, kw_only=True):
    """Dollars per unit, as decimal strings."""

    prompt: str
    completion: str
    overrides: list[PricingOverride] | None = None


class TopProvider(Answer, frozen=True, kw_only=True):
    """The endpoint whose price and limits stand for the model."""

    context_length: int | None
    max_completion_tokens: int | None
    is_moderated: bool


class Details(Answer, frozen=True, kw_only=True):
    """Paths of more about the model."""

    details: str


class DefaultParameters(Answer, frozen=True, kw_only=True):
    """What is sent where a request says nothing: nothing, so each is null."""

    temperature: float | None
    top_p: float | None
    top_k: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    repetition_penalty: float | None


class AliasTarget(Answer, frozen=True, kw_only=True):
    """The model that an alias stands for."""

    name: str
    slug: str


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
    default_parameters: DefaultParameters | None
    supported_voices: list[str] | None
    knowledge_cutoff: str | None
    expiration_date: str | None
    links: Details
    alias_target: AliasTarget | None = None


class PageLinks(Answer, frozen=True, kw_only=True):
    """Where the next page is; null on the last one."""

    next: str | None


class ModelList(Answer, frozen=True, kw_only=True):
    """Models, all of them or a page."""

    data: list[Model]
    links: PageLinks
    total_count: int


class Count(Answer, frozen=True, kw_only=True):
    """How many."""

    count: int


class SpeedPercentiles(Answer, frozen=True, kw_only=True):
    """Of half an hour: milliseconds to the first token, or tokens per second."""

    p50: float
    p75: float
    p90: float
    p99: float


class ToolChoiceSupport(Answer, frozen=True, kw_only=True):
    """Which values of `tool_choice` an endpoint honours."""

    auto: bool
    function: bool
    none: bool
    required: bool


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
    latency_last_30m: SpeedPercentiles | None
    throughput_last_30m: SpeedPercentiles | None
    supports_implicit_caching: bool
    supports_voice_cloning: bool
    supports_diarization: bool
    supports_tool_choice: ToolChoiceSupport
    native_tools: dict[str, Any]
    service_tier: str | None


class ModelEndpoints(Answer, frozen=True, kw_only=True):
    """A model with its endpoints."""

    id: str
    name: str
    created: int
    description: str
    architecture: Architecture
    endpoints: list[Endpoint]


class Provider(Answer, frozen=True, kw_only=True):
    """A company or a server that offers endpoints. Countries are ISO 3166 codes; what is not known is null."""

    name: str
    slug: str
    privacy_policy_url: str | None
    terms_of_service_url: str | None
    status_page_url: str | None
    headquarters: str | None
    datacenters: list[str] | None


ModelAnswer = Data[Model]
CountAnswer = Data[Count]
ProvidersAnswer = Data[list[Provider]]
EndpointListAnswer = Data[list[Endpoint]]
EndpointsAnswer = Data[ModelEndpoints]
