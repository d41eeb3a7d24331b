"""The double of guardrails behind a real gRPC server."""

from __future__ import annotations

import grpc

from edge.testing.guardrails import MemoryGuardrails
from edge.testing.refusals import Context, aborting
from turnpike.accounts.v1 import guardrail_service_pb2 as messages
from turnpike.accounts.v1 import guardrail_service_pb2_grpc as stubs


class GuardrailServicer(stubs.GuardrailServiceServicer):
    """Guardrails."""

    def __init__(self, guardrails: MemoryGuardrails) -> None:
        self._guardrails = guardrails

    async def CreateGuardrail(  # noqa: N802 - named by the wire
        self, request: messages.CreateGuardrailRequest, context: Context
    ) -> messages.CreateGuardrailResponse:
        """Make a guardrail."""
        async with aborting(context):
            return await self._guardrails.create(request)

    async def ListGuardrails(  # noqa: N802 - named by the wire
        self, request: messages.ListGuardrailsRequest, context: Context
    ) -> messages.ListGuardrailsResponse:
        """List guardrails."""
        async with aborting(context):
            return await self._guardrails.list(request)

    async def GetGuardrail(  # noqa: N802 - named by the wire
        self, request: messages.GetGuardrailRequest, context: Context
    ) -> messages.GetGuardrailResponse:
        """Return a guardrail."""
        async with aborting(context):
            found = await self._guardrails.get(request.org_id, request.guardrail_id)
            return messages.GetGuardrailResponse(guardrail=found)

    async def UpdateGuardrail(  # noqa: N802 - named by the wire
        self, request: messages.UpdateGuardrailRequest, context: Context
    ) -> messages.UpdateGuardrailResponse:
        """Change a guardrail."""
        async with aborting(context):
            return await self._guardrails.update(request)

    async def DeleteGuardrail(  # noqa: N802 - named by the wire
        self, request: messages.DeleteGuardrailRequest, context: Context
    ) -> messages.DeleteGuardrailResponse:
        """Delete a guardrail."""
        async with aborting(context):
            await self._guardrails.delete(request.org_id, request.guardrail_id)
            return messages.DeleteGuardrailResponse()

    async def AssignGuardrail(  # noqa: N802 - named by the wire
        self, request: messages.AssignGuardrailRequest, context: Context
    ) -> messages.AssignGuardrailResponse:
        """Bind keys or members."""
        async with aborting(context):
            return messages.AssignGuardrailResponse(assigned_count=await self._guardrails.assign(request))

    async def UnassignGuardrail(  # noqa: N802 - named by the wire
        self, request: messages.UnassignGuardrailRequest, context: Context
    ) -> messages.UnassignGuardrailResponse:
        """Free keys or members."""
        async with aborting(context):
            return messages.UnassignGuardrailResponse(unassigned_count=await self._guardrails.unassign(request))

    async def ListAssignments(  # noqa: N802 - named by the wire
        self, request: messages.ListAssignmentsRequest, context: Context
    ) -> messages.ListAssignmentsResponse:
        """List assignments."""
        async with aborting(context):
            return await self._guardrails.assignments(request)


def register_guardrails(server: grpc.aio.Server, guardrails: MemoryGuardrails) -> None:
    """Serve guardrails."""
    stubs.add_GuardrailServiceServicer_to_server(GuardrailServicer(guardrails), server)
