"""Members of workspaces in PostgreSQL. Everybody in the organisation is a member of its default workspace."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.domain.audit import AuditEvent
from accounts.domain.errors import ForbiddenError, InvalidFieldError
from accounts.domain.people import Actor, Role
from accounts.domain.workspaces import Workspace, WorkspaceMember

_PAGE = text(
    """
    SELECT membership_id, user_id, role, workspace_members.created_at
    FROM workspace_members JOIN members USING (org_id, user_id)
    WHERE workspace_id = :workspace_id ORDER BY workspace_members.created_at, user_id LIMIT :limit OFFSET :offset
    """
)
_COUNT = text("SELECT count(*) FROM workspace_members WHERE workspace_id = :workspace_id")
_EVERYBODY = text(
    """
    SELECT NULL AS membership_id, user_id, role, created_at FROM members
    WHERE org_id = :org_id ORDER BY created_at, user_id LIMIT :limit OFFSET :offset
    """
)
_EVERYBODY_COUNT = text("SELECT count(*) FROM members WHERE org_id = :org_id")
_KNOWN = text("SELECT user_id, role FROM members WHERE org_id = :org_id AND user_id = ANY(CAST(:user_ids AS uuid[]))")
_ADD = text(
    """
    INSERT INTO workspace_members (membership_id, org_id, workspace_id, user_id, created_at)
    SELECT * FROM unnest(CAST(:membership_ids AS uuid[]), CAST(:org_ids AS uuid[]), CAST(:workspace_ids AS uuid[]),
                         CAST(:user_ids AS uuid[]), CAST(:created AS timestamptz[]))
    ON CONFLICT (workspace_id, user_id) DO NOTHING RETURNING membership_id, user_id, created_at
    """
)
_WITH_KEYS = text(
    """
    SELECT EXISTS (SELECT FROM api_keys WHERE workspace_id = :workspace_id AND deleted_at IS NULL
                   AND creator_user_id = ANY(CAST(:names AS text[])))
    """
)
_REMOVE = text(
    """
    DELETE FROM workspace_members WHERE workspace_id = :workspace_id AND user_id = ANY(CAST(:user_ids AS uuid[]))
    RETURNING user_id
    """
)


class PostgresWorkspaceMemberStore:
    """The WorkspaceMemberStore in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog) -> None:
        self._database = database
        self._audit = audit

    async def page(self, workspace: Workspace, offset: int, limit: int) -> tuple[list[WorkspaceMember], int]:
        """Return members, the longest-standing first, and how many there are in all."""
        rows, count = (_EVERYBODY, _EVERYBODY_COUNT) if workspace.is_default else (_PAGE, _COUNT)
        values: dict[str, Any] = {"org_id": workspace.org_id, "workspace_id": workspace.workspace_id}
        async with self._database.transaction(workspace.org_id) as connection:
            page = await connection.execute(rows, values | {"offset": offset, "limit": limit})
            members = [
                WorkspaceMember(
                    row.membership_id or uuid5(workspace.workspace_id, str(row.user_id)),
                    row.user_id,
                    Role(row.role).administers,
                    row.created_at,
                )
                for row in page
            ]
            total = (await connection.execute(count, values)).scalar_one()
        return members, total

    async def add(
        self, workspace: Workspace, user_ids: Sequence[UUID], actor: Actor, now: datetime
    ) -> list[WorkspaceMember]:
        """Add members of the organisation, all or none. Returns those who were not in it before.

        Raises:
            InvalidFieldError: one is no member of the organisation.
        """
        async with self._database.transaction(workspace.org_id) as connection:
            roles = await self._known(connection, workspace, user_ids)
            if workspace.is_default:
                return []
            rows = await connection.execute(
                _ADD,
                {
                    "membership_ids": [uuid5(workspace.workspace_id, str(user_id)) for user_id in user_ids],
                    "org_ids": [workspace.org_id] * len(user_ids),
                    "workspace_ids": [workspace.workspace_id] * len(user_ids),
                    "user_ids": list(user_ids),
                    "created": [now] * len(user_ids),
                },
            )
            added = [
                WorkspaceMember(row.membership_id, row.user_id, roles[row.user_id].administers, row.created_at)
                for row in rows
            ]
            if added:
                await self._write_down(connection, workspace, "added", [each.user_id for each in added], actor, now)
        return added

    async def remove(self, workspace: Workspace, user_ids: Sequence[UUID], actor: Actor, now: datetime) -> int:
        """Remove members, all or none. Returns how many were in it.

        Raises:
            ForbiddenError: one has keys in the workspace, or it is the default one.
            InvalidFieldError: one is no member of the organisation.
        """
        if workspace.is_default:
            raise ForbiddenError("everybody is a member of the default workspace")
        names = {"workspace_id": workspace.workspace_id, "names": [str(user_id) for user_id in user_ids]}
        async with self._database.transaction(workspace.org_id) as connection:
            await self._known(connection, workspace, user_ids)
            if (await connection.execute(_WITH_KEYS, names)).scalar_one():
                raise ForbiddenError("members with API keys in the workspace cannot be removed")
            values = {"workspace_id": workspace.workspace_id, "user_ids": list(user_ids)}
            removed = list((await connection.execute(_REMOVE, values)).scalars())
            if removed:
                await self._write_down(connection, workspace, "removed", removed, actor, now)
        return len(removed)

    async def _known(
        self, connection: AsyncConnection, workspace: Workspace, user_ids: Sequence[UUID]
    ) -> dict[UUID, Role]:
        rows = await connection.execute(_KNOWN, {"org_id": workspace.org_id, "user_ids": list(user_ids)})
        roles = {row.user_id: Role(row.role) for row in rows}
        if set(user_ids) - set(roles):
            raise InvalidFieldError("user_ids", "must all be members of the organisation")
        return roles

    async def _write_down(
        self,
        connection: AsyncConnection,
        workspace: Workspace,
        done: str,
        user_ids: Sequence[UUID],
        actor: Actor,
        now: datetime,
    ) -> None:
        state = {"user_ids": sorted(str(user_id) for user_id in user_ids)}
        before, after = ({}, state) if done == "added" else (state, {})
        event = AuditEvent(actor, f"workspace.members_{done}", f"workspace/{workspace.workspace_id}", before, after)
        await self._audit.append(connection, workspace.org_id, event, now)
