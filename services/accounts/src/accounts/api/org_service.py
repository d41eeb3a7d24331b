"""The gRPC service of organisations and credit: parse, call, convert."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import grpc

from accounts.api.actors import actor_of
from accounts.api.errors import aborting
from accounts.domain.accounts import checked_id
from accounts.domain.errors import InvalidFieldError
from accounts.domain.org_limits import OrgLimit
from accounts.identity import Identity
from accounts.records import org_to_proto
from contracts.rate_limits import rate_limits_from_proto
from turnpike.accounts.v1 import org_service_pb2 as messages
from turnpike.accounts.v1 import org_service_pb2_grpc as stubs
from turnpike.accounts.v1 import records_pb2

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["OrgService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class OrgServicer(stubs.OrgServiceServicer):
    """Organisations and their credit. The names of the methods are those of the wire."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def CreateOrg(self, request: messages.CreateOrgRequest, context: Context) -> messages.CreateOrgResponse:  # noqa: N802 - named by the wire
        """Make an organisation."""
        async with aborting(context):
            org = await self._identity.create_org(request.name, "", actor_of(context))
            return messages.CreateOrgResponse(org=org_to_proto(org))

    async def GetOrg(self, request: messages.GetOrgRequest, context: Context) -> messages.GetOrgResponse:  # noqa: N802 - named by the wire
        """Return an organisation."""
        async with aborting(context):
            org = await self._identity.org(request.org_id)
            return messages.GetOrgResponse(org=org_to_proto(org))

    async def GetCredits(self, request: messages.GetCreditsRequest, context: Context) -> messages.GetCreditsResponse:  # noqa: N802 - named by the wire
        """Return what an organisation bought and used."""
        async with aborting(context):
            org = await self._identity.org(request.org_id)
            return messages.GetCreditsResponse(total_credits_nano_usd=org.credits, total_usage_nano_usd=org.usage)

    async def SetRateLimits(  # noqa: N802 - named by the wire
        self, request: messages.SetRateLimitsRequest, context: Context
    ) -> messages.SetRateLimitsResponse:
        """Set rate limits."""
        async with aborting(context):
            org = await self._identity.set_rate_limits(
                request.org_id, list(_limits(request.rate_limits)), actor_of(context)
            )
            return messages.SetRateLimitsResponse(org=org_to_proto(org))

    async def GrantCredit(  # noqa: N802 - named by the wire
        self, request: messages.GrantCreditRequest, context: Context
    ) -> messages.GrantCreditResponse:
        """Give credit."""
        async with aborting(context):
            org = await self._identity.grant_credit(
                request.org_id, request.amount_nano_usd, request.idempotency_key, request.reason, actor_of(context)
            )
            return messages.GrantCreditResponse(org=org_to_proto(org))


def _limits(entries: Iterable[records_pb2.OrgRateLimit]) -> Iterator[OrgLimit]:
    for index, entry in enumerate(entries):
        field = f"rate_limits[{index}]"
        workspace_id = checked_id(f"{field}.workspace_id", entry.workspace_id) if entry.workspace_id else None
        try:
            (limit,) = rate_limits_from_proto([entry.limit])
        except ValueError as error:
            raise InvalidFieldError(field, f"is not valid: {error}") from None
        yield OrgLimit(workspace_id, limit)
