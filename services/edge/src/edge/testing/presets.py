"""The owner of presets, in memory, and behind a real gRPC server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import grpc

from edge.domain.errors import DependencyError, NotFoundError
from edge.ports import NewPreset
from edge.testing.refusals import aborting
from turnpike.accounts.v1 import preset_service_pb2 as messages
from turnpike.accounts.v1 import preset_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
MADE_S = 1_790_000_000


class MemoryPresets:
    """Keeps presets.

    Attributes:
        asked: slugs that were looked up, in order.
        down: whether every call fails.
    """

    def __init__(self) -> None:
        self._presets: dict[tuple[str, str], list[messages.PresetVersion]] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self._changes: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.down = False

    async def save(self, new: NewPreset) -> messages.Preset:
        """Keep a configuration."""
        self._check()
        name = (new.org_id, new.slug)
        versions = self._presets.setdefault(name, [])
        version = messages.PresetVersion(
            version_id=str(uuid4()),
            preset_id=self._ids.setdefault(name, str(uuid4())),
            version=len(versions) + 1,
            config_json=new.config,
            system_prompt=new.system_prompt,
            creator_id=new.creator_id,
        )
        version.created_at.FromSeconds(MADE_S + len(self._changes))
        versions.append(version)
        self._changes.append(name)
        return self._preset(name)

    async def get(self, org_id: str, slug: str) -> messages.Preset:
        """Return a preset with its designated version."""
        self.asked.append(slug)
        self._check()
        return self._preset((org_id, slug))

    async def list(self, org_id: str, offset: int, limit: int) -> messages.ListPresetsResponse:
        """List presets, the last changed first."""
        self._check()
        names = [name for name in dict.fromkeys(reversed(self._changes)) if name[0] == org_id]
        page = [self._preset(name) for name in names[offset : offset + limit]]
        return messages.ListPresetsResponse(presets=page, total_count=len(names))

    async def versions(self, org_id: str, slug: str, offset: int, limit: int) -> messages.ListPresetVersionsResponse:
        """List versions of a preset, the oldest first."""
        self._check()
        found = self._versions((org_id, slug))
        return messages.ListPresetVersionsResponse(versions=found[offset : offset + limit], total_count=len(found))

    async def version(self, org_id: str, slug: str, version: int) -> messages.PresetVersion:
        """Return one version of a preset."""
        self._check()
        found = self._versions((org_id, slug))
        if not 1 <= version <= len(found):
            raise NotFoundError("Preset not found")
        return found[version - 1]

    def _check(self) -> None:
        if self.down:
            raise DependencyError("accounts")

    def _versions(self, name: tuple[str, str]) -> Sequence[messages.PresetVersion]:
        if name not in self._presets:
            raise NotFoundError("Preset not found")
        return self._presets[name]

    def _preset(self, name: tuple[str, str]) -> messages.Preset:
        versions = self._versions(name)
        preset = messages.Preset(
            preset_id=versions[0].preset_id,
            org_id=name[0],
            slug=name[1],
            creator_id=versions[0].creator_id,
            created_at=versions[0].created_at,
            updated_at=versions[-1].created_at,
            designated=versions[-1],
        )
        return preset


class PresetServicer(preset_service_pb2_grpc.PresetServiceServicer):
    """Presets."""

    def __init__(self, presets: MemoryPresets) -> None:
        self._presets = presets

    async def SavePreset(self, request: messages.SavePresetRequest, context: Context) -> messages.SavePresetResponse:  # noqa: N802 - named by the wire
        """Keep a configuration."""
        prompt = request.system_prompt if request.HasField("system_prompt") else None
        new = NewPreset(request.org_id, request.slug, request.config_json, prompt, request.creator_id)
        async with aborting(context):
            return messages.SavePresetResponse(preset=await self._presets.save(new))

    async def GetPreset(self, request: messages.GetPresetRequest, context: Context) -> messages.GetPresetResponse:  # noqa: N802 - named by the wire
        """Return a preset."""
        async with aborting(context):
            return messages.GetPresetResponse(preset=await self._presets.get(request.org_id, request.slug))

    async def ListPresets(self, request: messages.ListPresetsRequest, context: Context) -> messages.ListPresetsResponse:  # noqa: N802 - named by the wire
        """List presets."""
        async with aborting(context):
            return await self._presets.list(request.org_id, request.offset, request.limit)

    async def ListPresetVersions(  # noqa: N802 - named by the wire
        self, request: messages.ListPresetVersionsRequest, context: Context
    ) -> messages.ListPresetVersionsResponse:
        """List versions."""
        async with aborting(context):
            return await self._presets.versions(request.org_id, request.slug, request.offset, request.limit)

    async def GetPresetVersion(  # noqa: N802 - named by the wire
        self, request: messages.GetPresetVersionRequest, context: Context
    ) -> messages.GetPresetVersionResponse:
        """Return one version."""
        async with aborting(context):
            version = await self._presets.version(request.org_id, request.slug, request.version)
            return messages.GetPresetVersionResponse(version=version)


def register_presets(server: grpc.aio.Server, presets: MemoryPresets) -> None:
    """Serve presets."""
    preset_service_pb2_grpc.add_PresetServiceServicer_to_server(PresetServicer(presets), server)
