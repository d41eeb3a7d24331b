"""The gRPC service of customers' own provider keys: parse, call, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from accounts.api.actors import actor_of
from accounts.api.errors import aborting
from accounts.byok import Byok
from accounts.domain.byok import ByokFields, ByokKey, ResolvedByokKey
from accounts.records import timestamp
from turnpike.accounts.v1 import byok_service_pb2 as messages
from turnpike.accounts.v1 import byok_service_pb2_grpc as stubs
from turnpike.accounts.v1 import records_pb2

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["ByokService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class ByokServicer(stubs.ByokServiceServicer):
    """Provider keys. The names of the methods are those of the wire."""

    def __init__(self, byok: Byok) -> None:
        self._byok = byok

    async def CreateByokKey(  # noqa: N802 - named by the wire
        self, request: messages.CreateByokKeyRequest, context: Context
    ) -> messages.CreateByokKeyResponse:
        """Store a provider key."""
        async with aborting(context):
            key = await self._byok.create(
                request.org_id,
                request.workspace_id,
                request.provider,
                request.key,
                _fields(request.fields),
                actor_of(context),
            )
            return messages.CreateByokKeyResponse(key=_key_to_proto(key))

    async def ListByokKeys(  # noqa: N802 - named by the wire
        self, request: messages.ListByokKeysRequest, context: Context
    ) -> messages.ListByokKeysResponse:
        """List provider keys."""
        async with aborting(context):
            keys, total = await self._byok.page(
                request.org_id, request.workspace_id, request.provider, request.offset, request.limit
            )
            return messages.ListByokKeysResponse(keys=[_key_to_proto(key) for key in keys], total_count=total)

    async def GetByokKey(  # noqa: N802 - named by the wire
        self, request: messages.GetByokKeyRequest, context: Context
    ) -> messages.GetByokKeyResponse:
        """Return one provider key."""
        async with aborting(context):
            key = await self._byok.get(request.org_id, request.byok_key_id)
            return messages.GetByokKeyResponse(key=_key_to_proto(key))

    async def UpdateByokKey(  # noqa: N802 - named by the wire
        self, request: messages.UpdateByokKeyRequest, context: Context
    ) -> messages.UpdateByokKeyResponse:
        """Change a provider key."""
        async with aborting(context):
            key = await self._byok.update(
                request.org_id, request.byok_key_id, _fields(request.fields), request.key, actor_of(context)
            )
            return messages.UpdateByokKeyResponse(key=_key_to_proto(key))

    async def DeleteByokKey(  # noqa: N802 - named by the wire
        self, request: messages.DeleteByokKeyRequest, context: Context
    ) -> messages.DeleteByokKeyResponse:
        """Delete a provider key."""
        async with aborting(context):
            await self._byok.delete(request.org_id, request.byok_key_id, actor_of(context))
            return messages.DeleteByokKeyResponse()

    async def ResolveByokKeys(  # noqa: N802 - named by the wire
        self, request: messages.ResolveByokKeysRequest, context: Context
    ) -> messages.ResolveByokKeysResponse:
        """Return the provider keys of an organisation, sealed."""
        async with aborting(context):
            keys, revision = await self._byok.resolve(request.org_id)
            return messages.ResolveByokKeysResponse(keys=[_resolved_to_proto(each) for each in keys], revision=revision)


def _fields(message: messages.ByokKeyFields) -> ByokFields:
    return ByokFields(
        name=message.name,
        disabled=message.disabled,
        is_fallback=message.is_fallback,
        is_required=message.is_required,
        allowed_models=tuple(message.allowed_models.values) if message.HasField("allowed_models") else None,
        allowed_digests=tuple(message.allowed_key_digests.values) if message.HasField("allowed_key_digests") else None,
        allowed_user_ids=tuple(message.allowed_user_ids.values) if message.HasField("allowed_user_ids") else None,
    )


def _key_to_proto(key: ByokKey) -> messages.ByokKey:
    return messages.ByokKey(
        byok_key_id=str(key.byok_key_id),
        org_id=str(key.org_id),
        workspace_id=str(key.workspace_id),
        provider=key.provider,
        name=key.fields.name,
        label=key.label,
        disabled=key.fields.disabled,
        is_fallback=key.fields.is_fallback,
        is_required=key.fields.is_required,
        sort_order=key.sort_order,
        allowed_models=_list(key.fields.allowed_models),
        allowed_key_digests=_list(key.fields.allowed_digests),
        allowed_user_ids=_list(key.fields.allowed_user_ids),
        created_at=timestamp(key.created_at),
        version=key.version,
    )


def _resolved_to_proto(resolved: ResolvedByokKey) -> messages.ResolvedByokKey:
    sealed = resolved.sealed
    return messages.ResolvedByokKey(
        key=_key_to_proto(resolved.key),
        sealed=messages.SealedKey(
            kek_id=sealed.kek_id,
            wrapped_key=sealed.wrapped_key,
            key_nonce=sealed.key_nonce,
            ciphertext=sealed.ciphertext,
            nonce=sealed.nonce,
        ),
        allowed_key_ids=_list(resolved.allowed_key_ids),
    )


def _list(values: tuple[str, ...] | None) -> records_pb2.TextList | None:
    return None if values is None else records_pb2.TextList(values=values)
