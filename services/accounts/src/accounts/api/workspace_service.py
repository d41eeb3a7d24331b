"""The gRPC service of workspaces: parse, call, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from accounts.api.actors import actor_of
from accounts.api.errors import aborting
from accounts.api.workspace_messages import fields_from_proto, workspace_member_to_proto, workspace_to_proto
from accounts.workspaces import Workspaces
from turnpike.accounts.v1 import workspace_service_pb2 as messages
from turnpike.accounts.v1 import workspace_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["WorkspaceService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class WorkspaceServicer(stubs.WorkspaceServiceServicer):
    """Workspaces. The names of the methods are those of the wire."""

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces

    async def ListWorkspaces(  # noqa: N802 - named by the wire
        self, request: messages.ListWorkspacesRequest, context: Context
    ) -> messages.ListWorkspacesResponse:
        """List workspaces."""
        async with aborting(context):
            found, total = await self._workspaces.page(request.org_id, request.offset, request.limit)
            return messages.ListWorkspacesResponse(
                workspaces=[workspace_to_proto(each) for each in found], total_count=total
            )

    async def CreateWorkspace(  # noqa: N802 - named by the wire
        self, request: messages.CreateWorkspaceRequest, context: Context
    ) -> messages.CreateWorkspaceResponse:
        """Make a workspace."""
        async with aborting(context):
            fields = fields_from_proto(request.fields)
            made = await self._workspaces.create(request.org_id, fields, actor_of(context))
            return messages.CreateWorkspaceResponse(workspace=workspace_to_proto(made))

    async def GetWorkspace(  # noqa: N802 - named by the wire
        self, request: messages.GetWorkspaceRequest, context: Context
    ) -> messages.GetWorkspaceResponse:
        """Return a workspace."""
        async with aborting(context):
            found = await self._workspaces.get(request.org_id, request.workspace)
            return messages.GetWorkspaceResponse(workspace=workspace_to_proto(found))

    async def UpdateWorkspace(  # noqa: N802 - named by the wire
        self, request: messages.UpdateWorkspaceRequest, context: Context
    ) -> messages.UpdateWorkspaceResponse:
        """Change a workspace."""
        async with aborting(context):
            fields = fields_from_proto(request.fields)
            changed = await self._workspaces.update(request.org_id, request.workspace, fields, actor_of(context))
            return messages.UpdateWorkspaceResponse(workspace=workspace_to_proto(changed))

    async def DeleteWorkspace(  # noqa: N802 - named by the wire
        self, request: messages.DeleteWorkspaceRequest, context: Context
    ) -> messages.DeleteWorkspaceResponse:
        """Delete a workspace."""
        async with aborting(context):
            await self._workspaces.delete(request.org_id, request.workspace, actor_of(context))
            return messages.DeleteWorkspaceResponse()

    async def PutBudget(self, request: messages.PutBudgetRequest, context: Context) -> messages.PutBudgetResponse:  # noqa: N802 - named by the wire
        """Set a budget."""
        async with aborting(context):
            changed = await self._workspaces.put_budget(
                request.org_id,
                request.workspace,
                request.interval,
                request.limit_nano_usd,
                request.include_byok_in_budgets if request.HasField("include_byok_in_budgets") else None,
                actor_of(context),
            )
            return messages.PutBudgetResponse(workspace=workspace_to_proto(changed))

    async def DeleteBudget(  # noqa: N802 - named by the wire
        self, request: messages.DeleteBudgetRequest, context: Context
    ) -> messages.DeleteBudgetResponse:
        """Remove a budget."""
        async with aborting(context):
            await self._workspaces.delete_budget(request.org_id, request.workspace, request.interval, actor_of(context))
            return messages.DeleteBudgetResponse()

    async def ListWorkspaceMembers(  # noqa: N802 - named by the wire
        self, request: messages.ListWorkspaceMembersRequest, context: Context
    ) -> messages.ListWorkspaceMembersResponse:
        """List members."""
        async with aborting(context):
            workspace, members, total = await self._workspaces.members(
                request.org_id, request.workspace, request.offset, request.limit
            )
            return messages.ListWorkspaceMembersResponse(
                workspace_id=str(workspace.workspace_id),
                members=[workspace_member_to_proto(each) for each in members],
                total_count=total,
            )

    async def AddWorkspaceMembers(  # noqa: N802 - named by the wire
        self, request: messages.AddWorkspaceMembersRequest, context: Context
    ) -> messages.AddWorkspaceMembersResponse:
        """Add members."""
        async with aborting(context):
            workspace, added = await self._workspaces.add_members(
                request.org_id, request.workspace, request.user_ids, actor_of(context)
            )
            return messages.AddWorkspaceMembersResponse(
                workspace_id=str(workspace.workspace_id), members=[workspace_member_to_proto(each) for each in added]
            )

    async def RemoveWorkspaceMembers(  # noqa: N802 - named by the wire
        self, request: messages.RemoveWorkspaceMembersRequest, context: Context
    ) -> messages.RemoveWorkspaceMembersResponse:
        """Remove members."""
        async with aborting(context):
            removed = await self._workspaces.remove_members(
                request.org_id, request.workspace, request.user_ids, actor_of(context)
            )
            return messages.RemoveWorkspaceMembersResponse(removed_count=removed)
