"""The gRPC service of destinations of broadcast: parse, call, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from accounts.api.actors import actor_of
from accounts.api.destination_messages import (
    changed_to_proto,
    config_from_proto,
    destination_to_proto,
    fields_from_proto,
    report_from_proto,
)
from accounts.api.errors import aborting
from accounts.delivery_messages import state_to_proto
from accounts.destinations import Destinations
from accounts.records import timestamp
from turnpike.accounts.v1 import destination_service_pb2 as messages
from turnpike.accounts.v1 import destination_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["DestinationService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class DestinationServicer(stubs.DestinationServiceServicer):
    """Destinations. The names of the methods are those of the wire."""

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations

    async def CreateDestination(  # noqa: N802 - named by the wire
        self, request: messages.CreateDestinationRequest, context: Context
    ) -> messages.CreateDestinationResponse:
        """Store a destination."""
        async with aborting(context):
            made = await self._destinations.create(
                request.org_id,
                request.workspace_id,
                request.type,
                config_from_proto(request.config),
                fields_from_proto(request.fields),
                actor_of(context),
            )
            return messages.CreateDestinationResponse(destination=destination_to_proto(*made))

    async def ListDestinations(  # noqa: N802 - named by the wire
        self, request: messages.ListDestinationsRequest, context: Context
    ) -> messages.ListDestinationsResponse:
        """List destinations."""
        async with aborting(context):
            found, total = await self._destinations.page(
                request.org_id, request.workspace_id, request.offset, request.limit
            )
            return messages.ListDestinationsResponse(
                destinations=[destination_to_proto(*each) for each in found], total_count=total
            )

    async def GetDestination(  # noqa: N802 - named by the wire
        self, request: messages.GetDestinationRequest, context: Context
    ) -> messages.GetDestinationResponse:
        """Return a destination."""
        async with aborting(context):
            found = await self._destinations.get(request.org_id, request.destination_id)
            return messages.GetDestinationResponse(destination=destination_to_proto(*found))

    async def UpdateDestination(  # noqa: N802 - named by the wire
        self, request: messages.UpdateDestinationRequest, context: Context
    ) -> messages.UpdateDestinationResponse:
        """Change a destination."""
        async with aborting(context):
            changed = await self._destinations.update(
                request.org_id,
                request.destination_id,
                fields_from_proto(request.fields),
                config_from_proto(request.config) if request.HasField("config") else None,
                actor_of(context),
                replaces_headers=request.replaces_headers,
            )
            return messages.UpdateDestinationResponse(destination=destination_to_proto(*changed))

    async def DeleteDestination(  # noqa: N802 - named by the wire
        self, request: messages.DeleteDestinationRequest, context: Context
    ) -> messages.DeleteDestinationResponse:
        """Delete a destination."""
        async with aborting(context):
            await self._destinations.delete(request.org_id, request.destination_id, actor_of(context))
            return messages.DeleteDestinationResponse()

    async def GetDeliveries(  # noqa: N802 - named by the wire
        self, request: messages.GetDeliveriesRequest, context: Context
    ) -> messages.GetDeliveriesResponse:
        """Return what became of deliveries."""
        async with aborting(context):
            state, stopped_at = await self._destinations.deliveries(request.org_id, request.destination_id)
            stopped = None if stopped_at is None else timestamp(stopped_at)
            return messages.GetDeliveriesResponse(state=state_to_proto(state), stopped_at=stopped)

    async def ListChangedDestinations(  # noqa: N802 - named by the wire
        self, request: messages.ListChangedDestinationsRequest, context: Context
    ) -> messages.ListChangedDestinationsResponse:
        """Return destinations that changed."""
        async with aborting(context):
            found = await self._destinations.changed_after(request.after_revision, request.limit)
            return messages.ListChangedDestinationsResponse(destinations=[changed_to_proto(each) for each in found])

    async def ReportDeliveries(  # noqa: N802 - named by the wire
        self, request: messages.ReportDeliveriesRequest, context: Context
    ) -> messages.ReportDeliveriesResponse:
        """Take what became of deliveries."""
        async with aborting(context):
            await self._destinations.report(request.sender, [report_from_proto(each) for each in request.reports])
            return messages.ReportDeliveriesResponse()
