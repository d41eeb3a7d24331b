"""Types of the answers of the Responses API."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from edge.api.http.answer import Answer
from edge.api.http.error_answer import ErrorDetails


class ResponsesErrorAnswer(Struct, frozen=True, kw_only=True):
    """A refusal. `error_type` is the word for the kind of error, also in `error.metadata`."""

    error: ErrorDetails
    error_type: str
    openrouter_metadata: dict[str, Any] | None = None
    user_id: str | None = None


class ResponseError(Answer, frozen=True, kw_only=True):
    """Why a response failed."""

    code: str
    message: str


class IncompleteDetails(Answer, frozen=True, kw_only=True):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens", "content_filter"]


class InputTokensDetails(Answer, frozen=True, kw_only=True):
    """What the tokens of the input were."""

    cached_tokens: int
    cache_write_tokens: int


class OutputTokensDetails(Answer, frozen=True, kw_only=True):
    """What the tokens of the output were."""

    reasoning_tokens: int


class ResponseCostDetails(Answer, frozen=True, kw_only=True):
    """Dollars. `upstream_inference_cost` is what is owed to the provider itself, null unless the caller's own key was used."""

    upstream_inference_cost: float | None
    upstream_inference_input_cost: float
    upstream_inference_output_cost: float


class ResponseUsage(Answer, frozen=True, kw_only=True):
    """Tokens as the provider counts them, and what they cost in dollars."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int
    cost: float
    is_byok: bool
    cost_details: ResponseCostDetails


class ResponseDocument(Answer, frozen=True, kw_only=True):
    """A response. Members that repeat the request are null or a default where it did not say them."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    model: str
    error: ResponseError | None
    error_type: str | None = None
    incomplete_details: IncompleteDetails | None
    output: list[dict[str, Any]]
    output_text: str
    usage: ResponseUsage | None
    background: bool
    frequency_penalty: float | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    presence_penalty: float | None
    previous_response_id: None
    prompt: None
    prompt_cache_key: str | None
    prompt_cache_options: dict[str, Any] | None
    reasoning: dict[str, Any] | None
    safety_identifier: str | None
    service_tier: str | None
    store: bool
    temperature: float | None
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float | None
    truncation: Literal["auto", "disabled"]
    user: str | None
    openrouter_metadata: dict[str, Any] | None = None


class ResponseEvent(Struct, frozen=True, kw_only=True):
    """An event of a stream. `type` says which of the other members it has, and which further ones."""

    type: str
    sequence_number: int
    response: ResponseDocument | None = None
    output_index: int | None = None
    item_id: str | None = None
    item: dict[str, Any] | None = None
    content_index: int | None = None
    summary_index: int | None = None
    part: dict[str, Any] | None = None
    delta: str | None = None
    text: str | None = None
