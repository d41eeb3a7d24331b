"""`POST /embeddings`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dialects.answers import Answer
from dialects.errors import UnsupportedRequestError, UpstreamAnswerError
from dialects.json_values import index_in, objects_in
from dialects.openai_compatible.operations.reading import answered, read_document, read_token_usage
from dialects.operations.codec import inputs_of, plain_texts
from dialects.operations.products import Embeddings
from dialects.operations.requests import EmbeddingsBody
from dialects.operations.vectors import vectors_from
from dialects.upstream import Target, UpstreamRequest

PATH = "/embeddings"

_encode = msgspec.json.Encoder().encode


def write(body: EmbeddingsBody, target: Target) -> UpstreamRequest:
    """Write a request.

    Raises:
        UnsupportedRequestError: the dialect has no words for an input that is no text, or the endpoint for a length.
    """
    inputs = inputs_of(body)
    texts = plain_texts(inputs)
    if texts is not None:
        written: Any = texts
    elif all(isinstance(item, tuple) for item in inputs):
        written = inputs
    else:
        raise UnsupportedRequestError("input: this provider takes text only")
    document: dict[str, Any] = {"model": target.model, "input": written}
    if body.dimensions is not None:
        if "dimensions" not in target.supported:
            raise UnsupportedRequestError("dimensions: this provider's vectors have one length")
        document["dimensions"] = body.dimensions
    if "encoding_format" in target.supported:
        # A quarter of the bytes, and read at a tenth of the cost.
        document["encoding_format"] = "base64"
    if body.input_type is not None and "input_type" in target.supported:
        document["input_type"] = body.input_type
    return UpstreamRequest(PATH, _encode(document), read=_reader(len(inputs), body.dimensions))


def _reader(count: int, dimensions: int | None) -> Callable[[bytes, str], Answer]:
    def read(body: bytes, media_type: str) -> Answer:
        document, failed = read_document(body)
        if failed is not None:
            return failed
        rows = objects_in(document, "data")
        if len(rows) != count:
            raise UpstreamAnswerError(f"{len(rows)} vectors for {count} inputs")
        ordered: dict[int, object] = {}
        for place, row in enumerate(rows):
            ordered[index_in(row, "index", count, place)] = row.get("embedding")
        if len(ordered) != count:
            raise UpstreamAnswerError("two vectors for one input")
        vectors = vectors_from((ordered[place] for place in range(count)), count, dimensions)
        return answered(Embeddings(vectors), read_token_usage(document), document.get("id"))

    return read
