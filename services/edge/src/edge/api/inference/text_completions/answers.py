"""Types of the answers of the legacy completions."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from edge.api.http.answer import Answer
from edge.api.inference.chat.answers import ChatUsage


class TextLogprobs(Answer, frozen=True, kw_only=True):
    """Log probabilities, one of each list for a token."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float | None]]
    text_offset: list[int]


class TextChoice(Answer, frozen=True, kw_only=True):
    """One of the answers, or a piece of it. `native_finish_reason` is the provider's own word."""

    index: int
    text: str
    reasoning: str | None
    logprobs: TextLogprobs | None
    finish_reason: str | None
    native_finish_reason: str | None


class TextCompletion(Struct, frozen=True, kw_only=True):
    """An answer, or an event of a stream. After an answer that broke off the last event has `error`."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    provider: str | None
    system_fingerprint: str | None
    service_tier: str | None
    choices: list[TextChoice]
    usage: ChatUsage | None = None
    error: dict[str, Any] | None = None
    debug: dict[str, Any] | None = None
    openrouter_metadata: dict[str, Any] | None = None
