"""`POST /v2/embed` and `POST /v2/rerank`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dialects.answers import Answer, Usage
from dialects.errors import UnsupportedRequestError, UpstreamAnswerError
from dialects.json_values import count_in, decode_object, object_in, objects_in, text_in
from dialects.operations.codec import OperationRequest, inputs_of, plain_texts, texts_of
from dialects.operations.products import Embeddings
from dialects.operations.rankings import ranking_from
from dialects.operations.requests import EmbeddingsBody, RerankBody
from dialects.operations.vectors import vectors_from
from dialects.upstream import Target, UpstreamRequest

# Source: Cohere's reference of v2/embed.
MAX_TEXTS = 96
_INPUT_TYPES = {
    "query": "search_query",
    "passage": "search_document",
    "document": "search_document",
}
_OWN_INPUT_TYPES = frozenset({"search_query", "search_document", "classification", "clustering"})

_encode = msgspec.json.Encoder().encode


def operation_request(request: OperationRequest, target: Target) -> UpstreamRequest:
    """Write a request. See `dialects.operations.registry`."""
    if isinstance(request.body, EmbeddingsBody):
        return _embed(request.body, target)
    if isinstance(request.body, RerankBody):
        return _rerank(request.body, target)
    raise UnsupportedRequestError("this provider has embeddings and rankings only")


def _embed(body: EmbeddingsBody, target: Target) -> UpstreamRequest:
    texts = plain_texts(inputs_of(body))
    if texts is None:
        raise UnsupportedRequestError("input: this provider takes text only")
    if len(texts) > MAX_TEXTS:
        raise UnsupportedRequestError(f"input: this provider takes at most {MAX_TEXTS} inputs")
    wanted = (body.input_type or "document").lower()
    document: dict[str, Any] = {
        "model": target.model,
        "texts": texts,
        "input_type": wanted if wanted in _OWN_INPUT_TYPES else _INPUT_TYPES.get(wanted, "search_document"),
        "embedding_types": ["float"],
    }
    if body.dimensions is not None:
        if "dimensions" not in target.supported:
            raise UnsupportedRequestError("dimensions: this provider's vectors have one length")
        document["output_dimension"] = body.dimensions
    return UpstreamRequest("/v2/embed", _encode(document), read=_vectors(len(texts), body.dimensions))


def _vectors(count: int, dimensions: int | None) -> Callable[[bytes, str], Answer]:
    def read(body: bytes, media_type: str) -> Answer:
        document = decode_object(body)
        values = object_in(document, "embeddings").get("float")
        if not isinstance(values, list):
            raise UpstreamAnswerError("no vectors")
        tokens = count_in(_billed(document), "input_tokens")
        return Answer(
            id=text_in(document, "id"),
            product=Embeddings(vectors_from(values, count, dimensions)),
            usage=Usage(prompt=tokens, completion=0) if tokens else None,
        )

    return read


def _rerank(body: RerankBody, target: Target) -> UpstreamRequest:
    documents = texts_of(body)
    if not all(isinstance(document, str) for document in documents):
        raise UnsupportedRequestError("documents: this provider takes text only")
    count = min(body.top_n or len(documents), len(documents))
    document = {"model": target.model, "query": body.query, "documents": documents, "top_n": count}
    return UpstreamRequest("/v2/rerank", _encode(document), read=_ranking(len(documents), count))


def _ranking(documents: int, count: int) -> Callable[[bytes, str], Answer]:
    def read(body: bytes, media_type: str) -> Answer:
        document = decode_object(body)
        units = count_in(_billed(document), "search_units")
        return Answer(
            id=text_in(document, "id"),
            product=ranking_from(objects_in(document, "results"), documents, count),
            usage=Usage(prompt=0, completion=0, search_units=units) if units else None,
        )

    return read


def _billed(document: dict[str, Any]) -> dict[str, Any]:
    return object_in(object_in(document, "meta"), "billed_units")
