"""`GET /generation?id=`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web

from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import text_parameter
from edge.api.http.routes import Access, Route
from edge.api.records.generation_answers import GenerationAnswer
from edge.api.records.generation_json import generation_json
from edge.catalog import CatalogMirror
from edge.domain.errors import InvalidInputError
from edge.records import Records

_encode = msgspec.json.Encoder().encode


class GenerationQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which generation."""

    id: str


_GET: Final = Operation(
    id="getGeneration",
    tag="Generations",
    summary="Get the record of a generation",
    query=GenerationQuery,
    answer=GenerationAnswer,
    errors=(404,),
)


class GenerationRecord:
    """Serves records of generations."""

    def __init__(self, records: Records, mirror: CatalogMirror) -> None:
        """Make the handler.

        Args:
            records: finds them.
            mirror: knows the display names of providers; without a catalogue their slugs do.
        """
        self._records = records
        self._mirror = mirror

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (Route("GET", "/generation", Access.ANY_KEY, self.get, _GET),)

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Return the record of one generation of the caller's organisation.

        Raises:
            InvalidInputError: there is no id, or it is not one of a generation.
            NotFoundError: there is no such generation.
            DependencyError: nobody could say.
        """
        generation_id = text_parameter(exchange.request, "id")
        if generation_id is None:
            raise InvalidInputError("id: required", "id")
        event = await self._records.get(generation_id, exchange.principal.org.org_id)
        catalog = self._mirror.catalog
        names = {} if catalog is None else catalog.provider_names
        return exchange.json(_encode({"data": generation_json(event, names)}))
