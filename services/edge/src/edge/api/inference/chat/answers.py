"""Types of the answers of chat completions.

Messages and deltas have further members where a provider sends them (images, audio, annotations), so these types are open.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from edge.api.http.answer import Answer


class CalledFunction(Struct, frozen=True, kw_only=True):
    """`arguments` is JSON as the model wrote it."""

    name: str | None = None
    arguments: str


class CalledTool(Struct, frozen=True, kw_only=True):
    """A tool that the model calls; in a stream, a piece of it."""

    index: int
    id: str | None = None
    type: str | None = None
    function: CalledFunction


class AnswerMessage(Struct, frozen=True, kw_only=True):
    """What the model says."""

    role: str
    content: str | None
    reasoning: str | None
    refusal: str | None
    reasoning_details: list[dict[str, Any]] | None = None
    tool_calls: list[CalledTool] | None = None
    images: list[dict[str, Any]] | None = None
    audio: dict[str, Any] | None = None
    annotations: list[dict[str, Any]] | None = None


class AnswerDelta(Struct, frozen=True, kw_only=True):
    """What the model says next."""

    role: str | None = None
    content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    reasoning_details: list[dict[str, Any]] | None = None
    tool_calls: list[CalledTool] | None = None
    images: list[dict[str, Any]] | None = None
    audio: dict[str, Any] | None = None
    annotations: list[dict[str, Any]] | None = None


class AnswerChoice(Struct, frozen=True, kw_only=True):
    """One of the answers. `native_finish_reason` is the provider's own word."""

    index: int
    message: AnswerMessage
    finish_reason: str | None
    native_finish_reason: str | None
    logprobs: dict[str, Any] | None


class ChunkChoice(Struct, frozen=True, kw_only=True):
    """A piece of one of the answers."""

    index: int
    delta: AnswerDelta
    finish_reason: str | None
    native_finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class PromptTokensDetails(Answer, frozen=True, kw_only=True):
    """What the tokens of the prompt were."""

    cached_tokens: int
    cache_write_tokens: int
    audio_tokens: int
    video_tokens: int


class CompletionTokensDetails(Answer, frozen=True, kw_only=True):
    """What the tokens of the answer were."""

    reasoning_tokens: int
    image_tokens: int
    audio_tokens: int


class CostDetails(Answer, frozen=True, kw_only=True):
    """Dollars. `upstream_inference_cost` is what is owed to the provider itself, null unless the caller's own key was used."""

    upstream_inference_cost: float | None
    upstream_inference_prompt_cost: float
    upstream_inference_completions_cost: float


class ChatUsage(Struct, frozen=True, kw_only=True):
    """Tokens as the provider counts them, and what they cost in dollars."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost: float
    is_byok: bool
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
    cost_details: CostDetails


class ChatCompletion(Struct, frozen=True, kw_only=True):
    """A whole answer."""

    id: str
    object: str
    created: int
    model: str
    provider: str | None
    system_fingerprint: str | None
    service_tier: str | None
    choices: list[AnswerChoice]
    usage: ChatUsage
    openrouter_metadata: dict[str, Any] | None = None


class ChatCompletionChunk(Struct, frozen=True, kw_only=True):
    """An event of a stream. After an answer that broke off the last one has `error`."""

    id: str
    object: str
    created: int
    model: str
    provider: str | None = None
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None
    error: dict[str, Any] | None = None
    debug: dict[str, Any] | None = None
    openrouter_metadata: dict[str, Any] | None = None
