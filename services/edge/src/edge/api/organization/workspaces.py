"""`/workspaces`: what keys are grouped by."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from edge.api.http.answer import Answer, Data, Page
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.api.management.members import JsonMembers, read_body
from edge.api.organization.calls import DEFAULT_PAGE, Calls, PageQuery, org_id
from edge.api.organization.requests import NewWorkspaceBody, WorkspaceChangeBody
from edge.api.organization.workspace_answers import Workspace, workspace_of
from turnpike.accounts.v1 import workspace_service_pb2 as messages

_encode = msgspec.json.Encoder().encode
_SORTS: Final = {name: name for name in ("price", "throughput", "latency", "exacto")}
_FLAGS: Final = (
    "is_data_discount_logging_enabled",
    "is_observability_broadcast_enabled",
    "is_observability_io_logging_enabled",
)
_TEXTS: Final = {"description": 500, "default_text_model": 200, "default_image_model": 200}
_RATE: Final = "io_logging_sampling_rate"
_KEYS: Final = "io_logging_api_key_ids"


class Deleted(Answer, frozen=True, kw_only=True):
    """It is gone."""

    deleted: bool


_LIST: Final = Operation(
    id="listWorkspaces", tag="Workspaces", summary="List workspaces", query=PageQuery, answer=Page[Workspace]
)
_CREATE: Final = Operation(
    id="createWorkspace",
    tag="Workspaces",
    summary="Make a workspace",
    body=NewWorkspaceBody,
    answer=Data[Workspace],
    status=201,
    errors=(409,),
)
_GET: Final = Operation(id="getWorkspace", tag="Workspaces", summary="Get a workspace", answer=Data[Workspace])
_UPDATE: Final = Operation(
    id="updateWorkspace",
    tag="Workspaces",
    summary="Change a workspace",
    body=WorkspaceChangeBody,
    answer=Data[Workspace],
    errors=(409,),
)
_DELETE: Final = Operation(id="deleteWorkspace", tag="Workspaces", summary="Delete a workspace", answer=Deleted)


class Workspaces:
    """Serves the workspaces of the caller's organisation."""

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
            Route("GET", "/workspaces", Access.ORGANIZATION, self.list, _LIST),
            Route("POST", "/workspaces", Access.MANAGEMENT_KEY, self.create, _CREATE),
            Route("GET", "/workspaces/{id}", Access.ORGANIZATION, self.get, _GET),
            Route("PATCH", "/workspaces/{id}", Access.MANAGEMENT_KEY, self.update, _UPDATE),
            Route("DELETE", "/workspaces/{id}", Access.MANAGEMENT_KEY, self.delete, _DELETE),
        )

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """List workspaces, the default one first."""
        query = read_query(exchange.request, PageQuery)
        request = messages.ListWorkspacesRequest(
            org_id=org_id(exchange), offset=query.offset or 0, limit=query.limit or DEFAULT_PAGE
        )
        listed = await self._calls(
            exchange, "WorkspaceService/ListWorkspaces", request, messages.ListWorkspacesResponse
        )
        page = Page(data=[workspace_of(each) for each in listed.workspaces], total_count=listed.total_count)
        return exchange.json(_encode(page))

    async def create(self, exchange: Exchange) -> web.StreamResponse:
        """Make a workspace."""
        fields = _fields(read_body(await self._bodies.read(exchange.request), NewWorkspaceBody))
        request = messages.CreateWorkspaceRequest(org_id=org_id(exchange), fields=fields)
        made = await self._calls(
            exchange, "WorkspaceService/CreateWorkspace", request, messages.CreateWorkspaceResponse
        )
        return exchange.json(_encode(Data(data=workspace_of(made.workspace))), HTTPStatus.CREATED)

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Return a workspace."""
        request = messages.GetWorkspaceRequest(org_id=org_id(exchange), workspace=exchange.params["id"])
        found = await self._calls(exchange, "WorkspaceService/GetWorkspace", request, messages.GetWorkspaceResponse)
        return exchange.json(_encode(Data(data=workspace_of(found.workspace))))

    async def update(self, exchange: Exchange) -> web.StreamResponse:
        """Change a workspace."""
        fields = _fields(read_body(await self._bodies.read(exchange.request), WorkspaceChangeBody))
        request = messages.UpdateWorkspaceRequest(
            org_id=org_id(exchange), workspace=exchange.params["id"], fields=fields
        )
        changed = await self._calls(
            exchange, "WorkspaceService/UpdateWorkspace", request, messages.UpdateWorkspaceResponse
        )
        return exchange.json(_encode(Data(data=workspace_of(changed.workspace))))

    async def delete(self, exchange: Exchange) -> web.StreamResponse:
        """Delete a workspace."""
        request = messages.DeleteWorkspaceRequest(org_id=org_id(exchange), workspace=exchange.params["id"])
        await self._calls(exchange, "WorkspaceService/DeleteWorkspace", request, messages.DeleteWorkspaceResponse)
        return exchange.json(_encode(Deleted(deleted=True)))


def _fields(body: JsonMembers) -> messages.WorkspaceFields:
    """Read what a body sets; null sets a member that may be none to none."""
    fields = messages.WorkspaceFields()
    for name, most in {"name": 100, "slug": 50}.items():
        text = body.text(name, most=most)
        if text is not None:
            setattr(fields, name, text)
    for name, most in _TEXTS.items():
        if body.has(name):
            setattr(fields, name, "" if body.is_null(name) else body.optional_text(name, most=most))
    if body.has("default_provider_sort"):
        fields.default_provider_sort = body.choice("default_provider_sort", _SORTS) or ""
    for name in _FLAGS:
        flag = body.flag(name)
        if flag is not None:
            setattr(fields, name, flag)
    rate = body.number(_RATE)
    if rate is not None:
        fields.io_logging_sampling_rate = f"{rate:f}"
    if body.has(_KEYS):
        numbers = body.wholes(_KEYS)
        keys = messages.IoLoggingKeys(all=numbers is None)
        keys.ids.extend(numbers or ())
        fields.io_logging_api_key_ids.CopyFrom(keys)
    return fields
