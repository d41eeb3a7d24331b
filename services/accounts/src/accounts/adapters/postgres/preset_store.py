"""Presets in PostgreSQL. Every statement names the organisation, and row-level security does so again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.domain.audit import AuditEvent
from accounts.domain.errors import AlreadyExistsError, NotFoundError
from accounts.domain.people import Actor
from accounts.domain.presets import MAX_PRESETS, MAX_VERSIONS, NewVersion, Preset, PresetVersion

# The row of the preset is locked from here on, so that two who save at once make two versions.
_UPSERT = text(
    """
    INSERT INTO presets (preset_id, org_id, slug, creator_id, created_at, updated_at, versions)
    VALUES (:preset_id, :org_id, :slug, :creator_id, :at, :at, 1)
    ON CONFLICT (org_id, slug) DO UPDATE SET versions = presets.versions + 1, updated_at = :at
    RETURNING preset_id, creator_id, created_at, versions
    """
)
_COUNT = text("SELECT count(*) FROM presets WHERE org_id = :org_id")
_ADD = text(
    """
    INSERT INTO preset_versions (preset_id, org_id, version, version_id, config, system_prompt, creator_id, created_at)
    VALUES (:preset_id, :org_id, :version, :version_id, :config, :system_prompt, :creator_id, :at)
    """
)
_DESIGNATED = """
    SELECT p.preset_id, p.org_id, p.slug, p.creator_id AS preset_creator, p.created_at AS preset_created, p.updated_at,
           v.version, v.version_id, v.config, v.system_prompt, v.creator_id, v.created_at
    FROM presets AS p JOIN preset_versions AS v ON v.preset_id = p.preset_id AND v.version = p.versions
    WHERE p.org_id = :org_id
"""
_GET = text(_DESIGNATED + " AND p.slug = :slug")
_PAGE = text(_DESIGNATED + " ORDER BY p.updated_at DESC, p.preset_id LIMIT :limit OFFSET :offset")
_FIND = text("SELECT preset_id, versions FROM presets WHERE org_id = :org_id AND slug = :slug")
_VERSIONS = text(
    """
    SELECT preset_id, version, version_id, config, system_prompt, creator_id, created_at FROM preset_versions
    WHERE preset_id = :preset_id AND org_id = :org_id ORDER BY version LIMIT :limit OFFSET :offset
    """
)
_VERSION = text(
    """
    SELECT preset_id, version, version_id, config, system_prompt, creator_id, created_at FROM preset_versions
    WHERE preset_id = :preset_id AND org_id = :org_id AND version = :version
    """
)


class PostgresPresetStore:
    """The PresetStore in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog) -> None:
        self._database = database
        self._audit = audit

    async def save(self, new: NewVersion, actor: Actor) -> Preset:
        """Add a version.

        Raises:
            NotFoundError: there is no such organisation.
            AlreadyExistsError: there are too many presets, or versions of this one.
        """
        values = {
            "preset_id": new.preset_id,
            "org_id": new.org_id,
            "slug": new.slug,
            "creator_id": new.creator_id,
            "at": new.at,
        }
        try:
            async with self._database.transaction(new.org_id) as connection:
                row = (await connection.execute(_UPSERT, values)).one()
                count = (await connection.execute(_COUNT, {"org_id": new.org_id})).scalar_one()
                if count > MAX_PRESETS or row.versions > MAX_VERSIONS:
                    raise AlreadyExistsError(f"there are {MAX_PRESETS} presets, or {MAX_VERSIONS} versions of this one")
                version = PresetVersion(
                    new.version_id, row.preset_id, row.versions, new.config, new.system_prompt, new.creator_id, new.at
                )
                await connection.execute(
                    _ADD,
                    values
                    | {
                        "preset_id": version.preset_id,
                        "version": version.version,
                        "version_id": version.version_id,
                        "config": version.config,
                        "system_prompt": version.system_prompt,
                    },
                )
                # Neither the configuration nor the instructions: they may be what a prompt says.
                after = {"slug": new.slug, "version": version.version, "version_id": str(version.version_id)}
                event = AuditEvent(actor, "preset.saved", f"preset/{version.preset_id}", after=after)
                await self._audit.append(connection, new.org_id, event, new.at)
        except IntegrityError as error:
            if "org_id" in str(error.orig):
                raise NotFoundError("no such organisation") from None
            raise
        return Preset(row.preset_id, new.org_id, new.slug, row.creator_id, row.created_at, new.at, version)

    async def get(self, org_id: UUID, slug: str) -> Preset:
        """Return a preset.

        Raises:
            NotFoundError: the organisation has none of this name.
        """
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(_GET, {"org_id": org_id, "slug": slug})).one_or_none()
        if row is None:
            raise NotFoundError("no such preset")
        return _preset(row)

    async def page(self, org_id: UUID, offset: int, limit: int) -> tuple[list[Preset], int]:
        """Return presets, the last changed first, and how many there are."""
        async with self._database.transaction(org_id) as connection:
            rows = await connection.execute(_PAGE, {"org_id": org_id, "offset": offset, "limit": limit})
            total = (await connection.execute(_COUNT, {"org_id": org_id})).scalar_one()
            return [_preset(row) for row in rows], total

    async def versions(self, org_id: UUID, slug: str, offset: int, limit: int) -> tuple[list[PresetVersion], int]:
        """Return versions, the oldest first, and how many there are.

        Raises:
            NotFoundError: the organisation has no such preset.
        """
        async with self._database.transaction(org_id) as connection:
            found = (await connection.execute(_FIND, {"org_id": org_id, "slug": slug})).one_or_none()
            if found is None:
                raise NotFoundError("no such preset")
            values = {"preset_id": found.preset_id, "org_id": org_id, "offset": offset, "limit": limit}
            rows = await connection.execute(_VERSIONS, values)
            return [_version(row) for row in rows], found.versions

    async def version(self, org_id: UUID, slug: str, version: int) -> PresetVersion:
        """Return one version.

        Raises:
            NotFoundError: the organisation has no such preset, or the preset no such version.
        """
        async with self._database.transaction(org_id) as connection:
            found = (await connection.execute(_FIND, {"org_id": org_id, "slug": slug})).one_or_none()
            if found is None:
                raise NotFoundError("no such preset")
            values = {"preset_id": found.preset_id, "org_id": org_id, "version": version}
            row = (await connection.execute(_VERSION, values)).one_or_none()
        if row is None:
            raise NotFoundError("no such version")
        return _version(row)


def _version(row: Row[Any]) -> PresetVersion:
    return PresetVersion(
        version_id=row.version_id,
        preset_id=row.preset_id,
        version=row.version,
        config=bytes(row.config),
        system_prompt=row.system_prompt,
        creator_id=row.creator_id,
        created_at=row.created_at,
    )


def _preset(row: Row[Any]) -> Preset:
    return Preset(
        preset_id=row.preset_id,
        org_id=row.org_id,
        slug=row.slug,
        creator_id=row.preset_creator,
        created_at=row.preset_created,
        updated_at=row.updated_at,
        designated=_version(row),
    )
