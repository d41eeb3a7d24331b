"""The gRPC service of API keys: parse, call, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from accounts.api.actors import actor_of
from accounts.api.errors import aborting
from accounts.api.key_fields import changes_from_proto, settings_from_proto
from accounts.api.moments import moment_from_proto
from accounts.domain.accounts import KeyFilter, KeyKind, checked_id
from accounts.domain.errors import InvalidFieldError
from accounts.identity import Identity
from accounts.records import key_to_proto, org_to_proto
from turnpike.accounts.v1 import key_service_pb2 as messages
from turnpike.accounts.v1 import key_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["KeyService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class KeyServicer(stubs.KeyServiceServicer):
    """API keys. The names of the methods are those of the wire."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def ResolveKey(self, request: messages.ResolveKeyRequest, context: Context) -> messages.ResolveKeyResponse:  # noqa: N802 - named by the wire
        """Find a key by its digest."""
        async with aborting(context):
            key, org = await self._identity.resolve_key(request.digest)
            return messages.ResolveKeyResponse(key=key_to_proto(key), org=org_to_proto(org))

    async def ResolveKeys(self, request: messages.ResolveKeysRequest, context: Context) -> messages.ResolveKeysResponse:  # noqa: N802 - named by the wire
        """Find keys by their digests."""
        async with aborting(context):
            found = await self._identity.resolve_keys(request.digests)
            orgs = {org.org_id: org for _, org in found.values()}
            return messages.ResolveKeysResponse(
                keys=[key_to_proto(key) for key, _ in found.values()], orgs=[org_to_proto(org) for org in orgs.values()]
            )

    async def CreateKey(self, request: messages.CreateKeyRequest, context: Context) -> messages.CreateKeyResponse:  # noqa: N802 - named by the wire
        """Make a key."""
        async with aborting(context):
            try:
                kind = KeyKind(request.kind)
            except ValueError:
                raise InvalidFieldError("kind", "must be said") from None
            key, secret = await self._identity.create_key(
                request.org_id,
                request.name,
                kind,
                request.limit_nano_usd if request.HasField("limit_nano_usd") else None,
                moment_from_proto("expires_at", request.expires_at) if request.HasField("expires_at") else None,
                request.idempotency_key,
                settings_from_proto(request),
                workspace_id=request.workspace_id,
                actor=actor_of(context),
            )
            return messages.CreateKeyResponse(key=key_to_proto(key), secret=secret)

    async def ListKeys(self, request: messages.ListKeysRequest, context: Context) -> messages.ListKeysResponse:  # noqa: N802 - named by the wire
        """List the keys of an organisation."""
        async with aborting(context):
            wanted = KeyFilter(
                include_disabled=request.include_disabled,
                workspace_id=checked_id("workspace_id", request.workspace_id) if request.workspace_id else None,
                creator_user_id=request.creator_user_id,
            )
            keys, total = await self._identity.list_keys(request.org_id, request.offset, request.limit, wanted)
            return messages.ListKeysResponse(keys=[key_to_proto(key) for key in keys], total_count=total)

    async def GetKey(self, request: messages.GetKeyRequest, context: Context) -> messages.GetKeyResponse:  # noqa: N802 - named by the wire
        """Return a key and what it spent."""
        async with aborting(context):
            key = await self._identity.get_key(request.org_id, request.digest)
            spent = key.spend.credit
            return messages.GetKeyResponse(
                key=key_to_proto(key),
                spent_daily_nano_usd=spent.daily,
                spent_weekly_nano_usd=spent.weekly,
                spent_monthly_nano_usd=spent.monthly,
            )

    async def UpdateKey(self, request: messages.UpdateKeyRequest, context: Context) -> messages.UpdateKeyResponse:  # noqa: N802 - named by the wire
        """Change a key."""
        async with aborting(context):
            key = await self._identity.update_key(
                request.org_id, request.digest, changes_from_proto(request), actor_of(context)
            )
            return messages.UpdateKeyResponse(key=key_to_proto(key))

    async def DeleteKey(self, request: messages.DeleteKeyRequest, context: Context) -> messages.DeleteKeyResponse:  # noqa: N802 - named by the wire
        """Delete a key."""
        async with aborting(context):
            await self._identity.delete_key(request.org_id, request.digest, actor_of(context))
            return messages.DeleteKeyResponse()

    async def MoveKeys(self, request: messages.MoveKeysRequest, context: Context) -> messages.MoveKeysResponse:  # noqa: N802 - named by the wire
        """Move keys to the current pepper."""
        async with aborting(context):
            moves = {move.previous_digest: move.digest for move in request.moves}
            moved = await self._identity.move_keys(request.pepper_id, request.previous_pepper_id, moves)
            return messages.MoveKeysResponse(moved=moved)
