"""The owner of customers' provider keys over gRPC."""

from __future__ import annotations

from datetime import timedelta

import grpc

from edge.adapters.accounts_client import answered
from edge.adapters.control_plane import actor_metadata
from edge.domain.actor import Actor
from turnpike.accounts.v1 import byok_service_pb2, byok_service_pb2_grpc


class GrpcByokRegistry:
    """Manages provider keys."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta) -> None:
        self._stub = byok_service_pb2_grpc.ByokServiceStub(channel)
        self._timeout_s = timeout.total_seconds()

    async def create(self, request: byok_service_pb2.CreateByokKeyRequest, actor: Actor) -> byok_service_pb2.ByokKey:
        """Store a provider key."""
        return (
            await answered(self._stub.CreateByokKey(request, timeout=self._timeout_s, metadata=actor_metadata(actor)))
        ).key

    async def list(self, request: byok_service_pb2.ListByokKeysRequest) -> byok_service_pb2.ListByokKeysResponse:
        """List provider keys."""
        return await answered(self._stub.ListByokKeys(request, timeout=self._timeout_s))

    async def get(self, org_id: str, byok_key_id: str) -> byok_service_pb2.ByokKey:
        """Return one provider key."""
        request = byok_service_pb2.GetByokKeyRequest(org_id=org_id, byok_key_id=byok_key_id)
        return (await answered(self._stub.GetByokKey(request, timeout=self._timeout_s))).key

    async def update(self, request: byok_service_pb2.UpdateByokKeyRequest, actor: Actor) -> byok_service_pb2.ByokKey:
        """Change a provider key."""
        return (
            await answered(self._stub.UpdateByokKey(request, timeout=self._timeout_s, metadata=actor_metadata(actor)))
        ).key

    async def delete(self, org_id: str, byok_key_id: str, actor: Actor) -> None:
        """Delete a provider key."""
        request = byok_service_pb2.DeleteByokKeyRequest(org_id=org_id, byok_key_id=byok_key_id)
        await answered(self._stub.DeleteByokKey(request, timeout=self._timeout_s, metadata=actor_metadata(actor)))
