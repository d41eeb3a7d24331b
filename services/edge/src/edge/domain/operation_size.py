"""The most that an operation could use: good to set credit aside, never to bill."""

from __future__ import annotations

from typing import Final

from dialects.chat import TextPart
from dialects.estimates import text_bytes
from dialects.operations.codec import EmbeddingInput, OperationRequest, inputs_of, texts_of
from dialects.operations.media import most_audio_ms
from dialects.operations.requests import EmbeddingsBody, ImagesBody, RerankBody, SpeechBody, TranscriptionBody
from edge.domain.hold import Demand
from edge.domain.prompt_size import TOKENS_PER_REFERENCE

# What an answer is taken to be long that is paid by the token, where its endpoint says no limit: four times a large image.
MOST_OUTPUT_TOKENS: Final = 25_000
# No tokenizer makes more tokens than there are bytes; around each text it puts a few of its own, and a word of its kind.
_TOKENS_AROUND: Final = 16
_DOCUMENTS_PER_SEARCH: Final = 100
# Models that count sound in tokens make ten to fifty of a second, and speakers say five words in it.
_MS_PER_INPUT_TOKEN: Final = 20
_MS_PER_OUTPUT_TOKEN: Final = 100


def most_of(request: OperationRequest) -> Demand:
    """Say what an operation could use at most."""
    body = request.body
    match body:
        case EmbeddingsBody():
            return Demand(sum(_most_tokens(item) for item in inputs_of(body)), 0)
        case RerankBody():
            texts = [item if isinstance(item, str) else item.text or "" for item in texts_of(body)]
            pictures = sum(not isinstance(item, str) for item in texts_of(body)) * TOKENS_PER_REFERENCE
            tokens = sum(map(_bytes, texts)) + len(texts) * _bytes(body.query) + pictures
            return Demand(tokens, 0, search_units=-(-len(texts) // _DOCUMENTS_PER_SEARCH))
        case SpeechBody():
            return Demand(_bytes(body.input), 0, characters=len(body.input))
        case TranscriptionBody():
            sound = most_audio_ms(request.audio)
            return Demand(sound // _MS_PER_INPUT_TOKEN, sound // _MS_PER_OUTPUT_TOKEN, audio_ms=sound)
        case ImagesBody():
            return Demand(_bytes(body.prompt), None, body.most_images, images=body.most_images)


def _bytes(text: str) -> int:
    return text_bytes(text) + _TOKENS_AROUND


def _most_tokens(item: EmbeddingInput) -> int:
    if isinstance(item, tuple):
        return len(item) + _TOKENS_AROUND
    if isinstance(item, str):
        return _bytes(item)
    texts = sum(_bytes(part.text) for part in item.content if isinstance(part, TextPart))
    return texts + TOKENS_PER_REFERENCE * sum(not isinstance(part, TextPart) for part in item.content)
