"""`/byok` with a management key."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.api.http.timestamps import timestamp_json
from edge.api.management import byok_operations as operations
from edge.api.management.byok_requests import changed_byok_key, new_byok_key
from edge.api.management.guardrails import DEFAULT_PAGE
from edge.ports import ByokRegistry
from turnpike.accounts.v1 import byok_service_pb2, records_pb2

_encode = msgspec.json.Encoder().encode


class Byok:
    """Manages provider keys of the caller's organisation. A key that comes in is handed on and not kept."""

    def __init__(self, registry: ByokRegistry, bodies: JsonBodies) -> None:
        """Make the handler.

        Args:
            registry: has the provider keys.
            bodies: reads requests.
        """
        self._registry = registry
        self._bodies = bodies

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/byok", Access.MANAGEMENT_KEY, self.list, operations.LIST),
            Route("POST", "/byok", Access.MANAGEMENT_KEY, self.create, operations.CREATE),
            Route("GET", "/byok/{id}", Access.MANAGEMENT_KEY, self.get, operations.GET),
            Route("PATCH", "/byok/{id}", Access.MANAGEMENT_KEY, self.update, operations.UPDATE),
            Route("DELETE", "/byok/{id}", Access.MANAGEMENT_KEY, self.delete, operations.DELETE),
        )

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """List provider keys of a workspace: by provider, in the order in which they are tried."""
        query = read_query(exchange.request, operations.ByokQuery)
        request = byok_service_pb2.ListByokKeysRequest(
            org_id=exchange.principal.org.org_id,
            workspace_id=query.workspace_id or "",
            provider=query.provider or "",
            offset=query.offset or 0,
            limit=query.limit or DEFAULT_PAGE,
        )
        listed = await self._registry.list(request)
        rows = [_key_json(each) for each in listed.keys]
        return exchange.json(_encode({"data": rows, "total_count": listed.total_count}))

    async def create(self, exchange: Exchange) -> web.StreamResponse:
        """Store a provider key."""
        request = new_byok_key(await self._bodies.read(exchange.request), exchange.principal.org.org_id)
        return exchange.json(
            _encode({"data": _key_json(await self._registry.create(request, exchange.actor))}), HTTPStatus.CREATED
        )

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Describe a provider key."""
        found = await self._registry.get(exchange.principal.org.org_id, exchange.params["id"])
        return exchange.json(_encode({"data": _key_json(found)}))

    async def update(self, exchange: Exchange) -> web.StreamResponse:
        """Change a provider key, or put another one in its place."""
        known = await self._registry.get(exchange.principal.org.org_id, exchange.params["id"])
        request = changed_byok_key(await self._bodies.read(exchange.request), known)
        return exchange.json(_encode({"data": _key_json(await self._registry.update(request, exchange.actor))}))

    async def delete(self, exchange: Exchange) -> web.StreamResponse:
        """Delete a provider key."""
        await self._registry.delete(exchange.principal.org.org_id, exchange.params["id"], exchange.actor)
        return exchange.json(_encode({"deleted": True}))


def _key_json(key: byok_service_pb2.ByokKey) -> dict[str, Any]:
    return {
        "id": key.byok_key_id,
        "provider": key.provider,
        "name": key.name or None,
        "label": key.label,
        "workspace_id": key.workspace_id or None,
        "disabled": key.disabled,
        "is_fallback": key.is_fallback,
        "is_required": key.is_required,
        "is_byok_only": False,
        "sort_order": key.sort_order,
        "allowed_models": _values(key.allowed_models) if key.HasField("allowed_models") else None,
        "allowed_api_key_hashes": _values(key.allowed_key_digests) if key.HasField("allowed_key_digests") else None,
        "allowed_user_ids": _values(key.allowed_user_ids) if key.HasField("allowed_user_ids") else None,
        "declared_zdr": None,
        "declared_region": None,
        "created_at": timestamp_json(key.created_at),
    }


def _values(listed: records_pb2.TextList) -> Sequence[str]:
    return tuple(listed.values)
