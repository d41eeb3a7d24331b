"""The owner of customers' provider keys, in memory and behind a real gRPC server."""

from __future__ import annotations

from random import Random
from uuid import UUID

import grpc

from edge.domain.errors import DependencyError, NotFoundError
from edge.testing.accounts import CREATED_S
from edge.testing.guardrails import check_workspace
from edge.testing.refusals import Context, aborting
from turnpike.accounts.v1 import byok_service_pb2 as messages
from turnpike.accounts.v1 import byok_service_pb2_grpc as stubs


class MemoryByok:
    """Has provider keys.

    Attributes:
        keys: by id.
        secrets: what was stored last, by id.
        down: whether every call fails.
    """

    def __init__(self) -> None:
        self.keys: dict[str, messages.ByokKey] = {}
        self.secrets: dict[str, str] = {}
        self.down = False
        self._random = Random()

    def store(self, request: messages.CreateByokKeyRequest) -> messages.ByokKey:
        """Store a provider key."""
        self._check()
        check_workspace(request.org_id, request.workspace_id)
        key = messages.ByokKey(
            byok_key_id=str(UUID(int=self._random.getrandbits(128), version=4)),
            org_id=request.org_id,
            workspace_id=request.workspace_id or request.org_id,
            provider=request.provider,
            label="sk-...abcd",
            sort_order=len(self.keys),
            version=1,
        )
        key.created_at.FromSeconds(CREATED_S)
        self.keys[key.byok_key_id] = key
        self.secrets[key.byok_key_id] = request.key
        self._set(key, request.fields)
        return key

    def find(self, org_id: str, byok_key_id: str) -> messages.ByokKey:
        """Return a provider key."""
        self._check()
        key = self.keys.get(byok_key_id)
        if key is None or key.org_id != org_id:
            raise NotFoundError("Not found")
        return key

    def change(self, request: messages.UpdateByokKeyRequest) -> messages.ByokKey:
        """Change a provider key."""
        key = self.find(request.org_id, request.byok_key_id)
        self._set(key, request.fields)
        if request.key:
            key.version += 1
            self.secrets[key.byok_key_id] = request.key
        return key

    def page(self, request: messages.ListByokKeysRequest) -> messages.ListByokKeysResponse:
        """List provider keys."""
        self._check()
        check_workspace(request.org_id, request.workspace_id)
        own = [
            key for key in self.keys.values() if key.org_id == request.org_id and request.provider in ("", key.provider)
        ]
        return messages.ListByokKeysResponse(
            keys=own[request.offset : request.offset + request.limit], total_count=len(own)
        )

    @staticmethod
    def _set(key: messages.ByokKey, fields: messages.ByokKeyFields) -> None:
        key.name, key.disabled = fields.name, fields.disabled
        key.is_fallback, key.is_required = fields.is_fallback, fields.is_required
        for name in ("allowed_models", "allowed_key_digests", "allowed_user_ids"):
            key.ClearField(name)
            if fields.HasField(name):
                getattr(key, name).CopyFrom(getattr(fields, name))

    def _check(self) -> None:
        if self.down:
            raise DependencyError("accounts")


class ByokServicer(stubs.ByokServiceServicer):
    """Provider keys."""

    def __init__(self, byok: MemoryByok) -> None:
        self._byok = byok

    async def CreateByokKey(  # noqa: N802 - named by the wire
        self, request: messages.CreateByokKeyRequest, context: Context
    ) -> messages.CreateByokKeyResponse:
        """Store a provider key."""
        async with aborting(context):
            return messages.CreateByokKeyResponse(key=self._byok.store(request))

    async def ListByokKeys(  # noqa: N802 - named by the wire
        self, request: messages.ListByokKeysRequest, context: Context
    ) -> messages.ListByokKeysResponse:
        """List provider keys."""
        async with aborting(context):
            return self._byok.page(request)

    async def GetByokKey(  # noqa: N802 - named by the wire
        self, request: messages.GetByokKeyRequest, context: Context
    ) -> messages.GetByokKeyResponse:
        """Return one provider key."""
        async with aborting(context):
            return messages.GetByokKeyResponse(key=self._byok.find(request.org_id, request.byok_key_id))

    async def UpdateByokKey(  # noqa: N802 - named by the wire
        self, request: messages.UpdateByokKeyRequest, context: Context
    ) -> messages.UpdateByokKeyResponse:
        """Change a provider key."""
        async with aborting(context):
            return messages.UpdateByokKeyResponse(key=self._byok.change(request))

    async def DeleteByokKey(  # noqa: N802 - named by the wire
        self, request: messages.DeleteByokKeyRequest, context: Context
    ) -> messages.DeleteByokKeyResponse:
        """Delete a provider key."""
        async with aborting(context):
            self._byok.find(request.org_id, request.byok_key_id)
            del self._byok.keys[request.byok_key_id]
            return messages.DeleteByokKeyResponse()


def register_byok(server: grpc.aio.Server, byok: MemoryByok) -> None:
    """Serve provider keys."""
    stubs.add_ByokServiceServicer_to_server(ByokServicer(byok), server)  # type: ignore[abstract]  # the edge asks nothing else
