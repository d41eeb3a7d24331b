"""Workspaces in memory, behind gRPC."""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import uuid4, uuid5

import grpc

from contracts.errors import ErrorReason
from edge.domain.errors import NotFoundError, RefusedError
from edge.testing.organizations import CREATED_S, MemoryOrganizations, checked_id, checked_name, wrong
from edge.testing.refusals import aborting
from turnpike.accounts.v1 import workspace_service_pb2 as messages
from turnpike.accounts.v1 import workspace_service_pb2_grpc as stubs

Context = grpc.aio.ServicerContext[Any, Any]
_SLUG: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class WorkspaceServicer(stubs.WorkspaceServiceServicer):
    """Workspaces of organisations, each with its default one."""

    def __init__(self, organizations: MemoryOrganizations) -> None:
        self._organizations = organizations
        self._of_org: dict[str, list[messages.Workspace]] = {}
        self._members: dict[str, list[messages.WorkspaceMember]] = {}

    async def ListWorkspaces(self, request: Any, context: Context) -> messages.ListWorkspacesResponse:  # noqa: N802 - named by the wire
        """List workspaces."""
        found = self._all(request.org_id)
        shown = found[request.offset : request.offset + request.limit]
        return messages.ListWorkspacesResponse(workspaces=shown, total_count=len(found))

    async def CreateWorkspace(self, request: Any, context: Context) -> messages.CreateWorkspaceResponse:  # noqa: N802 - named by the wire
        """Make a workspace."""
        async with aborting(context):
            workspace = self._new(request.org_id, str(uuid4()), request.fields)
            self._all(request.org_id).append(workspace)
            return messages.CreateWorkspaceResponse(workspace=workspace)

    async def GetWorkspace(self, request: Any, context: Context) -> messages.GetWorkspaceResponse:  # noqa: N802 - named by the wire
        """Return a workspace."""
        async with aborting(context):
            return messages.GetWorkspaceResponse(workspace=self._one(request.org_id, request.workspace))

    async def UpdateWorkspace(self, request: Any, context: Context) -> messages.UpdateWorkspaceResponse:  # noqa: N802 - named by the wire
        """Change a workspace."""
        async with aborting(context):
            workspace = self._one(request.org_id, request.workspace)
            self._check(request.org_id, request.fields, workspace.workspace_id)
            workspace.fields.MergeFrom(request.fields)
            if request.fields.HasField("io_logging_api_key_ids"):
                workspace.fields.io_logging_api_key_ids.CopyFrom(request.fields.io_logging_api_key_ids)
            workspace.updated_at.FromSeconds(CREATED_S + 1)
            return messages.UpdateWorkspaceResponse(workspace=workspace)

    async def DeleteWorkspace(self, request: Any, context: Context) -> messages.DeleteWorkspaceResponse:  # noqa: N802 - named by the wire
        """Delete a workspace."""
        async with aborting(context):
            workspace = self._one(request.org_id, request.workspace)
            if workspace.workspace_id == request.org_id:
                raise RefusedError(ErrorReason.PERMISSION_DENIED, "the default workspace cannot be deleted")
            self._all(request.org_id).remove(workspace)
            return messages.DeleteWorkspaceResponse()

    async def PutBudget(self, request: Any, context: Context) -> messages.PutBudgetResponse:  # noqa: N802 - named by the wire
        """Set a budget."""
        async with aborting(context):
            workspace = self._one(request.org_id, request.workspace)
            limits = {each.interval: each.limit_nano_usd for each in workspace.budgets}
            limits[request.interval] = request.limit_nano_usd
            ordered = [limits[interval] for interval in sorted(limits)]
            if ordered != sorted(set(ordered)) or not 0 < request.limit_nano_usd <= 10**15:
                raise wrong("limit_usd", "must rise with the interval")
            self._drop(workspace, request.interval)
            budget = messages.Budget(
                budget_id=str(uuid4()), interval=request.interval, limit_nano_usd=request.limit_nano_usd
            )
            budget.created_at.FromSeconds(CREATED_S)
            budget.updated_at.FromSeconds(CREATED_S)
            workspace.budgets.append(budget)
            if request.HasField("include_byok_in_budgets"):
                workspace.include_byok_in_budgets = request.include_byok_in_budgets
            return messages.PutBudgetResponse(workspace=workspace)

    async def DeleteBudget(self, request: Any, context: Context) -> messages.DeleteBudgetResponse:  # noqa: N802 - named by the wire
        """Remove a budget."""
        async with aborting(context):
            self._drop(self._one(request.org_id, request.workspace), request.interval)
            return messages.DeleteBudgetResponse()

    async def ListWorkspaceMembers(self, request: Any, context: Context) -> messages.ListWorkspaceMembersResponse:  # noqa: N802 - named by the wire
        """List members."""
        async with aborting(context):
            workspace_id = self._one(request.org_id, request.workspace).workspace_id
            found = self._members.get(workspace_id, [])
            return messages.ListWorkspaceMembersResponse(
                workspace_id=workspace_id,
                members=found[request.offset : request.offset + request.limit],
                total_count=len(found),
            )

    async def AddWorkspaceMembers(self, request: Any, context: Context) -> messages.AddWorkspaceMembersResponse:  # noqa: N802 - named by the wire
        """Add members."""
        async with aborting(context):
            workspace_id = self._one(request.org_id, request.workspace).workspace_id
            self._check_users(request)
            added = []
            for user_id in dict.fromkeys(request.user_ids):
                member = messages.WorkspaceMember(
                    membership_id=str(uuid5(uuid4(), user_id)), user_id=user_id, is_admin=True
                )
                member.created_at.FromSeconds(CREATED_S)
                added.append(member)
            self._members.setdefault(workspace_id, []).extend(added)
            return messages.AddWorkspaceMembersResponse(workspace_id=workspace_id, members=added)

    async def RemoveWorkspaceMembers(self, request: Any, context: Context) -> messages.RemoveWorkspaceMembersResponse:  # noqa: N802 - named by the wire
        """Remove members."""
        async with aborting(context):
            workspace_id = self._one(request.org_id, request.workspace).workspace_id
            self._check_users(request)
            before = self._members.get(workspace_id, [])
            self._members[workspace_id] = [each for each in before if each.user_id not in request.user_ids]
            removed = len(before) - len(self._members[workspace_id])
            return messages.RemoveWorkspaceMembersResponse(removed_count=removed)

    def _all(self, org_id: str) -> list[messages.Workspace]:
        if org_id not in self._of_org:
            self._of_org[org_id] = []
            fields = messages.WorkspaceFields(name="Default", slug="default")
            self._of_org[org_id].append(self._new(org_id, org_id, fields))
        return self._of_org[org_id]

    def _one(self, org_id: str, name: str) -> messages.Workspace:
        for each in self._all(org_id):
            if name in (each.workspace_id, each.fields.slug):
                return each
        raise NotFoundError("no such workspace")

    def _new(self, org_id: str, workspace_id: str, fields: messages.WorkspaceFields) -> messages.Workspace:
        self._check(org_id, fields, workspace_id)
        made = messages.Workspace(
            workspace_id=workspace_id,
            org_id=org_id,
            fields=messages.WorkspaceFields(
                io_logging_sampling_rate="1", io_logging_api_key_ids=messages.IoLoggingKeys(all=True)
            ),
        )
        made.fields.MergeFrom(fields)
        if fields.HasField("io_logging_api_key_ids"):
            made.fields.io_logging_api_key_ids.CopyFrom(fields.io_logging_api_key_ids)
        made.created_at.FromSeconds(CREATED_S)
        return made

    def _check(self, org_id: str, fields: messages.WorkspaceFields, workspace_id: str) -> None:
        if fields.HasField("name"):
            checked_name(fields.name)
        for name in ("description", "default_text_model", "default_image_model"):
            if not getattr(fields, name).isprintable():
                raise wrong(name, "must not have control characters")
        if fields.HasField("slug"):
            if _SLUG.fullmatch(fields.slug) is None:
                raise wrong("slug", "must be lower-case letters and digits between single hyphens")
            others = {each.fields.slug for each in self._of_org.get(org_id, []) if each.workspace_id != workspace_id}
            if fields.slug in others:
                raise RefusedError(ErrorReason.ALREADY_EXISTS, "there is a workspace with this slug")

    def _check_users(self, request: Any) -> None:
        known = {each.user.user_id for each in self._organizations.members.get(request.org_id, [])}
        for user_id in request.user_ids:
            if checked_id("user_ids", user_id) not in known:
                raise wrong("user_ids", "must all be members of the organisation")

    @staticmethod
    def _drop(workspace: messages.Workspace, interval: int) -> None:
        kept = [each for each in workspace.budgets if each.interval != interval]
        del workspace.budgets[:]
        workspace.budgets.extend(kept)
