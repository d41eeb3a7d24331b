"""The body of `POST /messages`, typed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from dialects.chat.options import DebugOptions
from dialects.chat.preferences import ProviderPreferences
from dialects.chat.request import MAX_MESSAGES, MAX_SESSION_ID_LENGTH, ModelSlug, TokenLimit, Unit
from dialects.messages.blocks import CacheControl, TextBlock
from dialects.messages.tools import ToolChoice
from dialects.messages.turns import Turn

Effort = Literal["low", "medium", "high", "xhigh", "max"]
Display = Literal["summarized", "omitted"]


class ThinkingEnabled(Struct, frozen=True, tag_field="type", tag="enabled"):
    """Reasoning up to a number of tokens."""

    budget_tokens: TokenLimit
    display: Display | None = None


class ThinkingDisabled(Struct, frozen=True, tag_field="type", tag="disabled"):
    """No reasoning."""


class ThinkingAdaptive(Struct, frozen=True, tag_field="type", tag="adaptive"):
    """The model decides, under the effort."""

    display: Display | None = None


Thinking = ThinkingEnabled | ThinkingDisabled | ThinkingAdaptive


class SchemaFormat(Struct, frozen=True, tag_field="type", tag="json_schema"):
    """JSON that follows a schema."""

    schema: dict[str, Any]


class OutputConfig(Struct, frozen=True):
    """The effort of the answer and its form. A task budget is advice to Anthropic's models, and not passed on."""

    effort: Effort | None = None
    format: SchemaFormat | None = None


class Metadata(Struct, frozen=True):
    """An opaque word for the end user."""

    user_id: Annotated[str, Meta(max_length=256)] | None = None


class Fallback(Struct, frozen=True, forbid_unknown_fields=True):
    """A model to try when the one before it fails."""

    model: ModelSlug


class MessagesBody(Struct, frozen=True):
    """Every documented member that says something here. A member that was not sent, or sent as null, is None.

    Source of names and limits: OpenRouter's published OpenAPI document, and Anthropic's reference. `max_tokens` is optional at
    OpenRouter. Tools and the blocks of a turn are read one by one, by their `type`.
    """

    messages: Annotated[list[Turn], Meta(min_length=1, max_length=MAX_MESSAGES)]
    model: ModelSlug | None = None
    models: Annotated[list[ModelSlug], Meta(max_length=64)] | None = None
    fallbacks: Annotated[list[Fallback], Meta(max_length=3)] | None = None
    max_tokens: TokenLimit | None = None
    system: str | list[TextBlock] | None = None
    stream: bool | None = None

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Unit | None = None
    top_k: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=4)] | None = None

    tools: Annotated[list[dict[str, Any]], Meta(max_length=1_024)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    # The earlier name of `output_config.format`, of a beta.
    output_format: SchemaFormat | None = None

    cache_control: CacheControl | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only", "default", "fast", "flex", "priority", "scale"] | None = None
    speed: Literal["fast", "standard"] | None = None
    context_management: dict[str, Any] | None = None
    container: str | dict[str, Any] | None = None
    mcp_servers: list[dict[str, Any]] | None = None
    inference_geo: str | None = None

    provider: ProviderPreferences | None = None
    plugins: Annotated[list[dict[str, Any]], Meta(max_length=64)] | None = None
    route: Literal["fallback", "sort"] | None = None
    preset: str | None = None
    debug: DebugOptions | None = None
    stop_server_tools_when: list[dict[str, Any]] | None = None
    session_id: Annotated[str, Meta(max_length=MAX_SESSION_ID_LENGTH)] | None = None
    trace: dict[str, Any] | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None
