"""The lists of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from aiohttp import web

from edge.api.catalog import operations
from edge.api.catalog.feed import FEED, feed
from edge.api.catalog.filters import filters, writes
from edge.api.catalog.model_json import model_json
from edge.api.catalog.permitted import permitted
from edge.api.catalog.query import DEFAULT_PAGE, CountQuery, ModelsQuery, PageQuery
from edge.api.catalog.rows import Row, rows_of
from edge.api.catalog.sorting import in_order
from edge.api.http.exchange import Exchange
from edge.api.http.pages import next_page
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.catalog import Catalog, CatalogMirror
from edge.ports import EndpointStats
from servicekit.clock import Clock

_encode = msgspec.json.Encoder().encode
_EMBEDDINGS = "embeddings"


class Models:
    """Serves lists of models: only what can be called here, newest first unless asked otherwise."""

    def __init__(self, mirror: CatalogMirror, stats: EndpointStats, clock: Clock) -> None:
        """Make the handler.

        Args:
            mirror: has the catalogue.
            stats: what endpoints did lately.
            clock: tells the age of models.
        """
        self._mirror = mirror
        self._stats = stats
        self._clock = clock
        self._rows: tuple[Catalog, tuple[Row, ...]] | None = None
        self._rendered: tuple[Catalog, bytes] | None = None

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/models", Access.ANYBODY, self.list, operations.LIST),
            Route("GET", "/models/count", Access.ANYBODY, self.count, operations.COUNT),
            Route("GET", "/models/user", Access.ANY_KEY, self.user, operations.USER),
            Route("GET", "/embeddings/models", Access.ANYBODY, self.embeddings, operations.EMBEDDINGS),
        )

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """List the models: all of them, or a page when `offset` or `limit` is given; as JSON or as an RSS feed.

        Raises:
            DependencyError: there is no catalogue yet.
            InvalidInputError: a parameter is not valid.
        """
        query = read_query(exchange.request, ModelsQuery)
        catalog = await self._mirror.require()
        if query == ModelsQuery():
            return exchange.json(self._all(catalog))
        keeps = filters(query, self._clock.now(), self._stats)
        found = [row for row in self._rows_of(catalog) if all(keep(row) for keep in keeps)]
        found = in_order(found, query.sort, self._stats)
        if query.use_rss:
            return exchange.document(feed(_page(found, query), exchange.origin), FEED)
        return _listed(exchange, found, query)

    async def count(self, exchange: Exchange) -> web.StreamResponse:
        """Count the models.

        Raises:
            DependencyError: there is no catalogue yet.
            InvalidInputError: a parameter is not valid.
        """
        query = read_query(exchange.request, CountQuery)
        keep = writes(query.output_modalities)
        count = sum(1 for row in self._rows_of(await self._mirror.require()) if keep(row))
        return exchange.json(_encode({"data": {"count": count}}))

    async def user(self, exchange: Exchange) -> web.StreamResponse:
        """List the models that the caller's key may use.

        Raises:
            DependencyError: there is no catalogue yet.
            InvalidInputError: a parameter is not valid.
        """
        query = read_query(exchange.request, PageQuery)
        access = exchange.principal.key.access
        rows = self._rows_of(await self._mirror.require())
        found = [mine for row in rows if (mine := permitted(row, access)) is not None]
        return _listed(exchange, found, query)

    async def embeddings(self, exchange: Exchange) -> web.StreamResponse:
        """List the models that write embeddings.

        Raises:
            DependencyError: there is no catalogue yet.
            InvalidInputError: a parameter is not valid.
        """
        query = read_query(exchange.request, PageQuery)
        return _listed(exchange, self._kept(await self._mirror.require(), writes(_EMBEDDINGS)), query)

    def _kept(self, catalog: Catalog, keep: Callable[[Row], bool]) -> Sequence[Row]:
        return [row for row in self._rows_of(catalog) if keep(row)]

    def _rows_of(self, catalog: Catalog) -> tuple[Row, ...]:
        """The lines, made once for each state of the catalogue."""
        if self._rows is None or self._rows[0] is not catalog:
            self._rows = (catalog, rows_of(catalog))
        return self._rows[1]

    def _all(self, catalog: Catalog) -> bytes:
        """The whole list of what most callers want, rendered once for each state of the catalogue."""
        if self._rendered is None or self._rendered[0] is not catalog:
            models = [model_json(row) for row in self._kept(catalog, writes(None))]
            body = _encode({"data": models, "links": {"next": None}, "total_count": len(models)})
            self._rendered = (catalog, body)
        return self._rendered[1]


def _page(found: Sequence[Row], query: PageQuery) -> Sequence[Row]:
    if query.offset is None and query.limit is None:
        return found
    start = query.offset or 0
    return found[start : start + (query.limit or DEFAULT_PAGE)]


def _listed(exchange: Exchange, found: Sequence[Row], query: PageQuery) -> web.StreamResponse:
    page = _page(found, query)
    end = (query.offset or 0) + len(page)
    more = end < len(found) and bool(page)
    document = {
        "data": [model_json(row) for row in page],
        "links": {"next": next_page(exchange.request, end, query.limit or DEFAULT_PAGE) if more else None},
        "total_count": len(found),
    }
    return exchange.json(_encode(document))
