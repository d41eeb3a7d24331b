"""`/organization/rate-limits`: what all of an organisation, or all keys of a workspace, may use together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from contracts.rate_limits import rate_limits_from_proto, rate_limits_to_proto
from edge.api.http.answer import Answer
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import Access, Route
from edge.api.management.key_answers import KeyRateLimit
from edge.api.management.key_bodies import RateLimitBody
from edge.api.management.key_json import rate_limits_json
from edge.api.management.key_requests import RATE_LIMIT_MEMBERS, rate_limit
from edge.api.management.members import JsonMembers, read_members
from edge.api.organization.calls import Calls, org_id
from turnpike.accounts.v1 import org_service_pb2 as messages
from turnpike.accounts.v1 import records_pb2

_encode = msgspec.json.Encoder().encode
_MEMBERS: Final = frozenset({"rate_limits"})
_LIMIT_MEMBERS: Final = frozenset({*RATE_LIMIT_MEMBERS, "workspace_id"})
_MAX_ID: Final = 100


class OrgRateLimitBody(RateLimitBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit that all keys of a workspace share; of the whole organisation without one."""

    workspace_id: Annotated[str, Meta(min_length=1, max_length=_MAX_ID)] | None = None


class OrgRateLimitsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All limits that there shall be."""

    rate_limits: Annotated[list[OrgRateLimitBody], Meta(max_length=10_000)]


class OrgRateLimit(KeyRateLimit, frozen=True, kw_only=True):
    """A limit; `workspace_id` is null where it is the whole organisation's."""

    workspace_id: str | None


class OrgRateLimits(Answer, frozen=True, kw_only=True):
    """The limits of an organisation and of its workspaces."""

    data: list[OrgRateLimit]


_GET: Final = Operation(
    id="getOrganizationRateLimits", tag="Organization", summary="List the rate limits", answer=OrgRateLimits
)
_PUT: Final = Operation(
    id="setOrganizationRateLimits",
    tag="Organization",
    summary="Set the rate limits",
    body=OrgRateLimitsBody,
    answer=OrgRateLimits,
)


class RateLimitRoutes:
    """Serves the rate limits of the caller's organisation."""

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
            Route("GET", "/organization/rate-limits", Access.ORGANIZATION, self.get, _GET),
            Route("PUT", "/organization/rate-limits", Access.MANAGEMENT_KEY, self.put, _PUT),
        )

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """List the limits."""
        request = messages.GetOrgRequest(org_id=org_id(exchange))
        found = await self._calls(exchange, "OrgService/GetOrg", request, messages.GetOrgResponse)
        return exchange.json(_encode({"data": list(_rows(found.org.rate_limits))}))

    async def put(self, exchange: Exchange) -> web.StreamResponse:
        """Put other limits in their place."""
        members = read_members(await self._bodies.read(exchange.request), _MEMBERS)
        entries = members.objects("rate_limits", _LIMIT_MEMBERS)
        if entries is None:
            raise members.wrong("rate_limits", "required")
        request = messages.SetRateLimitsRequest(
            org_id=org_id(exchange), rate_limits=[_limit_to_proto(entry) for entry in entries]
        )
        changed = await self._calls(exchange, "OrgService/SetRateLimits", request, messages.SetRateLimitsResponse)
        return exchange.json(_encode({"data": list(_rows(changed.org.rate_limits))}))


def _limit_to_proto(entry: JsonMembers) -> records_pb2.OrgRateLimit:
    (limit,) = rate_limits_to_proto([rate_limit(entry)])
    return records_pb2.OrgRateLimit(workspace_id=entry.text("workspace_id", most=_MAX_ID) or "", limit=limit)


def _rows(limits: Iterable[records_pb2.OrgRateLimit]) -> Iterable[dict[str, Any]]:
    for each in limits:
        (row,) = rate_limits_json(rate_limits_from_proto([each.limit]))
        yield row | {"workspace_id": each.workspace_id or None}
