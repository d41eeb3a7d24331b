"""`/guardrails` with a management key."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from contracts.errors import ErrorReason
from contracts.guardrails import policy_from_proto, policy_to_proto
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.api.management import guardrail_operations as operations
from edge.api.management.guardrail_json import guardrail_json
from edge.api.management.guardrail_requests import GuardrailBody, changed_guardrail, new_guardrail
from edge.domain.errors import NotFoundError, RefusedError
from edge.ports import GuardrailRegistry
from turnpike.accounts.v1 import guardrail_service_pb2

_encode = msgspec.json.Encoder().encode
DEFAULT_PAGE: Final = 50
# A change is made to what was read; when somebody was faster it is read again, so often.
_TRIES: Final = 3


class Guardrails:
    """Manages guardrails of the caller's organisation."""

    def __init__(self, registry: GuardrailRegistry, bodies: JsonBodies) -> None:
        """Make the handler.

        Args:
            registry: has the guardrails.
            bodies: reads requests.
        """
        self._registry = registry
        self._bodies = bodies

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/guardrails", Access.MANAGEMENT_KEY, self.list, operations.LIST),
            Route("POST", "/guardrails", Access.MANAGEMENT_KEY, self.create, operations.CREATE),
            Route("GET", "/guardrails/{id}", Access.MANAGEMENT_KEY, self.get, operations.GET),
            Route("PATCH", "/guardrails/{id}", Access.MANAGEMENT_KEY, self.update, operations.UPDATE),
            Route("DELETE", "/guardrails/{id}", Access.MANAGEMENT_KEY, self.delete, operations.DELETE),
        )

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """List the guardrails of a workspace, newest first."""
        query = read_query(exchange.request, operations.GuardrailsQuery)
        request = guardrail_service_pb2.ListGuardrailsRequest(
            org_id=exchange.principal.org.org_id,
            workspace_id=query.workspace_id or "",
            offset=query.offset or 0,
            limit=query.limit or DEFAULT_PAGE,
        )
        listed = await self._registry.list(request)
        rows = [guardrail_json(each) for each in listed.guardrails]
        return exchange.json(_encode({"data": rows, "total_count": listed.total_count}))

    async def create(self, exchange: Exchange) -> web.StreamResponse:
        """Make a guardrail, which binds nobody until it is assigned."""
        body = new_guardrail(await self._bodies.read(exchange.request))
        request = guardrail_service_pb2.CreateGuardrailRequest(
            org_id=exchange.principal.org.org_id,
            workspace_id=body.workspace_id,
            name=body.name,
            description=body.description,
            policy=policy_to_proto(body.policy),
        )
        created = await self._registry.create(request, exchange.actor)
        return exchange.json(_encode({"data": guardrail_json(created.guardrail)}), HTTPStatus.CREATED)

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Describe a guardrail."""
        found = await self._registry.get(exchange.principal.org.org_id, exchange.params["id"])
        return exchange.json(_encode({"data": guardrail_json(found)}))

    async def update(self, exchange: Exchange) -> web.StreamResponse:
        """Change a guardrail; a change of a workspace's default makes it."""
        data = await self._bodies.read(exchange.request)
        for left in reversed(range(_TRIES)):
            try:
                return exchange.json(_encode({"data": await self._changed(exchange, data)}))
            except RefusedError as error:
                if error.reason is not ErrorReason.ALREADY_EXISTS or not left:
                    raise
        raise NotFoundError("Guardrail not found")

    async def delete(self, exchange: Exchange) -> web.StreamResponse:
        """Delete a guardrail and its assignments."""
        await self._registry.delete(exchange.principal.org.org_id, exchange.params["id"], exchange.actor)
        return exchange.json(_encode({"deleted": True}))

    async def _changed(self, exchange: Exchange, data: bytes) -> dict[str, object]:
        org_id, guardrail_id = exchange.principal.org.org_id, exchange.params["id"]
        known = await self._registry.get(org_id, guardrail_id)
        body = GuardrailBody(known.name, known.description, policy_from_proto(known.policy))
        body = changed_guardrail(data, body)
        request = guardrail_service_pb2.UpdateGuardrailRequest(
            org_id=org_id,
            guardrail_id=guardrail_id,
            revision=known.revision,
            name=body.name,
            description=body.description,
            policy=policy_to_proto(body.policy),
        )
        return guardrail_json((await self._registry.update(request, exchange.actor)).guardrail)
