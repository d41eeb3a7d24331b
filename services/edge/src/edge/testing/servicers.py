"""The doubles behind real gRPC servers, to test the real clients against."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC
from typing import Any

import grpc

from contracts import api_keys
from contracts.errors import ErrorReason
from contracts.rate_limits import rate_limits_from_proto
from contracts.spend import SpendInterval
from edge.domain.actor import Actor
from edge.domain.errors import NotFoundError, RefusedError
from edge.ports import GenerationRecords, KeyChange, KeyFields, KeyFilter, NewKey
from edge.testing.accounts import PEPPER, PREVIOUS_PEPPER, MemoryAccounts
from edge.testing.organizations import AuditServicer, MemberServicer, MemoryOrganizations
from edge.testing.refusals import aborting
from edge.testing.router import ScriptedRouter
from edge.testing.sessions import SessionServicer
from edge.testing.workspaces import WorkspaceServicer
from turnpike.accounts.v1 import (
    audit_service_pb2_grpc,
    key_service_pb2,
    key_service_pb2_grpc,
    member_service_pb2_grpc,
    org_service_pb2,
    org_service_pb2_grpc,
    session_service_pb2_grpc,
    workspace_service_pb2_grpc,
)
from turnpike.metering.v1 import metering_service_pb2, metering_service_pb2_grpc
from turnpike.router.v1 import invocation_pb2, router_service_pb2, router_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
_PEPPER_IDS = (api_keys.pepper_id(PEPPER), api_keys.pepper_id(PREVIOUS_PEPPER))


class KeyServicer(key_service_pb2_grpc.KeyServiceServicer):
    """Keys."""

    def __init__(self, accounts: MemoryAccounts) -> None:
        self._accounts = accounts

    async def ResolveKey(  # noqa: N802 - named by the wire
        self, request: key_service_pb2.ResolveKeyRequest, context: Context
    ) -> key_service_pb2.ResolveKeyResponse:
        """Find a key by its digest."""
        async with aborting(context):
            key, org = await self._accounts.resolve(request.digest)
            return key_service_pb2.ResolveKeyResponse(
                key=self._accounts.keys[key.digest], org=self._accounts.orgs[org.org_id]
            )

    async def ResolveKeys(  # noqa: N802 - named by the wire
        self, request: key_service_pb2.ResolveKeysRequest, context: Context
    ) -> key_service_pb2.ResolveKeysResponse:
        """Find keys by their digests."""
        async with aborting(context):
            answer = key_service_pb2.ResolveKeysResponse()
            orgs = {}
            for digest in request.digests:
                try:
                    key, org = await self._accounts.resolve(digest)
                except NotFoundError:
                    continue
                answer.keys.append(self._accounts.keys[key.digest])
                orgs[org.org_id] = self._accounts.orgs[org.org_id]
            answer.orgs.extend(orgs.values())
            return answer

    async def MoveKeys(  # noqa: N802 - named by the wire
        self, request: key_service_pb2.MoveKeysRequest, context: Context
    ) -> key_service_pb2.MoveKeysResponse:
        """Have keys looked up by other digests, made with the same peppers."""
        async with aborting(context):
            if (request.pepper_id, request.previous_pepper_id) != _PEPPER_IDS:
                raise RefusedError(ErrorReason.INVALID_REQUEST, "pepper_id is not of the current pepper")
            moves = {move.previous_digest: move.digest for move in request.moves}
            return key_service_pb2.MoveKeysResponse(moved=await self._accounts.move(moves))

    async def CreateKey(  # noqa: N802 - named by the wire
        self, request: key_service_pb2.CreateKeyRequest, context: Context
    ) -> key_service_pb2.CreateKeyResponse:
        """Make a key."""
        new = NewKey(
            request.org_id,
            request.name,
            request.limit_nano_usd if request.HasField("limit_nano_usd") else None,
            request.expires_at.ToDatetime(UTC) if request.HasField("expires_at") else None,
            request.idempotency_key,
            KeyFields(
                SpendInterval(request.limit_reset),
                request.include_byok_in_limit,
                tuple(request.allowed_models),
                tuple(request.allowed_providers),
                tuple(request.ip_ranges),
                rate_limits_from_proto(request.rate_limits),
                request.logs_content,
            ),
            request.creator_user_id,
            request.workspace_id,
        )
        async with aborting(context):
            return await self._accounts.create(new)

    async def ListKeys(  # noqa: N802 - named by the wire
        self, request: key_service_pb2.ListKeysRequest, context: Context
    ) -> key_service_pb2.ListKeysResponse:
        """List keys."""
        async with aborting(context):
            return await self._accounts.list(
                request.org_id,
                request.offset,
                KeyFilter(request.include_disabled, request.workspace_id, request.creator_user_id),
            )

    async def GetKey(  # noqa: N802 - named by the wire
        self, request: key_service_pb2.GetKeyRequest, context: Context
    ) -> key_service_pb2.GetKeyResponse:
        """Return a key and what it spent."""
        async with aborting(context):
            return await self._accounts.get(request.org_id, request.digest)

    async def UpdateKey(  # noqa: N802 - named by the wire
        self, request: key_service_pb2.UpdateKeyRequest, context: Context
    ) -> key_service_pb2.UpdateKeyResponse:
        """Change a key."""
        change = KeyChange(
            request.org_id,
            request.digest,
            request.name if request.HasField("name") else None,
            request.disabled if request.HasField("disabled") else None,
            request.limit_nano_usd if request.HasField("limit_nano_usd") else None,
            request.clear_limit,
            KeyFields(
                SpendInterval(request.limit_reset) if request.HasField("limit_reset") else None,
                request.include_byok_in_limit if request.HasField("include_byok_in_limit") else None,
                tuple(request.allowed_models.values) if request.HasField("allowed_models") else None,
                tuple(request.allowed_providers.values) if request.HasField("allowed_providers") else None,
                tuple(request.ip_ranges.values) if request.HasField("ip_ranges") else None,
                rate_limits_from_proto(request.rate_limits.limits) if request.HasField("rate_limits") else None,
                request.logs_content if request.HasField("logs_content") else None,
            ),
        )
        async with aborting(context):
            return await self._accounts.update(change)

    async def DeleteKey(  # noqa: N802 - named by the wire
        self, request: key_service_pb2.DeleteKeyRequest, context: Context
    ) -> key_service_pb2.DeleteKeyResponse:
        """Delete a key."""
        async with aborting(context):
            await self._accounts.delete(request.org_id, request.digest, Actor())
            return key_service_pb2.DeleteKeyResponse()


class OrgServicer(org_service_pb2_grpc.OrgServiceServicer):
    """Credit."""

    def __init__(self, accounts: MemoryAccounts) -> None:
        self._accounts = accounts

    async def GetOrg(self, request: org_service_pb2.GetOrgRequest, context: Context) -> org_service_pb2.GetOrgResponse:  # noqa: N802 - named by the wire
        """Return an organisation."""
        async with aborting(context):
            return org_service_pb2.GetOrgResponse(org=self._accounts.orgs[request.org_id])

    async def SetRateLimits(  # noqa: N802 - named by the wire
        self, request: org_service_pb2.SetRateLimitsRequest, context: Context
    ) -> org_service_pb2.SetRateLimitsResponse:
        """Set rate limits."""
        async with aborting(context):
            org = self._accounts.orgs[request.org_id]
            del org.rate_limits[:]
            org.rate_limits.extend(request.rate_limits)
            org.revision += 1
            return org_service_pb2.SetRateLimitsResponse(org=org)

    async def GetCredits(  # noqa: N802 - named by the wire
        self, request: org_service_pb2.GetCreditsRequest, context: Context
    ) -> org_service_pb2.GetCreditsResponse:
        """Return what an organisation bought and used."""
        async with aborting(context):
            return await self._accounts.credits(request.org_id)


class MeteringServicer(metering_service_pb2_grpc.MeteringServiceServicer):
    """Records of generations."""

    def __init__(self, records: GenerationRecords) -> None:
        self._records = records

    async def GetGeneration(  # noqa: N802 - named by the wire
        self, request: metering_service_pb2.GetGenerationRequest, context: Context
    ) -> metering_service_pb2.GetGenerationResponse:
        """Return one record."""
        async with aborting(context):
            event = await self._records.get(request.generation_id, request.org_id)
            return metering_service_pb2.GetGenerationResponse(event=event)


class RouterServicer(router_service_pb2_grpc.RouterServiceServicer):
    """Completions by script."""

    def __init__(self, router: ScriptedRouter) -> None:
        self._router = router

    async def Complete(  # noqa: N802 - named by the wire
        self, request: router_service_pb2.CompleteRequest, context: Context
    ) -> AsyncIterator[router_service_pb2.CompleteResponse]:
        """Answer a request."""
        async with aborting(context):
            async for message in self._router.answer(request):
                yield message

    async def Invoke(  # noqa: N802 - named by the wire
        self, request: invocation_pb2.InvokeRequest, context: Context
    ) -> invocation_pb2.InvokeResponse:
        """Have an operation done."""
        async with aborting(context):
            return await self._router.invoke(request)

    async def ListModels(  # noqa: N802 - named by the wire
        self, request: router_service_pb2.ListModelsRequest, context: Context
    ) -> router_service_pb2.ListModelsResponse:
        """List the catalogue."""
        async with aborting(context):
            return await self._router.list_models(request.known_version)


def register_accounts(server: grpc.aio.Server, accounts: MemoryAccounts) -> Sequence[str]:
    """Serve keys and credit."""
    key_service_pb2_grpc.add_KeyServiceServicer_to_server(KeyServicer(accounts), server)
    org_service_pb2_grpc.add_OrgServiceServicer_to_server(OrgServicer(accounts), server)  # type: ignore[abstract]  # the edge asks nothing else
    return []


def register_organizations(
    server: grpc.aio.Server, organizations: MemoryOrganizations, sessions: SessionServicer
) -> None:
    """Serve members, workspaces, sessions and the audit log."""
    member_service_pb2_grpc.add_MemberServiceServicer_to_server(MemberServicer(organizations), server)
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(AuditServicer(), server)
    workspace_service_pb2_grpc.add_WorkspaceServiceServicer_to_server(WorkspaceServicer(organizations), server)
    session_service_pb2_grpc.add_SessionServiceServicer_to_server(sessions, server)


def register_records(server: grpc.aio.Server, records: GenerationRecords) -> Sequence[str]:
    """Serve records."""
    metering_service_pb2_grpc.add_MeteringServiceServicer_to_server(MeteringServicer(records), server)  # type: ignore[abstract]  # the edge asks nothing else
    return []


def register_router(server: grpc.aio.Server, router: ScriptedRouter) -> Sequence[str]:
    """Serve completions."""
    router_service_pb2_grpc.add_RouterServiceServicer_to_server(RouterServicer(router), server)  # type: ignore[abstract]  # the edge asks nothing else
    return []
