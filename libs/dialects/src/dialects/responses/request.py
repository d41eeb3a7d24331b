"""The body of `POST /responses`, typed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from dialects.chat.options import (
    CacheControl,
    DebugOptions,
    Metadata,
    PromptCacheOptions,
    StopConditions,
    TraceOptions,
)
from dialects.chat.preferences import ProviderPreferences
from dialects.chat.request import (
    MAX_MESSAGES,
    MAX_SESSION_ID_LENGTH,
    ModelSlug,
    Penalty,
    Reasoning,
    TokenLimit,
    Unit,
)
from dialects.responses.content import Item
from dialects.responses.tools import Name, Tool

Verbosity = Literal["low", "medium", "high", "xhigh", "max"]


class TextOutputFormat(Struct, frozen=True, tag_field="type", tag="text"):
    """Plain text."""


class JsonObjectOutputFormat(Struct, frozen=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JsonSchemaOutputFormat(Struct, frozen=True, tag_field="type", tag="json_schema"):
    """JSON that follows a schema."""

    name: Name
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class TextOptions(Struct, frozen=True):
    """The form of the answer's text."""

    format: TextOutputFormat | JsonObjectOutputFormat | JsonSchemaOutputFormat | None = None
    verbosity: Verbosity | None = None


class ResponsesBody(Struct, frozen=True):
    """Every documented member. A member that was not sent, or sent as null, is None.

    Source of names and limits: OpenRouter's published OpenAPI document and OpenAI's reference, where they agree.
    """

    input: str | Annotated[list[Item], Meta(max_length=MAX_MESSAGES)] | None = None
    instructions: str | None = None
    model: ModelSlug | None = None
    models: Annotated[list[ModelSlug], Meta(max_length=64)] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None

    max_output_tokens: TokenLimit | None = None
    max_tool_calls: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Unit | None = None
    top_k: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None

    tools: Annotated[list[Tool], Meta(max_length=1_024)] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    include: (
        list[
            Literal[
                "file_search_call.results",
                "message.input_image.image_url",
                "computer_call_output.output.image_url",
                "reasoning.encrypted_content",
                "code_interpreter_call.outputs",
                "message.output_text.logprobs",
                "web_search_call.action.sources",
                "web_search_call.results",
            ]
        ]
        | None
    ) = None
    modalities: list[Literal["text", "image"]] | None = None
    image_config: dict[str, Any] | None = None
    truncation: Literal["auto", "disabled"] | None = None

    background: bool | None = None
    store: bool | None = None

    provider: ProviderPreferences | None = None
    plugins: Annotated[list[dict[str, Any]], Meta(max_length=64)] | None = None
    route: Literal["fallback", "sort"] | None = None
    debug: DebugOptions | None = None
    stop_server_tools_when: StopConditions | None = None
    cache_control: CacheControl | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    service_tier: Literal["auto", "default", "fast", "flex", "priority", "scale"] | None = None

    session_id: Annotated[str, Meta(max_length=MAX_SESSION_ID_LENGTH)] | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None
    safety_identifier: Annotated[str, Meta(max_length=256)] | None = None
    metadata: Metadata | None = None
    trace: TraceOptions | None = None
