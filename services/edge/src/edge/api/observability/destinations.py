"""`/observability/destinations`: where an organisation's usage is broadcast to."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.api.management.key_answers import Deleted
from edge.api.observability.answers import (
    DeliveriesAnswer,
    DestinationAnswer,
    DestinationPage,
    deliveries_row,
    destination_row,
)
from edge.api.observability.bodies import DestinationChangeBody, NewDestinationBody
from edge.api.observability.requests import changed_destination, new_destination
from edge.api.organization.calls import DEFAULT_PAGE, Calls, PageQuery, org_id
from turnpike.accounts.v1 import destination_service_pb2 as messages

_encode = msgspec.json.Encoder().encode


class DestinationsQuery(PageQuery, frozen=True, kw_only=True):
    """Which destinations."""

    workspace_id: Annotated[str, Meta(max_length=100)] | None = None


_LIST: Final = Operation(
    id="listObservabilityDestinations",
    tag="Observability",
    summary="List destinations of broadcast",
    query=DestinationsQuery,
    answer=DestinationPage,
)
_CREATE: Final = Operation(
    id="createObservabilityDestination",
    tag="Observability",
    summary="Make a destination of broadcast",
    body=NewDestinationBody,
    answer=DestinationAnswer,
    status=201,
    errors=(403, 409),
)
_GET: Final = Operation(
    id="getObservabilityDestination",
    tag="Observability",
    summary="Get a destination of broadcast",
    answer=DestinationAnswer,
)
_UPDATE: Final = Operation(
    id="updateObservabilityDestination",
    tag="Observability",
    summary="Change a destination of broadcast",
    body=DestinationChangeBody,
    answer=DestinationAnswer,
    errors=(403, 409),
)
_DELETE: Final = Operation(
    id="deleteObservabilityDestination",
    tag="Observability",
    summary="Delete a destination of broadcast",
    answer=Deleted,
)
_DELIVERIES: Final = Operation(
    id="getObservabilityDeliveries",
    tag="Observability",
    summary="What became of the deliveries to a destination",
    answer=DeliveriesAnswer,
)


class Destinations:
    """Serves the destinations of the caller's organisation. A secret that comes in is handed on and not kept."""

    def __init__(self, calls: Calls, bodies: JsonBodies) -> None:
        """Make the handler.

        Args:
            calls: asks accounts.
            bodies: reads requests.
        """
        self._calls = calls
        self._bodies = bodies

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/observability/destinations", Access.MANAGEMENT_KEY, self.list, _LIST),
            Route("POST", "/observability/destinations", Access.MANAGEMENT_KEY, self.create, _CREATE),
            Route("GET", "/observability/destinations/{id}", Access.MANAGEMENT_KEY, self.get, _GET),
            Route("PATCH", "/observability/destinations/{id}", Access.MANAGEMENT_KEY, self.update, _UPDATE),
            Route("DELETE", "/observability/destinations/{id}", Access.MANAGEMENT_KEY, self.delete, _DELETE),
            Route(
                "GET",
                "/observability/destinations/{id}/deliveries",
                Access.MANAGEMENT_KEY,
                self.deliveries,
                _DELIVERIES,
            ),
        )

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """List destinations of a workspace, the oldest first."""
        query = read_query(exchange.request, DestinationsQuery)
        request = messages.ListDestinationsRequest(
            org_id=org_id(exchange),
            workspace_id=query.workspace_id or "",
            offset=query.offset or 0,
            limit=query.limit or DEFAULT_PAGE,
        )
        found = await self._calls(
            exchange, "DestinationService/ListDestinations", request, messages.ListDestinationsResponse
        )
        page = DestinationPage(
            data=[destination_row(each) for each in found.destinations], total_count=found.total_count
        )
        return exchange.json(_encode(page))

    async def create(self, exchange: Exchange) -> web.StreamResponse:
        """Make a destination."""
        request = new_destination(await self._bodies.read(exchange.request), org_id(exchange))
        made = await self._calls(
            exchange, "DestinationService/CreateDestination", request, messages.CreateDestinationResponse
        )
        return exchange.json(_encode(DestinationAnswer(data=destination_row(made.destination))), HTTPStatus.CREATED)

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Describe a destination."""
        return exchange.json(_encode(DestinationAnswer(data=destination_row(await self._one(exchange)))))

    async def update(self, exchange: Exchange) -> web.StreamResponse:
        """Change a destination."""
        known = await self._one(exchange)
        request = changed_destination(await self._bodies.read(exchange.request), known)
        changed = await self._calls(
            exchange, "DestinationService/UpdateDestination", request, messages.UpdateDestinationResponse
        )
        return exchange.json(_encode(DestinationAnswer(data=destination_row(changed.destination))))

    async def delete(self, exchange: Exchange) -> web.StreamResponse:
        """Delete a destination."""
        request = messages.DeleteDestinationRequest(org_id=org_id(exchange), destination_id=exchange.params["id"])
        await self._calls(exchange, "DestinationService/DeleteDestination", request, messages.DeleteDestinationResponse)
        return exchange.json(_encode({"deleted": True}))

    async def deliveries(self, exchange: Exchange) -> web.StreamResponse:
        """Say what became of the deliveries to a destination."""
        request = messages.GetDeliveriesRequest(org_id=org_id(exchange), destination_id=exchange.params["id"])
        found = await self._calls(exchange, "DestinationService/GetDeliveries", request, messages.GetDeliveriesResponse)
        return exchange.json(_encode(DeliveriesAnswer(data=deliveries_row(found))))

    async def _one(self, exchange: Exchange) -> messages.Destination:
        request = messages.GetDestinationRequest(org_id=org_id(exchange), destination_id=exchange.params["id"])
        found = await self._calls(
            exchange, "DestinationService/GetDestination", request, messages.GetDestinationResponse
        )
        return found.destination
