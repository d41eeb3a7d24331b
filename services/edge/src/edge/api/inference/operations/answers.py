"""Types of the answers to operations."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from edge.api.http.answer import Answer


class OperationCostDetails(Answer, frozen=True, kw_only=True):
    """What the parts of a request cost, in dollars. `upstream_inference_cost` is set where the caller's own key was used."""

    upstream_inference_cost: float | None
    upstream_inference_prompt_cost: float
    upstream_inference_completions_cost: float


class TokenCost(Answer, frozen=True, kw_only=True):
    """Tokens, and what they cost, in dollars."""

    prompt_tokens: int
    total_tokens: int
    cost: float
    is_byok: bool
    cost_details: OperationCostDetails


class EmbeddingItem(Answer, frozen=True, kw_only=True):
    """A vector: numbers, or base64 of 32-bit floats, little-endian."""

    object: str
    index: int
    embedding: list[float] | str


class EmbeddingsAnswer(Answer, frozen=True, kw_only=True):
    """One vector for each input, in their order."""

    id: str
    object: str
    model: str
    provider: str
    data: list[EmbeddingItem]
    usage: TokenCost


class AnsweredDocument(Struct, frozen=True, kw_only=True):
    """A document as it was sent."""

    text: str | None = None
    image: str | None = None


class RankedAnswer(Answer, frozen=True, kw_only=True):
    """A document, by its place in the request."""

    index: int
    relevance_score: float
    document: AnsweredDocument


class SearchCost(Answer, frozen=True, kw_only=True):
    """Searches and tokens, and what they cost, in dollars."""

    search_units: int
    total_tokens: int
    cost: float


class RerankAnswer(Answer, frozen=True, kw_only=True):
    """The most relevant documents first."""

    id: str
    model: str
    provider: str
    results: list[RankedAnswer]
    usage: SearchCost


class SoundCost(Answer, frozen=True, kw_only=True):
    """Sound and tokens, and what they cost, in dollars."""

    seconds: float
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cost: float


class TranscriptionAnswer(Struct, frozen=True, kw_only=True):
    """What was said; all members but `text` and `usage` are of verbose answers."""

    text: str
    usage: SoundCost
    task: str | UnsetType = UNSET
    language: str | UnsetType = UNSET
    duration: float | UnsetType = UNSET
    segments: list[dict[str, Any]] | UnsetType = UNSET
    words: list[dict[str, Any]] | UnsetType = UNSET


class ImageItem(Struct, frozen=True, kw_only=True):
    """A picture in base64; its media type where it is known."""

    b64_json: str
    media_type: str | UnsetType = UNSET


class ImageCost(Answer, frozen=True, kw_only=True):
    """Tokens, and what the pictures cost, in dollars."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost: float
    is_byok: bool
    cost_details: OperationCostDetails


class ImagesAnswer(Answer, frozen=True, kw_only=True):
    """Pictures."""

    created: int
    data: list[ImageItem]
    usage: ImageCost
