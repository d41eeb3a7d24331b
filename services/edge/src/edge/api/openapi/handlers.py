"""`GET /openapi.json`: the description of the API, made of the same routes that serve it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import ROOT, Access, Route
from edge.api.openapi.document import openapi_document

_VERSION: Final = "1.0.0"
_encode = msgspec.json.Encoder().encode


class ApiDescription:
    """Serves the OpenAPI document."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Make the handler.

        Args:
            routes: of all other handlers.

        Raises:
            ValueError: two operations have the same id.
        """
        self.document = openapi_document([*routes, *self.routes()], _VERSION)
        self._body = _encode(self.document)

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        operation = Operation(
            id="getOpenApi", tag="Documentation", summary="The OpenAPI document of this API", answer=dict[str, Any]
        )
        return (
            Route("GET", "/openapi.json", Access.ANYBODY, self.get, operation),
            Route("GET", "/openapi.json", Access.ANYBODY, self.get, operation, prefixes=ROOT),
        )

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Return the document."""
        return exchange.json(self._body)
