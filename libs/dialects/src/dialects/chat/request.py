"""The body of `POST /chat/completions`, typed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from dialects.chat.content import Message
from dialects.chat.options import (
    CacheControl,
    DebugOptions,
    Metadata,
    Prediction,
    PromptCacheOptions,
    StopConditions,
    StreamOptions,
    TraceOptions,
    UsageOptions,
)
from dialects.chat.preferences import ProviderPreferences
from dialects.chat.tools import ResponseFormat, Tool, ToolChoice

# S31: a request of more messages is an attack, not a conversation.
MAX_MESSAGES = 2_000
MAX_SESSION_ID_LENGTH = 256

Unit = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
# Far above any model's output; keeps every later sum within 64 bits.
TokenLimit = Annotated[int, Meta(ge=1, le=1_000_000_000)]
ModelSlug = Annotated[str, Meta(min_length=1, max_length=256)]
Effort = Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"]


class Reasoning(Struct, frozen=True):
    """How much the model reasons, as an effort or as a token budget."""

    effort: Effort | None = None
    max_tokens: TokenLimit | None = None
    exclude: bool | None = None
    enabled: bool | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "all_turns", "current_turn"] | None = None
    mode: Literal["standard", "pro"] | None = None


class ChatBody(Struct, frozen=True):
    """Every documented member. A member that was not sent, or sent as null, is None.

    Source of names and limits: OpenRouter's published OpenAPI document and OpenAI's reference, where they agree; of the
    limits on `stop`, `temperature` and the penalties, OpenAI's.
    """

    messages: Annotated[list[Message], Meta(min_length=1, max_length=MAX_MESSAGES)]
    model: ModelSlug | None = None
    models: Annotated[list[ModelSlug], Meta(max_length=64)] | None = None

    stream: bool | None = None
    stream_options: StreamOptions | None = None

    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Unit | None = None
    top_k: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    min_p: Unit | None = None
    top_a: Unit | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(ge=0, le=2)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    verbosity: Literal["low", "medium", "high", "xhigh", "max"] | None = None

    tools: Annotated[list[Tool], Meta(max_length=1_024)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None

    reasoning: Reasoning | None = None
    reasoning_effort: Effort | None = None
    include_reasoning: bool | None = None

    modalities: list[Literal["text", "image", "audio"]] | None = None
    image_config: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    prediction: Prediction | None = None

    provider: ProviderPreferences | None = None
    plugins: Annotated[list[dict[str, Any]], Meta(max_length=64)] | None = None
    route: Literal["fallback", "sort"] | None = None
    transforms: list[str] | None = None
    usage: UsageOptions | None = None
    debug: DebugOptions | None = None
    preset: str | None = None
    web_search_options: dict[str, Any] | None = None
    stop_server_tools_when: StopConditions | None = None
    max_tool_calls: Annotated[int, Meta(ge=0, le=1_000)] | None = None

    cache_control: CacheControl | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    service_tier: Literal["auto", "default", "fast", "flex", "priority", "scale"] | None = None

    session_id: Annotated[str, Meta(max_length=MAX_SESSION_ID_LENGTH)] | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None
    metadata: Metadata | None = None
    trace: TraceOptions | None = None

    @property
    def output_limit(self) -> int | None:
        """Most tokens that the caller wants, None when it does not say. The newer name wins over `max_tokens`."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    def __post_init__(self) -> None:
        """The two ways to state the effort agree (OpenRouter refuses them otherwise)."""
        effort = self.reasoning.effort if self.reasoning is not None else None
        if self.reasoning_effort is not None and effort is not None and self.reasoning_effort != effort:
            raise ValueError("`reasoning_effort` and `reasoning.effort` differ")
