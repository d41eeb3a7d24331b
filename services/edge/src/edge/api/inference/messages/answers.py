"""Types of the answers of the Messages API."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from edge.api.http.answer import Answer
from edge.api.inference.chat.answers import CostDetails


class MessagesUsage(Answer, frozen=True, kw_only=True):
    """Tokens as the provider counts them, and what they cost in dollars. Input tokens leave out what a cache was used for."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    cache_creation: dict[str, Any] | None
    output_tokens_details: dict[str, int] | None
    server_tool_use: dict[str, int] | None
    inference_geo: str | None
    service_tier: str | None
    cost: float
    is_byok: bool
    cost_details: CostDetails


class AppliedEdits(Answer, frozen=True, kw_only=True):
    """What was edited of the context."""

    applied_edits: list[dict[str, Any]]


class MessageAnswer(Answer, frozen=True, kw_only=True):
    """A whole answer. Its blocks are `text`, `thinking`, `redacted_thinking` and `tool_use`."""

    id: str
    type: str
    role: str
    model: str
    provider: str | None
    content: list[dict[str, Any]]
    container: dict[str, Any] | None
    stop_reason: str | None
    stop_sequence: str | None
    stop_details: dict[str, Any] | None
    context_management: AppliedEdits | None
    usage: MessagesUsage
    openrouter_metadata: dict[str, Any] | None = None


class MessageEvent(Struct, frozen=True, kw_only=True):
    """An event of a stream, named like its `type`."""

    type: str
    index: int | None = None
    message: dict[str, Any] | None = None
    content_block: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    openrouter_metadata: dict[str, Any] | None = None


class AnthropicErrorDetails(Struct, frozen=True, kw_only=True):
    """What went wrong: in Anthropic's words, and in `error_type` in OpenRouter's."""

    type: str
    message: str
    error_type: str
    availability: dict[str, Any] | None = None


class AnthropicErrorAnswer(Struct, frozen=True, kw_only=True):
    """A refusal. `request_id` is the generation, null before there is one; `metadata.param` names the field."""

    type: str
    error: AnthropicErrorDetails
    request_id: str | None
    metadata: dict[str, Any] | None = None


class MessagesHeaders(Struct, frozen=True, kw_only=True, rename="kebab"):
    """Headers of Anthropic's clients. They change nothing."""

    anthropic_version: str | None = None
    anthropic_beta: str | None = None
