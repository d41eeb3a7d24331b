"""What an operation asks of an endpoint, as the choice sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from contracts.operations import Operation
from dialects.chat import AudioPart, FilePart, ImagePart, LegacyVideoPart, TextPart, VideoPart
from dialects.estimates import IMAGE_TOKENS, MOST_BYTES_PER_TOKEN, estimate_text_tokens, text_bytes
from dialects.operations.codec import EmbeddingInput, OperationRequest, inputs_of, texts_of
from dialects.operations.media import most_audio_ms
from dialects.operations.requests import (
    EmbeddingContent,
    EmbeddingsBody,
    ImagesBody,
    InputFile,
    OperationBody,
    RerankBody,
    SpeechBody,
    TranscriptionBody,
)
from router.domain.demand import Demand, models_and_preferences

# Source: Cohere's prices. A query over up to so many documents is one search.
DOCUMENTS_PER_SEARCH = 100

_OPERATIONS: dict[type[OperationBody], Operation] = {
    EmbeddingsBody: Operation.EMBEDDINGS,
    RerankBody: Operation.RERANK,
    SpeechBody: Operation.SPEECH,
    TranscriptionBody: Operation.TRANSCRIPTION,
    ImagesBody: Operation.IMAGES,
}
# What would be answered wrongly without the endpoint's help; everything else is advice that may be dropped.
_NEEDED = ("dimensions", "input_references")
_ADVICE = (
    "dimensions", "input_type", "speed", "language", "temperature", "timestamp_granularities", "size", "resolution",
    "aspect_ratio", "quality", "background", "output_format", "output_compression", "seed", "input_references",
)  # fmt: skip
_PARTS: dict[type[object], str] = {
    ImagePart: "image",
    AudioPart: "audio",
    VideoPart: "video",
    LegacyVideoPart: "video",
    FilePart: "file",
    InputFile: "file",
}


def operation_of(body: OperationBody) -> Operation:
    """Which operation a body is for."""
    return _OPERATIONS[type(body)]


def body_type_of(operation: Operation) -> type[OperationBody] | None:
    """The body of an operation; None for completions, which have one of their own."""
    return next((kind for kind, named in _OPERATIONS.items() if named is operation), None)


def operation_demand_of(request: OperationRequest, data_region: str = "") -> Demand:
    """Read off a request what it asks of an endpoint; `data_region` is where it must stay, empty for anywhere."""
    body = request.body
    common = models_and_preferences([body.model], body.provider)
    sent = tuple(name for name in _ADVICE if getattr(body, name, None) is not None)
    stated = Demand(
        **common,
        operation=operation_of(body),
        parameters=sent,
        needed=tuple(name for name in _NEEDED if name in sent),
        # Nothing of an operation may be left out.
        compression=False,
        data_region=data_region,
    )
    return _measured(stated, request)


def _measured(stated: Demand, request: OperationRequest) -> Demand:
    body = request.body
    match body:
        case EmbeddingsBody():
            inputs = inputs_of(body)
            sizes = [_tokens(item) for item in inputs]
            return replace(
                stated,
                input_modalities=_modalities(inputs),
                prompt_tokens=sum(estimate for estimate, _ in sizes),
                # Each input has the context for itself.
                least_prompt_tokens=max(least for _, least in sizes),
            )
        case RerankBody():
            items = texts_of(body)
            texts = [item if isinstance(item, str) else item.text or "" for item in items]
            pictures = any(not isinstance(item, str) for item in items)
            documents = sum(estimate_text_tokens(text_bytes(text)) for text in texts)
            return replace(
                stated,
                input_modalities=frozenset({"image"} if pictures else ()),
                prompt_tokens=documents + len(texts) * estimate_text_tokens(text_bytes(body.query)),
                search_units=search_units(len(texts)),
            )
        case SpeechBody():
            return replace(
                stated,
                prompt_tokens=estimate_text_tokens(text_bytes(body.input)),
                characters=len(body.input),
            )
        case TranscriptionBody():
            return replace(stated, audio_ms=most_audio_ms(request.audio))
        case ImagesBody():
            return replace(
                stated,
                prompt_tokens=estimate_text_tokens(text_bytes(body.prompt)),
                images=body.most_images,
            )


def search_units(documents: int) -> int:
    """Searches that a ranking of so many documents is."""
    return -(-documents // DOCUMENTS_PER_SEARCH)


def _tokens(item: EmbeddingInput) -> tuple[int, int]:
    """The tokens that an input probably has, and those that it has at least."""
    if isinstance(item, tuple):
        return len(item), len(item)
    if isinstance(item, str):
        size = text_bytes(item)
        return estimate_text_tokens(size), size // MOST_BYTES_PER_TOKEN
    size = sum(text_bytes(part.text) for part in item.content if isinstance(part, TextPart))
    others = sum(not isinstance(part, TextPart) for part in item.content)
    return estimate_text_tokens(size) + IMAGE_TOKENS * others, size // MOST_BYTES_PER_TOKEN


def _modalities(inputs: Sequence[EmbeddingInput]) -> frozenset[str]:
    contents = [item for item in inputs if isinstance(item, EmbeddingContent)]
    return frozenset(_PARTS[type(part)] for item in contents for part in item.content if type(part) in _PARTS)
