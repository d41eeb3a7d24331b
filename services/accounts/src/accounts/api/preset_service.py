"""The gRPC service of presets: parse, call, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from accounts.api.actors import actor_of
from accounts.api.errors import aborting
from accounts.domain.presets import Preset, PresetVersion
from accounts.presets import Presets
from turnpike.accounts.v1 import preset_service_pb2 as messages
from turnpike.accounts.v1 import preset_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["PresetService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class PresetServicer(stubs.PresetServiceServicer):
    """Presets. The names of the methods are those of the wire."""

    def __init__(self, presets: Presets) -> None:
        self._presets = presets

    async def SavePreset(self, request: messages.SavePresetRequest, context: Context) -> messages.SavePresetResponse:  # noqa: N802 - named by the wire
        """Keep a configuration."""
        async with aborting(context):
            prompt = request.system_prompt if request.HasField("system_prompt") else None
            preset = await self._presets.save(
                request.org_id, request.slug, request.config_json, prompt, request.creator_id, actor_of(context)
            )
            return messages.SavePresetResponse(preset=_preset(preset))

    async def GetPreset(self, request: messages.GetPresetRequest, context: Context) -> messages.GetPresetResponse:  # noqa: N802 - named by the wire
        """Return a preset."""
        async with aborting(context):
            return messages.GetPresetResponse(preset=_preset(await self._presets.get(request.org_id, request.slug)))

    async def ListPresets(self, request: messages.ListPresetsRequest, context: Context) -> messages.ListPresetsResponse:  # noqa: N802 - named by the wire
        """List presets."""
        async with aborting(context):
            presets, total = await self._presets.page(request.org_id, request.offset, request.limit)
            return messages.ListPresetsResponse(presets=[_preset(each) for each in presets], total_count=total)

    async def ListPresetVersions(  # noqa: N802 - named by the wire
        self, request: messages.ListPresetVersionsRequest, context: Context
    ) -> messages.ListPresetVersionsResponse:
        """List the versions of a preset."""
        async with aborting(context):
            versions, total = await self._presets.versions(request.org_id, request.slug, request.offset, request.limit)
            return messages.ListPresetVersionsResponse(
                versions=[_version(each) for each in versions], total_count=total
            )

    async def GetPresetVersion(  # noqa: N802 - named by the wire
        self, request: messages.GetPresetVersionRequest, context: Context
    ) -> messages.GetPresetVersionResponse:
        """Return one version of a preset."""
        async with aborting(context):
            version = await self._presets.version(request.org_id, request.slug, request.version)
            return messages.GetPresetVersionResponse(version=_version(version))


def _preset(preset: Preset) -> messages.Preset:
    message = messages.Preset(
        preset_id=str(preset.preset_id),
        org_id=str(preset.org_id),
        slug=preset.slug,
        creator_id=preset.creator_id,
        designated=_version(preset.designated),
    )
    message.created_at.FromDatetime(preset.created_at)
    message.updated_at.FromDatetime(preset.updated_at)
    return message


def _version(version: PresetVersion) -> messages.PresetVersion:
    message = messages.PresetVersion(
        version_id=str(version.version_id),
        preset_id=str(version.preset_id),
        version=version.version,
        config_json=version.config,
        system_prompt=version.system_prompt,
        creator_id=version.creator_id,
    )
    message.created_at.FromDatetime(version.created_at)
    return message
