"""`POST /models/{model}:batchEmbedContents`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec

from dialects.answers import Answer, Usage
from dialects.errors import UnsupportedRequestError, UpstreamAnswerError
from dialects.json_values import count_in, decode_object, object_in, objects_in
from dialects.operations.codec import OperationRequest, inputs_of, plain_texts
from dialects.operations.products import Embeddings
from dialects.operations.requests import EmbeddingsBody
from dialects.operations.vectors import vectors_from
from dialects.upstream import Target, UpstreamRequest

# Source: the Gemini API's reference of batchEmbedContents.
MAX_REQUESTS = 100
_TASK_TYPES = {
    "query": "RETRIEVAL_QUERY",
    "search_query": "RETRIEVAL_QUERY",
    "passage": "RETRIEVAL_DOCUMENT",
    "document": "RETRIEVAL_DOCUMENT",
    "search_document": "RETRIEVAL_DOCUMENT",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
    "semantic_similarity": "SEMANTIC_SIMILARITY",
    "question_answering": "QUESTION_ANSWERING",
    "fact_verification": "FACT_VERIFICATION",
    "code_retrieval_query": "CODE_RETRIEVAL_QUERY",
    "retrieval_query": "RETRIEVAL_QUERY",
    "retrieval_document": "RETRIEVAL_DOCUMENT",
}

_encode = msgspec.json.Encoder().encode


def operation_request(request: OperationRequest, target: Target) -> UpstreamRequest:
    """Write a request. See `dialects.operations.registry`."""
    body = request.body
    if not isinstance(body, EmbeddingsBody):
        raise UnsupportedRequestError("this provider has completions and embeddings only")
    texts = plain_texts(inputs_of(body))
    if texts is None:
        raise UnsupportedRequestError("input: this provider takes text only")
    if len(texts) > MAX_REQUESTS:
        raise UnsupportedRequestError(f"input: this provider takes at most {MAX_REQUESTS} inputs")
    options: dict[str, Any] = {}
    if body.input_type is not None and (task := _TASK_TYPES.get(body.input_type.lower())):
        options["taskType"] = task
    if body.dimensions is not None:
        if "dimensions" not in target.supported:
            raise UnsupportedRequestError("dimensions: this provider's vectors have one length")
        options["outputDimensionality"] = body.dimensions
    model = f"models/{target.model}"
    document = {"requests": [{"model": model, "content": {"parts": [{"text": text}]}, **options} for text in texts]}
    path = f"/models/{quote(target.model, safe='')}:batchEmbedContents"
    return UpstreamRequest(path, _encode(document), read=_reader(len(texts), body.dimensions))


def _reader(count: int, dimensions: int | None) -> Callable[[bytes, str], Answer]:
    def read(body: bytes, media_type: str) -> Answer:
        document = decode_object(body)
        rows = objects_in(document, "embeddings")
        if len(rows) != count:
            raise UpstreamAnswerError(f"{len(rows)} vectors for {count} inputs")
        tokens = count_in(object_in(document, "usageMetadata"), "promptTokenCount")
        return Answer(
            product=Embeddings(vectors_from((row.get("values") for row in rows), count, dimensions)),
            usage=Usage(prompt=tokens, completion=0) if tokens else None,
        )

    return read
