"""What comes of an operation, whatever the provider's dialect. Text and sound of callers in here: never for logs."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Embeddings(Struct, frozen=True):
    """One vector for each input, in the order of the inputs: 32-bit floats, little-endian."""

    vectors: tuple[bytes, ...]


class RankedDocument(Struct, frozen=True, gc=False):
    """A document of the request, by its place there from 0, and how relevant it is."""

    index: int
    relevance_score: float


class Ranking(Struct, frozen=True):
    """Documents, the most relevant first."""

    documents: tuple[RankedDocument, ...]


class Speech(Struct, frozen=True):
    """Sound, in the form that was asked for."""

    audio: bytes
    media_type: str


class Transcription(Struct, frozen=True):
    """What was said.

    Attributes:
        text: all of it.
        details: what a verbose answer has besides (language, duration in seconds, segments, words), as JSON values.
    """

    text: str
    details: dict[str, Any]


class Image(Struct, frozen=True):
    """A picture; `media_type` is empty where its form is not known."""

    data: bytes
    media_type: str


class Images(Struct, frozen=True):
    """Pictures, at least one."""

    images: tuple[Image, ...]


Product = Embeddings | Ranking | Speech | Transcription | Images


def product_bytes(product: Product) -> int:
    """How large a product is, but for what is small in each."""
    match product:
        case Embeddings():
            return sum(map(len, product.vectors))
        case Speech():
            return len(product.audio)
        case Images():
            return sum(len(image.data) for image in product.images)
        case Ranking() | Transcription():
            return 0
