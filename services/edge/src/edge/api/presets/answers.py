"""Types of the answers about presets. Source: OpenRouter's `Preset` and `PresetDesignatedVersion`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edge.api.http.answer import Answer
from edge.api.http.timestamps import timestamp_json
from turnpike.accounts.v1 import preset_service_pb2 as messages


class PresetVersion(Answer, frozen=True, kw_only=True):
    """One version of a preset. It never changes."""

    id: str
    preset_id: str
    version: int
    config: dict[str, Any]
    system_prompt: str | None
    creator_id: str
    created_at: str
    updated_at: str


class Preset(Answer, frozen=True, kw_only=True):
    """A preset without its versions."""

    id: str
    slug: str
    name: str
    description: str | None
    status: Literal["active"]
    status_updated_at: str | None
    designated_version_id: str | None
    creator_user_id: str | None
    workspace_id: str | None
    created_at: str
    updated_at: str


class DesignatedPreset(Preset, frozen=True, kw_only=True):
    """A preset with the version that requests get."""

    designated_version: PresetVersion | None


def version_of(version: messages.PresetVersion) -> PresetVersion:
    """Describe a version."""
    created = timestamp_json(version.created_at)
    return PresetVersion(
        id=version.version_id,
        preset_id=version.preset_id,
        version=version.version,
        config=msgspec.json.decode(version.config_json, type=dict[str, Any]),
        system_prompt=version.system_prompt if version.HasField("system_prompt") else None,
        creator_id=version.creator_id,
        created_at=created,
        updated_at=created,
    )


def _members(preset: messages.Preset) -> dict[str, Any]:
    return {
        "id": preset.preset_id,
        "slug": preset.slug,
        "name": preset.slug,
        "description": None,
        "status": "active",
        "status_updated_at": None,
        "designated_version_id": preset.designated.version_id,
        "creator_user_id": None,
        "workspace_id": None,
        "created_at": timestamp_json(preset.created_at),
        "updated_at": timestamp_json(preset.updated_at),
    }


def preset_of(preset: messages.Preset) -> Preset:
    """Describe a preset."""
    return Preset(**_members(preset))


def designated_of(preset: messages.Preset) -> DesignatedPreset:
    """Describe a preset with its designated version."""
    return DesignatedPreset(**_members(preset), designated_version=version_of(preset.designated))
