"""`POST /rerank`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

from contracts.operations import Operation
from dialects.operations.codec import OperationRequest, decode_operation
from dialects.operations.requests import RerankBody, RichDocument
from edge.api.http import operations as described
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.routes import Access, Handler, Route
from edge.api.inference.operations.answers import RerankAnswer
from edge.api.inference.operations.costs import dollars
from edge.domain.errors import BrokenAnswerError
from edge.operations import Performed

_encode = msgspec.json.Encoder().encode

_OPERATION: Final = described.Operation(
    id="createRerank",
    tag="Rerank",
    summary="Rank documents by their relevance to a query",
    body=RerankBody,
    answer=RerankAnswer,
    errors=described.INFERENCE_ERRORS,
)


class RerankSkin:
    """OpenRouter's rankings."""

    operation = Operation.RERANK

    def __init__(self, bodies: JsonBodies) -> None:
        """Make the skin; `bodies` reads requests."""
        self._bodies = bodies

    def route(self, handler: Handler) -> Route:
        """Say where it is asked for."""
        return Route("POST", "/rerank", Access.INFERENCE_KEY, handler, _OPERATION)

    async def read(self, exchange: Exchange) -> OperationRequest:
        """Read and validate a request. See `OperationSkin`."""
        return OperationRequest(decode_operation(await self._bodies.read(exchange.request), RerankBody))

    def render(self, exchange: Exchange, request: OperationRequest, performed: Performed) -> web.Response:
        """Write the answer.

        Raises:
            BrokenAnswerError: it is not one to this request.
        """
        answer, body = performed.answer, request.body
        if not isinstance(body, RerankBody):
            raise BrokenAnswerError("The answer is of another kind than the request.")
        usage = answer.outcome.usage
        document = {
            "id": performed.generation_id,
            "model": answer.route.model,
            "provider": answer.route.provider_name,
            "results": [
                {
                    "index": each.index,
                    "relevance_score": each.relevance_score,
                    "document": _document(body.documents, each.index),
                }
                for each in answer.ranking.documents
            ],
            "usage": {
                "search_units": usage.search_units,
                "total_tokens": usage.prompt_tokens,
                "cost": dollars(answer.outcome.cost_nano_usd),
            },
        }
        return exchange.json(_encode(document))


def _document(documents: Sequence[str | RichDocument], index: int) -> dict[str, Any]:
    if not 0 <= index < len(documents):
        raise BrokenAnswerError("The answer ranks a document that was not sent.")
    sent = documents[index]
    if isinstance(sent, str):
        return {"text": sent}
    return {name: value for name, value in (("text", sent.text), ("image", sent.image)) if value is not None}
