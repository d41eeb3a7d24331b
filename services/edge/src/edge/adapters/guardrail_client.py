"""The owner of guardrails over gRPC."""

from __future__ import annotations

from datetime import timedelta

import grpc

from edge.adapters.accounts_client import answered
from edge.adapters.control_plane import actor_metadata
from edge.domain.actor import Actor
from turnpike.accounts.v1 import guardrail_pb2, guardrail_service_pb2, guardrail_service_pb2_grpc


class GrpcGuardrailRegistry:
    """Manages guardrails."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta) -> None:
        self._stub = guardrail_service_pb2_grpc.GuardrailServiceStub(channel)
        self._timeout_s = timeout.total_seconds()

    async def create(
        self, request: guardrail_service_pb2.CreateGuardrailRequest, actor: Actor
    ) -> guardrail_service_pb2.CreateGuardrailResponse:
        """Make a guardrail."""
        return await answered(
            self._stub.CreateGuardrail(request, timeout=self._timeout_s, metadata=actor_metadata(actor))
        )

    async def list(
        self, request: guardrail_service_pb2.ListGuardrailsRequest
    ) -> guardrail_service_pb2.ListGuardrailsResponse:
        """List the guardrails of a workspace, newest first."""
        return await answered(self._stub.ListGuardrails(request, timeout=self._timeout_s))

    async def get(self, org_id: str, guardrail_id: str) -> guardrail_pb2.GuardrailRecord:
        """Return a guardrail."""
        request = guardrail_service_pb2.GetGuardrailRequest(org_id=org_id, guardrail_id=guardrail_id)
        return (await answered(self._stub.GetGuardrail(request, timeout=self._timeout_s))).guardrail

    async def update(
        self, request: guardrail_service_pb2.UpdateGuardrailRequest, actor: Actor
    ) -> guardrail_service_pb2.UpdateGuardrailResponse:
        """Change a guardrail."""
        return await answered(
            self._stub.UpdateGuardrail(request, timeout=self._timeout_s, metadata=actor_metadata(actor))
        )

    async def delete(self, org_id: str, guardrail_id: str, actor: Actor) -> None:
        """Delete a guardrail."""
        request = guardrail_service_pb2.DeleteGuardrailRequest(org_id=org_id, guardrail_id=guardrail_id)
        await answered(self._stub.DeleteGuardrail(request, timeout=self._timeout_s, metadata=actor_metadata(actor)))

    async def assign(self, request: guardrail_service_pb2.AssignGuardrailRequest, actor: Actor) -> int:
        """Bind keys or members."""
        return (
            await answered(self._stub.AssignGuardrail(request, timeout=self._timeout_s, metadata=actor_metadata(actor)))
        ).assigned_count

    async def unassign(self, request: guardrail_service_pb2.UnassignGuardrailRequest, actor: Actor) -> int:
        """Free keys or members."""
        return (
            await answered(
                self._stub.UnassignGuardrail(request, timeout=self._timeout_s, metadata=actor_metadata(actor))
            )
        ).unassigned_count

    async def assignments(
        self, request: guardrail_service_pb2.ListAssignmentsRequest
    ) -> guardrail_service_pb2.ListAssignmentsResponse:
        """List assignments, newest first."""
        return await answered(self._stub.ListAssignments(request, timeout=self._timeout_s))
