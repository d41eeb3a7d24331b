"""How each dialect asks for operations. A dialect's code is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dialects.answers import Answer
from dialects.errors import UnsupportedRequestError, UpstreamAnswerError
from dialects.operations.codec import OperationRequest
from dialects.operations.products import product_bytes
from dialects.upstream import Target, UpstreamRequest

# The answer travels between services as one message of at most 32 MiB, the rest of which is small. What could not be handed on
# must not be charged either.
MAX_PRODUCT_BYTES = 31 * 1024 * 1024


def operation_request(dialect: str, request: OperationRequest, target: Target) -> UpstreamRequest:
    """Write a request for an operation in a provider's dialect. The result says how its answer is read.

    Args:
        dialect: the word of `contracts.catalog.Dialect`.
        request: what is asked.
        target: whom.

    Raises:
        UnsupportedRequestError: the dialect has no words for the operation, or for a part that must not be dropped.
    """
    written = _written(dialect, request, target)
    return replace(written, read=_bounded(written.read)) if written.read is not None else written


def _bounded(read: Callable[[bytes, str], Answer]) -> Callable[[bytes, str], Answer]:
    def bounded(body: bytes, media_type: str) -> Answer:
        answer = read(body, media_type)
        if answer.product is not None and product_bytes(answer.product) > MAX_PRODUCT_BYTES:
            raise UpstreamAnswerError("the answer is too long to be handed on")
        return answer

    return bounded


def _written(dialect: str, request: OperationRequest, target: Target) -> UpstreamRequest:
    match dialect:
        case "openai-compatible":
            from dialects.openai_compatible import operations as openai

            return openai.operation_request(request, target)
        case "azure-openai":
            from dialects.azure_openai import operations as azure

            return azure.operation_request(request, target)
        case "cohere":
            from dialects.cohere import operations as cohere

            return cohere.operation_request(request, target)
        case "gemini":
            from dialects.gemini import operations as gemini

            return gemini.operation_request(request, target)
        case _:
            raise UnsupportedRequestError("this provider has completions only")
