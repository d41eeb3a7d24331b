"""`/keys` with a management key, and `GET /key` with any."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from uuid import UUID

import msgspec
from aiohttp import web

from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.queries import flag_parameter, number_parameter, text_parameter
from edge.api.http.routes import Access, Route
from edge.api.management import key_operations as operations
from edge.api.management.key_json import key_json, own_key_json
from edge.api.management.key_requests import key_change, new_key
from edge.domain.errors import InvalidInputError, NotFoundError
from edge.ports import KeyFilter, KeyRegistry
from servicekit.clock import Clock
from turnpike.accounts.v1 import key_service_pb2

_encode = msgspec.json.Encoder().encode
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MAX_OFFSET: Final = 1_000_000
_MAX_IDEMPOTENCY_KEY: Final = 100


class Keys:
    """Manages keys of the caller's organisation."""

    def __init__(self, registry: KeyRegistry, bodies: JsonBodies, clock: Clock) -> None:
        """Make the handler.

        Args:
            registry: has the keys.
            bodies: reads requests.
            clock: says which periods of spending are over.
        """
        self._registry = registry
        self._clock = clock
        self._bodies = bodies

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/key", Access.ANY_KEY, self.own, operations.OWN),
            # An older name of the same, which clients still use.
            Route("GET", "/auth/key", Access.ANY_KEY, self.own, operations.OWN_OLDER),
            Route("GET", "/keys", Access.OWN_KEYS, self.list, operations.LIST),
            Route("POST", "/keys", Access.OWN_KEYS, self.create, operations.CREATE),
            Route("GET", "/keys/{hash}", Access.OWN_KEYS, self.get, operations.GET),
            Route("PATCH", "/keys/{hash}", Access.OWN_KEYS, self.update, operations.UPDATE),
            Route("DELETE", "/keys/{hash}", Access.OWN_KEYS, self.delete, operations.DELETE),
        )

    async def own(self, exchange: Exchange) -> web.StreamResponse:
        """Describe the key that the caller uses."""
        key = exchange.principal.key
        found = await self._registry.get(key.org_id, key.digest)
        return exchange.json(_encode({"data": own_key_json(found.key, self._clock.now())}))

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """List keys, newest first, 100 at most from `offset` on."""
        request, org_id = exchange.request, _org_id(exchange)
        offset = number_parameter(request, "offset", lowest=0, highest=_MAX_OFFSET) or 0
        wanted = KeyFilter(
            include_disabled=flag_parameter(request, "include_disabled") or False,
            workspace_id=_workspace(request),
            creator_user_id=exchange.principal.sees_keys_of,
        )
        listed = await self._registry.list(org_id, offset, wanted)
        now = self._clock.now()
        rows = [key_json(key, now) for key in listed.keys]
        return exchange.json(_encode({"data": rows, "total_count": listed.total_count}))

    async def create(self, exchange: Exchange) -> web.StreamResponse:
        """Make a key. The whole key is in this answer and nowhere else."""
        idempotency_key = exchange.request.headers.get("Idempotency-Key", "")
        if len(idempotency_key) > _MAX_IDEMPOTENCY_KEY:
            raise InvalidInputError(f"Idempotency-Key: longer than {_MAX_IDEMPOTENCY_KEY} characters")
        data = await self._bodies.read(exchange.request)
        created = await self._registry.create(new_key(data, _org_id(exchange), idempotency_key, exchange.actor))
        row = key_json(created.key, self._clock.now())
        return exchange.json(_encode({"data": row, "key": created.secret}), HTTPStatus.CREATED)

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Describe a key."""
        found = await self._seen(exchange)
        return exchange.json(_encode({"data": key_json(found.key, self._clock.now())}))

    async def _seen(self, exchange: Exchange) -> key_service_pb2.GetKeyResponse:
        """Return the key that the path names.

        Raises:
            NotFoundError: the organisation has no such key, or the caller sees only keys of their own.
        """
        found = await self._registry.get(_org_id(exchange), _digest(exchange))
        if exchange.principal.sees_keys_of not in ("", found.key.creator_user_id):
            raise NotFoundError("Key not found")
        return found

    async def update(self, exchange: Exchange) -> web.StreamResponse:
        """Change a key."""
        org_id, digest = _org_id(exchange), _digest(exchange)
        data = await self._bodies.read(exchange.request)
        await self._seen(exchange)
        updated = await self._registry.update(key_change(data, org_id, digest, exchange.actor))
        return exchange.json(_encode({"data": key_json(updated.key, self._clock.now())}))

    async def delete(self, exchange: Exchange) -> web.StreamResponse:
        """Delete a key."""
        await self._seen(exchange)
        await self._registry.delete(_org_id(exchange), _digest(exchange), exchange.actor)
        return exchange.json(_encode({"deleted": True}))


def _workspace(request: web.BaseRequest) -> str:
    """The workspace that the query names; empty for all.

    Raises:
        InvalidInputError: none can have that name.
    """
    text = text_parameter(request, "workspace_id")
    if text is None:
        return ""
    try:
        return str(UUID(text))
    except ValueError:
        raise InvalidInputError("workspace_id: there is no such workspace", "workspace_id") from None


def _org_id(exchange: Exchange) -> str:
    return exchange.principal.org.org_id


def _digest(exchange: Exchange) -> str:
    """The key that the path names.

    Raises:
        NotFoundError: no key can have that name.
    """
    digest = exchange.params["hash"]
    if _DIGEST.fullmatch(digest) is None:
        raise NotFoundError("Key not found")
    return digest
