"""The gRPC service of guardrails: parse, call, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from accounts.api.actors import actor_of
from accounts.api.errors import aborting
from accounts.domain.errors import InvalidFieldError
from accounts.domain.guardrail_rules import Assignment, AssignmentKind
from accounts.guardrails import Guardrails
from accounts.records import timestamp
from contracts.guardrails import GuardrailPolicy, guardrail_to_proto, policy_from_proto
from turnpike.accounts.v1 import guardrail_pb2
from turnpike.accounts.v1 import guardrail_service_pb2 as messages
from turnpike.accounts.v1 import guardrail_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["GuardrailService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class GuardrailServicer(stubs.GuardrailServiceServicer):
    """Guardrails. The names of the methods are those of the wire."""

    def __init__(self, guardrails: Guardrails) -> None:
        self._guardrails = guardrails

    async def CreateGuardrail(  # noqa: N802 - named by the wire
        self, request: messages.CreateGuardrailRequest, context: Context
    ) -> messages.CreateGuardrailResponse:
        """Make a guardrail."""
        async with aborting(context):
            made = await self._guardrails.create(
                request.org_id,
                request.workspace_id,
                request.name,
                request.description,
                _policy(request.policy),
                actor_of(context),
            )
            return messages.CreateGuardrailResponse(guardrail=guardrail_to_proto(made))

    async def ListGuardrails(  # noqa: N802 - named by the wire
        self, request: messages.ListGuardrailsRequest, context: Context
    ) -> messages.ListGuardrailsResponse:
        """List the guardrails of a workspace."""
        async with aborting(context):
            found, total = await self._guardrails.page(
                request.org_id, request.workspace_id, request.offset, request.limit
            )
            return messages.ListGuardrailsResponse(
                guardrails=[guardrail_to_proto(each) for each in found], total_count=total
            )

    async def GetGuardrail(  # noqa: N802 - named by the wire
        self, request: messages.GetGuardrailRequest, context: Context
    ) -> messages.GetGuardrailResponse:
        """Return one guardrail."""
        async with aborting(context):
            found = await self._guardrails.get(request.org_id, request.guardrail_id)
            return messages.GetGuardrailResponse(guardrail=guardrail_to_proto(found))

    async def UpdateGuardrail(  # noqa: N802 - named by the wire
        self, request: messages.UpdateGuardrailRequest, context: Context
    ) -> messages.UpdateGuardrailResponse:
        """Change a guardrail."""
        async with aborting(context):
            changed = await self._guardrails.update(
                request.org_id,
                request.guardrail_id,
                request.revision,
                request.name,
                request.description,
                _policy(request.policy),
                actor_of(context),
            )
            return messages.UpdateGuardrailResponse(guardrail=guardrail_to_proto(changed))

    async def DeleteGuardrail(  # noqa: N802 - named by the wire
        self, request: messages.DeleteGuardrailRequest, context: Context
    ) -> messages.DeleteGuardrailResponse:
        """Delete a guardrail."""
        async with aborting(context):
            await self._guardrails.delete(request.org_id, request.guardrail_id, actor_of(context))
            return messages.DeleteGuardrailResponse()

    async def AssignGuardrail(  # noqa: N802 - named by the wire
        self, request: messages.AssignGuardrailRequest, context: Context
    ) -> messages.AssignGuardrailResponse:
        """Bind keys or members."""
        async with aborting(context):
            count = await self._guardrails.assign(
                request.org_id,
                request.guardrail_id,
                request.key_digests,
                request.user_ids,
                request.assigned_by,
                actor_of(context),
            )
            return messages.AssignGuardrailResponse(assigned_count=count)

    async def UnassignGuardrail(  # noqa: N802 - named by the wire
        self, request: messages.UnassignGuardrailRequest, context: Context
    ) -> messages.UnassignGuardrailResponse:
        """Free keys or members."""
        async with aborting(context):
            count = await self._guardrails.unassign(
                request.org_id, request.guardrail_id, request.key_digests, request.user_ids, actor_of(context)
            )
            return messages.UnassignGuardrailResponse(unassigned_count=count)

    async def ListAssignments(  # noqa: N802 - named by the wire
        self, request: messages.ListAssignmentsRequest, context: Context
    ) -> messages.ListAssignmentsResponse:
        """List assignments."""
        async with aborting(context):
            try:
                kind = AssignmentKind(request.kind)
            except ValueError:
                raise InvalidFieldError("kind", "must be said") from None
            found, total = await self._guardrails.assignments(
                request.org_id, request.guardrail_id, kind, request.offset, request.limit
            )
            return messages.ListAssignmentsResponse(
                assignments=[_assignment_to_proto(each) for each in found], total_count=total
            )


def _policy(message: guardrail_pb2.GuardrailPolicy) -> GuardrailPolicy:
    try:
        return policy_from_proto(message)
    except ValueError as error:
        raise InvalidFieldError("policy", f"is not valid: {error}") from None


def _assignment_to_proto(assignment: Assignment) -> messages.Assignment:
    return messages.Assignment(
        assignment_id=assignment.assignment_id,
        guardrail_id=assignment.guardrail_id,
        key_digest=assignment.key_digest,
        key_name=assignment.key_name,
        key_label=assignment.key_label,
        user_id=assignment.user_id,
        assigned_by=assignment.assigned_by,
        created_at=timestamp(assignment.created_at),
    )
