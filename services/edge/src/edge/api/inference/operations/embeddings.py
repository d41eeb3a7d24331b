"""`POST /embeddings`."""

from __future__ import annotations

from base64 import b64encode
from typing import Final

import msgspec
from aiohttp import web

from contracts.operations import Operation
from dialects.operations.codec import OperationRequest, decode_operation
from dialects.operations.requests import EmbeddingsBody
from dialects.operations.vectors import floats_of
from edge.api.http import operations as described
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.routes import Access, Handler, Route
from edge.api.inference.operations.answers import EmbeddingsAnswer
from edge.api.inference.operations.costs import cost_json
from edge.operations import Performed

_encode = msgspec.json.Encoder().encode

_OPERATION: Final = described.Operation(
    id="createEmbeddings",
    tag="Embeddings",
    summary="Create embeddings",
    body=EmbeddingsBody,
    answer=EmbeddingsAnswer,
    errors=described.INFERENCE_ERRORS,
    description=(
        "`input` is a text, the tokens of one text, or a list of texts, of token lists or of contents; each gets one vector. "
        "Vectors come in the form of `encoding_format`, whichever form the provider has."
    ),
)


class EmbeddingsSkin:
    """OpenAI's embeddings, with OpenRouter's members."""

    operation = Operation.EMBEDDINGS

    def __init__(self, bodies: JsonBodies) -> None:
        """Make the skin; `bodies` reads requests."""
        self._bodies = bodies

    def route(self, handler: Handler) -> Route:
        """Say where it is asked for."""
        return Route("POST", "/embeddings", Access.INFERENCE_KEY, handler, _OPERATION)

    async def read(self, exchange: Exchange) -> OperationRequest:
        """Read and validate a request. See `OperationSkin`."""
        return OperationRequest(decode_operation(await self._bodies.read(exchange.request), EmbeddingsBody))

    def render(self, exchange: Exchange, request: OperationRequest, performed: Performed) -> web.Response:
        """Write the answer."""
        answer, body = performed.answer, request.body
        in_base64 = isinstance(body, EmbeddingsBody) and body.encoding_format == "base64"
        rows = [
            {
                "object": "embedding",
                "index": index,
                "embedding": b64encode(vector).decode() if in_base64 else floats_of(vector),
            }
            for index, vector in enumerate(answer.embeddings.vectors)
        ]
        tokens = answer.outcome.usage.prompt_tokens
        document = {
            "id": performed.generation_id,
            "object": "list",
            "model": answer.route.model,
            "provider": answer.route.provider_name,
            "data": rows,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens, **cost_json(answer.outcome)},
        }
        return exchange.json(_encode(document))
