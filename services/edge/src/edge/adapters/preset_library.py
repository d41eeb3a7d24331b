"""The owner of presets over gRPC."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

import grpc

from contracts.errors import ErrorReason
from edge.adapters.control_plane import actor_metadata
from edge.adapters.grpc_status import error_from_status
from edge.domain.errors import NotFoundError, RefusedError
from edge.ports import NewPreset
from turnpike.accounts.v1 import preset_service_pb2 as messages
from turnpike.accounts.v1 import preset_service_pb2_grpc

T = TypeVar("T")


class GrpcPresetLibrary:
    """Reads and keeps presets."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta) -> None:
        self._stub = preset_service_pb2_grpc.PresetServiceStub(channel)
        self._timeout_s = timeout.total_seconds()

    async def save(self, new: NewPreset) -> messages.Preset:
        """Keep a configuration."""
        request = messages.SavePresetRequest(
            org_id=new.org_id,
            slug=new.slug,
            config_json=new.config,
            system_prompt=new.system_prompt,
            creator_id=new.creator_id,
        )
        return (
            await _answer(self._stub.SavePreset(request, timeout=self._timeout_s, metadata=actor_metadata(new.actor)))
        ).preset

    async def get(self, org_id: str, slug: str) -> messages.Preset:
        """Return a preset with its designated version."""
        request = messages.GetPresetRequest(org_id=org_id, slug=slug)
        return (await _answer(self._stub.GetPreset(request, timeout=self._timeout_s))).preset

    async def list(self, org_id: str, offset: int, limit: int) -> messages.ListPresetsResponse:
        """List presets, the last changed first."""
        request = messages.ListPresetsRequest(org_id=org_id, offset=offset, limit=limit)
        return await _answer(self._stub.ListPresets(request, timeout=self._timeout_s))

    async def versions(self, org_id: str, slug: str, offset: int, limit: int) -> messages.ListPresetVersionsResponse:
        """List versions of a preset, the oldest first."""
        request = messages.ListPresetVersionsRequest(org_id=org_id, slug=slug, offset=offset, limit=limit)
        return await _answer(self._stub.ListPresetVersions(request, timeout=self._timeout_s))

    async def version(self, org_id: str, slug: str, version: int) -> messages.PresetVersion:
        """Return one version of a preset."""
        request = messages.GetPresetVersionRequest(org_id=org_id, slug=slug, version=version)
        return (await _answer(self._stub.GetPresetVersion(request, timeout=self._timeout_s))).version


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        translated = error_from_status(error, "accounts")
        if isinstance(translated, RefusedError) and translated.reason is ErrorReason.NOT_FOUND:
            raise NotFoundError("Preset not found") from None
        raise translated from None
