"""`POST /rerank`, as Jina has it and vLLM, Together and others speak it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dialects.answers import Answer
from dialects.errors import UnsupportedRequestError
from dialects.json_values import objects_in
from dialects.openai_compatible.operations.reading import answered, read_document, read_token_usage
from dialects.operations.codec import texts_of
from dialects.operations.rankings import ranking_from
from dialects.operations.requests import RerankBody
from dialects.upstream import Target, UpstreamRequest

PATH = "/rerank"

_encode = msgspec.json.Encoder().encode


def write(body: RerankBody, target: Target) -> UpstreamRequest:
    """Write a request.

    Raises:
        UnsupportedRequestError: a document has a picture.
    """
    documents = texts_of(body)
    if not all(isinstance(document, str) for document in documents):
        raise UnsupportedRequestError("documents: this provider takes text only")
    count = min(body.top_n or len(documents), len(documents))
    document: dict[str, Any] = {
        "model": target.model,
        "query": body.query,
        "documents": documents,
        "top_n": count,
        "return_documents": False,
    }
    return UpstreamRequest(PATH, _encode(document), read=_reader(len(documents), count))


def _reader(documents: int, count: int) -> Callable[[bytes, str], Answer]:
    def read(body: bytes, media_type: str) -> Answer:
        document, failed = read_document(body)
        if failed is not None:
            return failed
        rows = objects_in(document, "results") or objects_in(document, "data")
        return answered(ranking_from(rows, documents, count), read_token_usage(document), document.get("id"))

    return read
