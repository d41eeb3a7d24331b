"""`GET /openapi.json` and the page at `/docs`: the description of the API, made of the same routes that serve it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from aiohttp import web

from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import ROOT, Access, Route
from edge.api.openapi.document import openapi_document
from edge.api.openapi.page import CONTENT_SECURITY_POLICY, docs_page

_VERSION: Final = "1.0.0"
_encode = msgspec.json.Encoder().encode


_PAGE: Final = Operation(
    id="getDocs", tag="Documentation", summary="This API as a page to read", content={"text/html": None}
)


@lru_cache(maxsize=1)  # It takes half of the CPU that an edge needs to start, and is the same for the same routes.
def _description(routes: tuple[Route, ...]) -> tuple[bytes, bytes]:
    """The document as JSON, and the page."""
    document = openapi_document(routes, _VERSION)
    return _encode(document), docs_page(document)


class ApiDescription:
    """Serves the OpenAPI document."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Make the handler.

        Args:
            routes: of all other handlers.

        Raises:
            ValueError: two operations have the same id.
        """
        self._body, self._page = _description((*routes, *self.routes()))

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        operation = Operation(
            id="getOpenApi", tag="Documentation", summary="The OpenAPI document of this API", answer=dict[str, Any]
        )
        return (
            Route("GET", "/openapi.json", Access.ANYBODY, self.get, operation),
            Route("GET", "/openapi.json", Access.ANYBODY, self.get, operation, prefixes=ROOT),
            Route("GET", "/docs", Access.ANYBODY, self.page, _PAGE),
            Route("GET", "/docs", Access.ANYBODY, self.page, _PAGE, prefixes=ROOT),
        )

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Return the document."""
        return exchange.json(self._body)

    async def page(self, exchange: Exchange) -> web.StreamResponse:
        """Return the page."""
        response = exchange.document(self._page, "text/html")
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response
