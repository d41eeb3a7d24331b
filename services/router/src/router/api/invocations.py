"""Operations between the wire's messages and the domain's values."""

from __future__ import annotations

from typing import Final

import msgspec

from contracts import ids
from contracts.operations import OPERATION_NUMBERS
from dialects.errors import InvalidRequestError
from dialects.operations.codec import OperationRequest, decode_operation
from dialects.operations.products import Embeddings, Images, Product, Ranking, Speech, Transcription
from router.api.convert import caller_from_proto, ending_to_proto, route_to_proto
from router.domain.operation_demand import body_type_of
from router.domain.progress import Command, Progress
from turnpike.router.v1 import invocation_pb2

_encode = msgspec.json.Encoder().encode
_OPERATIONS: Final = {number: operation for operation, number in OPERATION_NUMBERS.items()}


def command_of_invocation(request: invocation_pb2.InvokeRequest, deadline: float) -> Command:
    """Read a request for an operation.

    Raises:
        InvalidRequestError: a member is missing or wrong.
    """
    try:
        generation_id = ids.parse_generation_id(request.generation_id)
    except ValueError as error:
        raise InvalidRequestError(str(error), "generation_id") from None
    operation = _OPERATIONS.get(request.operation)
    kind = body_type_of(operation) if operation is not None else None
    if kind is None:
        raise InvalidRequestError("the operation must be another one than a completion", "operation")
    return Command(
        generation_id=generation_id,
        caller=caller_from_proto(request.caller),
        request=OperationRequest(decode_operation(request.request_json, kind), request.audio),
        deadline=deadline,
        with_metadata=request.with_metadata,
    )


def invocation_to_proto(progress: Progress, region: str) -> invocation_pb2.InvokeResponse:
    """Put the whole of an answer on the wire; `region` is the router's."""
    message = invocation_pb2.InvokeResponse()
    if progress.route is not None:
        message.route.CopyFrom(route_to_proto(progress.route, region))
    if progress.ending is not None:
        message.outcome.CopyFrom(ending_to_proto(progress.ending))
    if progress.product is not None:
        _put(message, progress.product)
    return message


def _put(message: invocation_pb2.InvokeResponse, product: Product) -> None:
    match product:
        case Embeddings():
            message.embeddings.vectors.extend(product.vectors)
        case Ranking():
            for document in product.documents:
                message.ranking.documents.add(index=document.index, relevance_score=document.relevance_score)
        case Speech():
            message.speech.audio, message.speech.media_type = product.audio, product.media_type
        case Transcription():
            message.transcription.text = product.text
            message.transcription.details_json = _encode(product.details)
        case Images():
            for image in product.images:
                message.images.images.add(data=image.data, media_type=image.media_type)
