"""`/guardrails/assignments` and `/guardrails/{id}/assignments`: which keys and members a guardrail binds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from dialects.errors import InvalidRequestError
from dialects.request_reading import convert_request, parse_request
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.api.management import guardrail_operations as operations
from edge.api.management.guardrail_json import key_assignment_json, member_assignment_json
from edge.api.management.guardrails import DEFAULT_PAGE
from edge.domain.errors import InvalidInputError
from edge.ports import GuardrailRegistry
from turnpike.accounts.v1 import guardrail_service_pb2

S = TypeVar("S", bound=Struct)
_encode = msgspec.json.Encoder().encode
_KEYS = guardrail_service_pb2.ASSIGNMENT_KIND_KEY
_MEMBERS = guardrail_service_pb2.ASSIGNMENT_KIND_MEMBER


class GuardrailAssignments:
    """Binds keys and members of the caller's organisation, and frees them."""

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
        key, keys, members = Access.MANAGEMENT_KEY, partial(self.page, _KEYS), partial(self.page, _MEMBERS)
        return (
            Route("GET", "/guardrails/assignments/keys", key, keys, operations.LIST_KEYS),
            Route("GET", "/guardrails/assignments/members", key, members, operations.LIST_MEMBERS),
            Route("GET", "/guardrails/{id}/assignments/keys", key, keys, operations.LIST_OWN_KEYS),
            Route("GET", "/guardrails/{id}/assignments/members", key, members, operations.LIST_OWN_MEMBERS),
            Route("POST", "/guardrails/{id}/assignments/keys", key, self.assign_keys, operations.ASSIGN_KEYS),
            Route("POST", "/guardrails/{id}/assignments/members", key, self.assign_members, operations.ASSIGN_MEMBERS),
            Route("POST", "/guardrails/{id}/assignments/keys/remove", key, self.free_keys, operations.FREE_KEYS),
            Route(
                "POST", "/guardrails/{id}/assignments/members/remove", key, self.free_members, operations.FREE_MEMBERS
            ),
        )

    async def page(
        self, kind: guardrail_service_pb2.AssignmentKind.ValueType, exchange: Exchange
    ) -> web.StreamResponse:
        """List the assignments of one guardrail, or of all, newest first."""
        query = read_query(exchange.request, operations.PageQuery)
        org_id = exchange.principal.org.org_id
        request = guardrail_service_pb2.ListAssignmentsRequest(
            org_id=org_id,
            guardrail_id=exchange.params.get("id", ""),
            kind=kind,
            offset=query.offset or 0,
            limit=query.limit or DEFAULT_PAGE,
        )
        listed = await self._registry.assignments(request)
        if kind == _KEYS:
            rows = [key_assignment_json(each) for each in listed.assignments]
        else:
            rows = [member_assignment_json(each, org_id) for each in listed.assignments]
        return exchange.json(_encode({"data": rows, "total_count": listed.total_count}))

    async def assign_keys(self, exchange: Exchange) -> web.StreamResponse:
        """Bind keys; an earlier guardrail of theirs is replaced."""
        body = await self._body(exchange, operations.KeyHashes)
        return await self._assign(exchange, body.key_hashes, [])

    async def assign_members(self, exchange: Exchange) -> web.StreamResponse:
        """Bind members, with every key of theirs."""
        body = await self._body(exchange, operations.MemberUserIds)
        return await self._assign(exchange, [], body.member_user_ids)

    async def free_keys(self, exchange: Exchange) -> web.StreamResponse:
        """Free keys."""
        body = await self._body(exchange, operations.KeyHashes)
        return await self._free(exchange, body.key_hashes, [])

    async def free_members(self, exchange: Exchange) -> web.StreamResponse:
        """Free members."""
        body = await self._body(exchange, operations.MemberUserIds)
        return await self._free(exchange, [], body.member_user_ids)

    async def _assign(self, exchange: Exchange, digests: list[str], user_ids: list[str]) -> web.StreamResponse:
        principal = exchange.principal
        request = guardrail_service_pb2.AssignGuardrailRequest(
            org_id=principal.org.org_id,
            guardrail_id=exchange.params["id"],
            key_digests=digests,
            user_ids=user_ids,
            assigned_by=principal.key.creator_user_id,
        )
        return exchange.json(_encode({"assigned_count": await self._registry.assign(request, exchange.actor)}))

    async def _free(self, exchange: Exchange, digests: list[str], user_ids: list[str]) -> web.StreamResponse:
        request = guardrail_service_pb2.UnassignGuardrailRequest(
            org_id=exchange.principal.org.org_id,
            guardrail_id=exchange.params["id"],
            key_digests=digests,
            user_ids=user_ids,
        )
        return exchange.json(_encode({"unassigned_count": await self._registry.unassign(request, exchange.actor)}))

    async def _body(self, exchange: Exchange, kind: type[S]) -> S:
        data = await self._bodies.read(exchange.request)
        try:
            return convert_request(parse_request(data), kind)
        except InvalidRequestError as error:
            raise InvalidInputError(error.message, error.param) from None
