"""The owner of destinations of broadcast, in memory and behind a real gRPC server."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import grpc

from contracts.errors import ErrorReason
from edge.domain.errors import DependencyError, NotFoundError, RefusedError
from edge.testing.accounts import CREATED_S
from edge.testing.guardrails import check_workspace
from edge.testing.organizations import wrong
from edge.testing.refusals import Context, aborting
from turnpike.accounts.v1 import destination_service_pb2 as messages
from turnpike.accounts.v1 import destination_service_pb2_grpc as stubs

_REQUIRED = {
    messages.DESTINATION_TYPE_OTEL_COLLECTOR: ("endpoint",),
    messages.DESTINATION_TYPE_WEBHOOK: ("url",),
    messages.DESTINATION_TYPE_S3: ("accessKeyId", "bucketName", "secretAccessKey"),
}
_SHOWN = {"endpoint", "url", "method", "bucketName", "region", "prefix", "pathTemplate"}


class MemoryDestinations(stubs.DestinationServiceServicer):
    """Has destinations.

    Attributes:
        stored: by id, as they came: with secrets in the open.
        states: what became of deliveries, by id.
        down: whether every call fails.
    """

    def __init__(self) -> None:
        self.stored: dict[str, messages.Destination] = {}
        self.states: dict[str, messages.DeliveryState] = {}
        self.down = False

    def store(self, request: messages.CreateDestinationRequest) -> messages.Destination:
        """Store a destination."""
        self._check()
        check_workspace(request.org_id, request.workspace_id)
        workspace_id = request.workspace_id or request.org_id
        same = [each for each in self.stored.values() if (each.workspace_id, each.type) == (workspace_id, request.type)]
        if len(same) >= 5:
            raise RefusedError(ErrorReason.PERMISSION_DENIED, "a workspace has at most 5 destinations of a type")
        for name in _REQUIRED[request.type]:
            if not request.config.members.get(name):
                raise wrong(f"config.{name}", "is required for this type")
        destination = messages.Destination(
            destination_id=str(uuid4()),
            org_id=request.org_id,
            workspace_id=workspace_id,
            type=request.type,
            fields=request.fields,
            config=request.config,
            version=1,
        )
        destination.created_at.FromSeconds(CREATED_S)
        destination.updated_at.FromSeconds(CREATED_S)
        self.stored[destination.destination_id] = destination
        return destination

    def find(self, org_id: str, destination_id: str) -> messages.Destination:
        """Return a destination, in the open."""
        self._check()
        found = self.stored.get(destination_id)
        if found is None or found.org_id != org_id:
            raise NotFoundError("no such destination")
        return found

    async def CreateDestination(self, request: Any, context: Context) -> messages.CreateDestinationResponse:  # noqa: N802 - named by the wire
        """Store a destination."""
        async with aborting(context):
            return messages.CreateDestinationResponse(destination=_masked(self.store(request)))

    async def ListDestinations(self, request: Any, context: Context) -> messages.ListDestinationsResponse:  # noqa: N802 - named by the wire
        """List destinations."""
        async with aborting(context):
            self._check()
            check_workspace(request.org_id, request.workspace_id)
            workspace_id = request.workspace_id or request.org_id
            own = [
                _masked(each)
                for each in self.stored.values()
                if (each.org_id, each.workspace_id) == (request.org_id, workspace_id)
            ]
            shown = own[request.offset : request.offset + request.limit]
            return messages.ListDestinationsResponse(destinations=shown, total_count=len(own))

    async def GetDestination(self, request: Any, context: Context) -> messages.GetDestinationResponse:  # noqa: N802 - named by the wire
        """Return a destination."""
        async with aborting(context):
            found = self.find(request.org_id, request.destination_id)
            return messages.GetDestinationResponse(destination=_masked(found))

    async def UpdateDestination(self, request: Any, context: Context) -> messages.UpdateDestinationResponse:  # noqa: N802 - named by the wire
        """Change a destination."""
        async with aborting(context):
            known = self.find(request.org_id, request.destination_id)
            known.fields.CopyFrom(request.fields)
            known.updated_at.FromSeconds(CREATED_S + 1)
            for name, value in request.config.members.items():
                if value:
                    known.config.members[name] = value
                else:
                    known.config.members.pop(name, None)
            if request.replaces_headers:
                known.config.headers.clear()
                known.config.headers.MergeFrom(request.config.headers)
            return messages.UpdateDestinationResponse(destination=_masked(known))

    async def DeleteDestination(self, request: Any, context: Context) -> messages.DeleteDestinationResponse:  # noqa: N802 - named by the wire
        """Delete a destination."""
        async with aborting(context):
            del self.stored[self.find(request.org_id, request.destination_id).destination_id]
            return messages.DeleteDestinationResponse()

    async def GetDeliveries(self, request: Any, context: Context) -> messages.GetDeliveriesResponse:  # noqa: N802 - named by the wire
        """Return what became of deliveries."""
        async with aborting(context):
            found = self.find(request.org_id, request.destination_id)
            return messages.GetDeliveriesResponse(state=self.states.get(found.destination_id))

    def _check(self) -> None:
        if self.down:
            raise DependencyError("accounts")


def _masked(destination: messages.Destination) -> messages.Destination:
    shown = messages.Destination()
    shown.CopyFrom(destination)
    for values, open_names in ((shown.config.members, _SHOWN), (shown.config.headers, set[str]())):
        for name in list(values):
            if name not in open_names:
                values[name] = "***"
    return shown


def register_destinations(server: grpc.aio.Server, destinations: MemoryDestinations) -> None:
    """Serve destinations."""
    stubs.add_DestinationServiceServicer_to_server(destinations, server)
