"""Reading requests for operations, and writing them again for the router."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from dialects.chat import TextPart
from dialects.errors import InvalidRequestError
from dialects.operations.requests import (
    MAX_INPUTS,
    EmbeddingContent,
    EmbeddingsBody,
    OperationBody,
    RerankBody,
    RichDocument,
)
from dialects.request_reading import convert_request, parse_request

_encode = msgspec.json.Encoder(order="deterministic").encode

EmbeddingInput = str | tuple[int, ...] | EmbeddingContent
Body = TypeVar("Body", bound=OperationBody)


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """A valid request for an operation.

    Attributes:
        body: what is asked.
        audio: sound that goes with it; empty where none does.
    """

    # Neither may show up in a log by way of a repr: both are the caller's.
    body: OperationBody = field(repr=False)
    audio: bytes = field(default=b"", repr=False)


def decode_operation(data: bytes, kind: type[Body]) -> Body:
    """Read and validate a request.

    Args:
        data: JSON in UTF-8.
        kind: of the request.

    Raises:
        InvalidRequestError: not JSON, too deep, or a member is missing or wrong.
    """
    return operation_from_document(parse_request(data), kind)


def operation_from_document(document: object, kind: type[Body]) -> Body:
    """Validate a request that is already parsed; members that are null count as absent.

    Raises:
        InvalidRequestError: a member is missing or wrong.
    """
    if not isinstance(document, dict):
        raise InvalidRequestError("the body must be a JSON object", None)
    body = convert_request({name: value for name, value in document.items() if value is not None}, kind)
    if isinstance(body, EmbeddingsBody):
        inputs_of(body)
    elif isinstance(body, RerankBody):
        texts_of(body)
    return body


def encode_operation(body: OperationBody) -> bytes:
    """Write a request as compact JSON, as `decode_operation` reads it: without what is not set, at any depth."""
    return _encode(_without_nulls(msgspec.to_builtins(body)))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    # Lists of numbers may be very long, and have nothing to leave out.
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return [_without_nulls(item) for item in value]
    return value


def inputs_of(body: EmbeddingsBody) -> Sequence[EmbeddingInput]:
    """The inputs, each of which gets one vector.

    Raises:
        InvalidRequestError: there are none, too many, an empty one, or different kinds.
    """
    given = body.input
    if isinstance(given, str):
        given = [given]
    if not given:
        raise InvalidRequestError("input: must not be empty", "input")
    if isinstance(given[0], int):
        return [_tokens(given, "input")]
    if len(given) > MAX_INPUTS:
        raise InvalidRequestError(f"input: at most {MAX_INPUTS} inputs", "input")
    inputs: list[EmbeddingInput] = []
    for index, item in enumerate(given):
        where = f"input[{index}]" if isinstance(body.input, list) else "input"
        if type(item) is not type(given[0]):
            raise InvalidRequestError(f"{where}: all inputs must be of one kind", where)
        if isinstance(item, list):
            inputs.append(_tokens(item, where))
        elif item == "":
            raise InvalidRequestError(f"{where}: must not be empty", where)
        elif isinstance(item, str | EmbeddingContent):
            inputs.append(item)
    return inputs


def _tokens(items: Sequence[object], where: str) -> tuple[int, ...]:
    if not items:
        raise InvalidRequestError(f"{where}: must not be empty", where)
    tokens = tuple(item for item in items if isinstance(item, int) and item >= 0)
    if len(tokens) != len(items):
        raise InvalidRequestError(f"{where}: all tokens must be numbers from 0", where)
    return tokens


def plain_texts(inputs: Sequence[EmbeddingInput]) -> list[str] | None:
    """The inputs as texts; None when one is something else."""
    texts: list[str] = []
    for item in inputs:
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, EmbeddingContent) and all(isinstance(part, TextPart) for part in item.content):
            texts.append("\n".join(part.text for part in item.content if isinstance(part, TextPart)))
        else:
            return None
    return texts


def texts_of(body: RerankBody) -> list[str | RichDocument]:
    """The documents; those that are nothing but text as text.

    Raises:
        InvalidRequestError: one has neither text nor a picture.
    """
    documents: list[str | RichDocument] = []
    for index, document in enumerate(body.documents):
        if isinstance(document, RichDocument):
            if not document.text and not document.image:
                where = f"documents[{index}]"
                raise InvalidRequestError(f"{where}: must have text or an image", where)
            documents.append(document if document.image or document.text is None else document.text)
        else:
            documents.append(document)
    return documents
