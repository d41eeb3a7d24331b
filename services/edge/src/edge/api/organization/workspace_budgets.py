"""`/workspaces/{id}/budgets` and `/workspaces/{id}/members`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web

from edge.api.http.answer import Page
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.api.management.members import read_body
from edge.api.organization.calls import DEFAULT_PAGE, Calls, PageQuery, org_id
from edge.api.organization.requests import BudgetBody, UsersBody
from edge.api.organization.workspace_answers import (
    INTERVALS,
    AddedMembers,
    BudgetAnswer,
    BudgetsAnswer,
    RemovedMembers,
    WorkspaceMember,
    budget_answer,
    budget_of,
    members_page,
    workspace_member_of,
)
from edge.api.organization.workspaces import Deleted
from edge.domain.errors import InvalidInputError, NotFoundError
from turnpike.accounts.v1 import workspace_service_pb2 as messages

_encode = msgspec.json.Encoder().encode
_LIST: Final = Operation(
    id="listWorkspaceBudgets", tag="Workspaces", summary="List the budgets of a workspace", answer=BudgetsAnswer
)
_GET: Final = Operation(
    id="getWorkspaceBudget", tag="Workspaces", summary="Get the budget of an interval", answer=BudgetAnswer
)
_PUT: Final = Operation(
    id="upsertWorkspaceBudget",
    tag="Workspaces",
    summary="Set the budget of an interval",
    body=BudgetBody,
    answer=BudgetAnswer,
)
_DELETE: Final = Operation(
    id="deleteWorkspaceBudget", tag="Workspaces", summary="Remove the budget of an interval", answer=Deleted
)
_MEMBERS: Final = Operation(
    id="listWorkspaceMembers",
    tag="Workspaces",
    summary="List the members of a workspace",
    query=PageQuery,
    answer=Page[WorkspaceMember],
)
_ADD: Final = Operation(
    id="bulkAddWorkspaceMembers",
    tag="Workspaces",
    summary="Add members to a workspace",
    body=UsersBody,
    answer=AddedMembers,
)
_REMOVE: Final = Operation(
    id="bulkRemoveWorkspaceMembers",
    tag="Workspaces",
    summary="Remove members from a workspace",
    body=UsersBody,
    answer=RemovedMembers,
)


class WorkspaceBudgets:
    """Serves budgets and members of workspaces."""

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
        read, manage = Access.ORGANIZATION, Access.MANAGEMENT_KEY
        return (
            Route("GET", "/workspaces/{id}/budgets", read, self.list, _LIST),
            Route("GET", "/workspaces/{id}/budgets/{interval}", read, self.get, _GET),
            Route("PUT", "/workspaces/{id}/budgets/{interval}", manage, self.put, _PUT),
            Route("DELETE", "/workspaces/{id}/budgets/{interval}", manage, self.delete, _DELETE),
            Route("GET", "/workspaces/{id}/members", read, self.members, _MEMBERS),
            Route("POST", "/workspaces/{id}/members/add", manage, self.add, _ADD),
            Route("POST", "/workspaces/{id}/members/remove", manage, self.remove, _REMOVE),
        )

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """List budgets, the narrowest interval first."""
        workspace = await self._workspace(exchange)
        answer = BudgetsAnswer(
            data=[budget_of(budget, workspace.workspace_id) for budget in workspace.budgets],
            include_byok_in_budgets=workspace.include_byok_in_budgets,
        )
        return exchange.json(_encode(answer))

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Return the budget of an interval.

        Raises:
            NotFoundError: there is none.
        """
        interval = _interval(exchange)
        answer = budget_answer(await self._workspace(exchange), interval)
        if answer is None:
            raise NotFoundError("No such budget")
        return exchange.json(_encode(answer))

    async def put(self, exchange: Exchange) -> web.StreamResponse:
        """Set the budget of an interval."""
        interval = _interval(exchange)
        body = read_body(await self._bodies.read(exchange.request), BudgetBody)
        limit = body.dollars("limit_usd")
        if limit is None:
            raise body.wrong("limit_usd", "required")
        request = messages.PutBudgetRequest(
            org_id=org_id(exchange),
            workspace=exchange.params["id"],
            interval=interval,
            limit_nano_usd=limit,
            include_byok_in_budgets=body.flag("include_byok_in_budgets"),
        )
        changed = await self._calls(exchange, "WorkspaceService/PutBudget", request, messages.PutBudgetResponse)
        return exchange.json(_encode(budget_answer(changed.workspace, interval)))

    async def delete(self, exchange: Exchange) -> web.StreamResponse:
        """Remove the budget of an interval, if there is one."""
        request = messages.DeleteBudgetRequest(
            org_id=org_id(exchange), workspace=exchange.params["id"], interval=_interval(exchange)
        )
        await self._calls(exchange, "WorkspaceService/DeleteBudget", request, messages.DeleteBudgetResponse)
        return exchange.json(_encode(Deleted(deleted=True)))

    async def members(self, exchange: Exchange) -> web.StreamResponse:
        """List the members of a workspace, the longest-standing first."""
        query = read_query(exchange.request, PageQuery)
        request = messages.ListWorkspaceMembersRequest(
            org_id=org_id(exchange),
            workspace=exchange.params["id"],
            offset=query.offset or 0,
            limit=query.limit or DEFAULT_PAGE,
        )
        listed = await self._calls(
            exchange, "WorkspaceService/ListWorkspaceMembers", request, messages.ListWorkspaceMembersResponse
        )
        return exchange.json(_encode(members_page(listed)))

    async def add(self, exchange: Exchange) -> web.StreamResponse:
        """Add members of the organisation, all or none."""
        request = messages.AddWorkspaceMembersRequest(
            org_id=org_id(exchange), workspace=exchange.params["id"], user_ids=await self._users(exchange)
        )
        added = await self._calls(
            exchange, "WorkspaceService/AddWorkspaceMembers", request, messages.AddWorkspaceMembersResponse
        )
        members = [workspace_member_of(each, added.workspace_id) for each in added.members]
        return exchange.json(_encode(AddedMembers(added_count=len(members), data=members)))

    async def remove(self, exchange: Exchange) -> web.StreamResponse:
        """Remove members, all or none."""
        request = messages.RemoveWorkspaceMembersRequest(
            org_id=org_id(exchange), workspace=exchange.params["id"], user_ids=await self._users(exchange)
        )
        removed = await self._calls(
            exchange, "WorkspaceService/RemoveWorkspaceMembers", request, messages.RemoveWorkspaceMembersResponse
        )
        return exchange.json(_encode(RemovedMembers(removed_count=removed.removed_count)))

    async def _workspace(self, exchange: Exchange) -> messages.Workspace:
        request = messages.GetWorkspaceRequest(org_id=org_id(exchange), workspace=exchange.params["id"])
        found = await self._calls(exchange, "WorkspaceService/GetWorkspace", request, messages.GetWorkspaceResponse)
        return found.workspace

    async def _users(self, exchange: Exchange) -> Sequence[str]:
        body = read_body(await self._bodies.read(exchange.request), UsersBody)
        users = body.texts("user_ids")
        if users is None:
            raise body.wrong("user_ids", "required")
        return users


def _interval(exchange: Exchange) -> messages.BudgetInterval.ValueType:
    interval = INTERVALS.get(exchange.params["interval"])
    if interval is None:
        raise InvalidInputError(f"interval: expected one of {', '.join(INTERVALS)}", "interval")
    return interval
