"""The texts in a request for an operation: what rules about content look at, and may change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from dialects.chat import TextPart
from dialects.operations.requests import (
    EmbeddingContent,
    EmbeddingsBody,
    ImagesBody,
    OperationBody,
    RerankBody,
    RichDocument,
    SpeechBody,
    TranscriptionBody,
    VoiceText,
)


def texts_in(body: OperationBody) -> list[str]:
    """Every text that the caller has written, in order. Tokens and sound have none that could be read here."""
    match body:
        case EmbeddingsBody():
            return list(_of_inputs(body))
        case RerankBody():
            documents = (item if isinstance(item, str) else item.text for item in body.documents)
            return [body.query, *(text for text in documents if text is not None)]
        case SpeechBody():
            references = (each.text for each in body.input_references or () if isinstance(each, VoiceText))
            return [body.input, *references]
        case ImagesBody():
            return [body.prompt]
        case TranscriptionBody():
            return []


def with_texts(body: OperationBody, texts: Sequence[str]) -> OperationBody:
    """The same request with other texts, which come in the order of `texts_in`."""
    left = iter(texts)
    match body:
        case EmbeddingsBody():
            given = body.input
            if isinstance(given, str):
                return replace(body, input=next(left))
            return replace(body, input=[_other_input(item, left) for item in given])
        case RerankBody():
            query = next(left)
            return replace(body, query=query, documents=[_other_document(item, left) for item in body.documents])
        case SpeechBody():
            spoken, references = next(left), body.input_references
            if references is not None:
                references = [VoiceText(next(left)) if isinstance(each, VoiceText) else each for each in references]
            return replace(body, input=spoken, input_references=references)
        case ImagesBody():
            return replace(body, prompt=next(left))
        case TranscriptionBody():
            return body


def _of_inputs(body: EmbeddingsBody) -> Iterator[str]:
    for item in [body.input] if isinstance(body.input, str) else body.input:
        if isinstance(item, str):
            yield item
        elif isinstance(item, EmbeddingContent):
            yield from (part.text for part in item.content if isinstance(part, TextPart))


def _other_input(
    item: str | int | list[int] | EmbeddingContent, left: Iterator[str]
) -> str | int | list[int] | EmbeddingContent:
    if isinstance(item, str):
        return next(left)
    if isinstance(item, EmbeddingContent):
        parts = [replace(part, text=next(left)) if isinstance(part, TextPart) else part for part in item.content]
        return replace(item, content=parts)
    return item


def _other_document(item: str | RichDocument, left: Iterator[str]) -> str | RichDocument:
    if isinstance(item, str):
        return next(left)
    return item if item.text is None else replace(item, text=next(left))
