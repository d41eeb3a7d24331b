"""`GET /models`, `GET /model/{author}/{slug}` and `GET /models/{author}/{slug}/endpoints`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from aiohttp import web

from edge.api.catalog.answers import EndpointsAnswer, ModelAnswer, ModelList
from edge.api.catalog.model_json import endpoints_json, model_json
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.catalog import Catalog, CatalogMirror
from edge.domain.errors import NotFoundError
from edge.domain.slugs import without_variants

_encode = msgspec.json.Encoder().encode
_MAX_PAGE = 1_000
_MAX_OFFSET = 1_000_000


class ModelsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which models."""

    offset: Annotated[int, msgspec.Meta(ge=0, le=_MAX_OFFSET, description="models to pass over")] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=_MAX_PAGE, description="most models of a page")] | None = None


_LIST: Final = Operation(id="getModels", tag="Models", summary="List the models", query=ModelsQuery, answer=ModelList)
_GET: Final = Operation(id="getModel", tag="Models", summary="Get a model", answer=ModelAnswer)
_ENDPOINTS: Final = Operation(
    id="listEndpoints", tag="Endpoints", summary="List the endpoints of a model", answer=EndpointsAnswer
)


class Models:
    """Serves the catalogue."""

    def __init__(self, mirror: CatalogMirror) -> None:
        """Make the handler.

        Args:
            mirror: has the catalogue.
        """
        self._mirror = mirror
        self._rendered: tuple[Catalog, bytes] | None = None

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/models", Access.ANYBODY, self.list, _LIST),
            Route("GET", "/model/{author}/{slug}", Access.ANYBODY, self.get, _GET),
            Route("GET", "/models/{author}/{slug}/endpoints", Access.ANYBODY, self.endpoints, _ENDPOINTS),
        )

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """List the models: all of them, or a page when `offset` or `limit` is given.

        Raises:
            DependencyError: there is no catalogue yet.
            InvalidInputError: a parameter is not a number.
        """
        query = read_query(exchange.request, ModelsQuery)
        offset, limit = query.offset, query.limit
        catalog = await self._mirror.require()
        if offset is None and limit is None:
            return exchange.json(self._all(catalog))
        start = offset or 0
        end = start + (limit or _MAX_PAGE)
        more = end < len(catalog.models)
        document = {
            "data": [model_json(model) for model in catalog.models[start:end]],
            "links": {"next": f"/api/v1/models?offset={end}&limit={end - start}" if more else None},
            "total_count": len(catalog.models),
        }
        return exchange.json(_encode(document))

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Return one model.

        Raises:
            DependencyError: there is no catalogue yet.
            NotFoundError: there is no such model.
        """
        slug = _slug(exchange)
        model = (await self._mirror.require()).find(slug)
        if model is None:
            raise NotFoundError(f"Model {slug} not found")
        return exchange.json(_encode({"data": model_json(model)}))

    async def endpoints(self, exchange: Exchange) -> web.StreamResponse:
        """Return one model with its endpoints, those that cannot be called here included.

        There are none for a variant that it does not have.

        Raises:
            DependencyError: there is no catalogue yet.
            NotFoundError: there is no such model.
        """
        slug = _slug(exchange)
        catalog = await self._mirror.require()
        model = catalog.find_listed(slug)
        if model is not None:
            return exchange.json(_encode({"data": endpoints_json(model)}))
        model = catalog.find_listed(without_variants(slug))
        if model is None:
            raise NotFoundError(f"Model {slug} not found")
        return exchange.json(_encode({"data": endpoints_json(model, with_endpoints=False)}))

    def _all(self, catalog: Catalog) -> bytes:
        """The whole list, rendered once for each state of the catalogue."""
        if self._rendered is None or self._rendered[0] is not catalog:
            models = [model_json(model) for model in catalog.models]
            body = _encode({"data": models, "links": {"next": None}, "total_count": len(models)})
            self._rendered = (catalog, body)
        return self._rendered[1]


def _slug(exchange: Exchange) -> str:
    return f"{exchange.params['author']}/{exchange.params['slug']}"
