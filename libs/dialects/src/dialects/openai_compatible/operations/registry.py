"""Which operation is written how."""

from __future__ import annotations

from dialects.openai_compatible.operations import embeddings, images, rerank, speech, transcription
from dialects.operations.codec import OperationRequest
from dialects.operations.requests import EmbeddingsBody, ImagesBody, RerankBody, SpeechBody
from dialects.upstream import Target, UpstreamRequest


def operation_request(request: OperationRequest, target: Target) -> UpstreamRequest:
    """Write a request for an operation.

    Raises:
        UnsupportedRequestError: there is no way to say a part of it that must not be dropped.
    """
    body = request.body
    if isinstance(body, EmbeddingsBody):
        return embeddings.write(body, target)
    if isinstance(body, RerankBody):
        return rerank.write(body, target)
    if isinstance(body, SpeechBody):
        return speech.write(body, target)
    if isinstance(body, ImagesBody):
        return images.write(body, target)
    return transcription.write(body, request.audio, target)
