"""`POST /images`."""

from __future__ import annotations

from base64 import b64encode
from typing import Final

import msgspec
from aiohttp import web

from contracts.operations import Operation
from dialects.operations.codec import OperationRequest, decode_operation
from dialects.operations.requests import ImagesBody
from edge.api.http import operations as described
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.routes import Access, Handler, Route
from edge.api.inference.operations.answers import ImagesAnswer
from edge.api.inference.operations.costs import cost_json
from edge.operations import Performed

_encode = msgspec.json.Encoder().encode

_OPERATION: Final = described.Operation(
    id="createImages",
    tag="Images",
    summary="Make pictures of a text",
    body=ImagesBody,
    answer=ImagesAnswer,
    errors=described.INFERENCE_ERRORS,
    description="Pictures come whole: `stream` is ignored, as it is for every provider that does not stream them.",
)


class ImagesSkin:
    """OpenRouter's pictures."""

    operation = Operation.IMAGES

    def __init__(self, bodies: JsonBodies) -> None:
        """Make the skin; `bodies` reads requests."""
        self._bodies = bodies

    def route(self, handler: Handler) -> Route:
        """Say where it is asked for."""
        return Route("POST", "/images", Access.INFERENCE_KEY, handler, _OPERATION)

    async def read(self, exchange: Exchange) -> OperationRequest:
        """Read and validate a request. See `OperationSkin`."""
        return OperationRequest(decode_operation(await self._bodies.read(exchange.request), ImagesBody))

    def render(self, exchange: Exchange, request: OperationRequest, performed: Performed) -> web.Response:
        """Write the answer."""
        answer = performed.answer
        usage = answer.outcome.usage
        rows = []
        for image in answer.images.images:
            row = {"b64_json": b64encode(image.data).decode()}
            if image.media_type:
                row["media_type"] = image.media_type
            rows.append(row)
        document = {
            "created": performed.created,
            "data": rows,
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.prompt_tokens + usage.completion_tokens,
                **cost_json(answer.outcome),
            },
        }
        return exchange.json(_encode(document))
