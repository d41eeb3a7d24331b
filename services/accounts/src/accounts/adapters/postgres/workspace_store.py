"""Workspaces and their budgets in PostgreSQL. A change of a budget publishes its organisation."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.outbox import enqueue
from accounts.adapters.postgres.rows import ORG_COLUMNS, org_from_row
from accounts.adapters.postgres.workspace_rows import WORKSPACE_COLUMNS, workspace_from_row
from accounts.domain.audit import AuditEvent
from accounts.domain.errors import AlreadyExistsError, ForbiddenError, NotFoundError
from accounts.domain.people import Actor
from accounts.domain.workspaces import (
    MAX_WORKSPACES,
    Budget,
    Workspace,
    WorkspaceFields,
    checked_budgets,
)
from accounts.records import org_message

_SET = """
    name = :name, slug = :slug, description = :description, default_text_model = :default_text_model,
    default_image_model = :default_image_model, default_provider_sort = :default_provider_sort,
    io_logging_api_key_ids = CAST(:io_logging_api_key_ids AS bigint[]),
    io_logging_sampling_rate = :io_logging_sampling_rate,
    is_data_discount_logging_enabled = :is_data_discount_logging_enabled,
    is_observability_broadcast_enabled = :is_observability_broadcast_enabled,
    is_observability_io_logging_enabled = :is_observability_io_logging_enabled
"""
# Constant columns; every value is a parameter.
_PAGE = text(
    f"""
    SELECT {WORKSPACE_COLUMNS} FROM workspaces WHERE org_id = :org_id AND deleted_at IS NULL
    ORDER BY workspace_id <> org_id, created_at, workspace_id LIMIT :limit OFFSET :offset
    """  # noqa: S608 - constant columns
)
_COUNT = text("SELECT count(*) FROM workspaces WHERE org_id = :org_id AND deleted_at IS NULL")
_GET = text(
    f"""
    SELECT {WORKSPACE_COLUMNS} FROM workspaces
    WHERE org_id = :org_id AND deleted_at IS NULL AND (slug = :name OR CAST(workspace_id AS text) = :name)
    """  # noqa: S608 - constant columns
)
# The organisation's row, so that its workspaces and budgets change one at a time.
_DROP_LIMITS = text(
    """
    UPDATE orgs SET rate_limits = (SELECT coalesce(jsonb_agg(entry), '[]') FROM jsonb_array_elements(rate_limits) AS entry
                                   WHERE entry ->> 0 <> CAST(CAST(:workspace_id AS uuid) AS text))
    WHERE org_id = :org_id
    """
)
_LOCK_ORG = text("SELECT 1 FROM orgs WHERE org_id = :org_id FOR UPDATE")
_ADD = text(
    """
    INSERT INTO workspaces (workspace_id, org_id, name, slug, created_by, created_at)
    VALUES (:workspace_id, :org_id, :name, :slug, :created_by, :created_at)
    """
)
_UPDATE = text(f"UPDATE workspaces SET {_SET} WHERE workspace_id = :workspace_id")  # noqa: S608 - constant columns
_TOUCH = text("UPDATE workspaces SET updated_at = :now WHERE workspace_id = :workspace_id")
_HAS_KEYS = text("SELECT EXISTS (SELECT FROM api_keys WHERE workspace_id = :workspace_id AND deleted_at IS NULL)")
_DELETE = text("UPDATE workspaces SET deleted_at = :now WHERE workspace_id = :workspace_id")
_DELETE_MEMBERS = text("DELETE FROM workspace_members WHERE workspace_id = :workspace_id")
_DELETE_BUDGETS = text("DELETE FROM workspace_budgets WHERE workspace_id = :workspace_id")
_PUT_BUDGET = text(
    """
    INSERT INTO workspace_budgets (budget_id, org_id, workspace_id, interval, limit_nano, created_at, updated_at)
    VALUES (:budget_id, :org_id, :workspace_id, :interval, :limit, :now, :now)
    ON CONFLICT (workspace_id, interval)
    DO UPDATE SET limit_nano = excluded.limit_nano, updated_at = excluded.updated_at
    """
)
_INCLUDE_BYOK = text("UPDATE workspaces SET include_byok_in_budgets = :include WHERE workspace_id = :workspace_id")
_DELETE_BUDGET = text(
    "DELETE FROM workspace_budgets WHERE workspace_id = :workspace_id AND interval = :interval RETURNING limit_nano"
)
_REVISE_ORG = text(
    f"UPDATE orgs SET revision = revision + 1 WHERE org_id = :org_id RETURNING {ORG_COLUMNS}"  # noqa: S608 - constant columns
)


class PostgresWorkspaceStore:
    """The WorkspaceStore in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog) -> None:
        self._database = database
        self._audit = audit

    async def page(self, org_id: UUID, offset: int, limit: int) -> tuple[list[Workspace], int]:
        """Return workspaces, the default one first, and how many there are in all."""
        async with self._database.transaction(org_id) as connection:
            rows = await connection.execute(_PAGE, {"org_id": org_id, "offset": offset, "limit": limit})
            workspaces = [workspace_from_row(row) for row in rows]
            total = (await connection.execute(_COUNT, {"org_id": org_id})).scalar_one()
        return workspaces, total

    async def get(self, org_id: UUID, name: str) -> Workspace:
        """Return a workspace by its id or slug.

        Raises:
            NotFoundError: the organisation has no such workspace.
        """
        async with self._database.transaction(org_id) as connection:
            return await _found(connection, org_id, name)

    async def add(self, workspace: Workspace, actor: Actor) -> Workspace:
        """Store a new workspace.

        Raises:
            AlreadyExistsError: the slug is taken.
            ForbiddenError: there are as many as there may be.
        """
        org_id, fields = workspace.org_id, workspace.fields
        values = asdict(fields) | {
            "workspace_id": workspace.workspace_id,
            "org_id": org_id,
            "created_by": workspace.created_by,
            "created_at": workspace.created_at,
            "io_logging_api_key_ids": _numbers(fields),
        }
        try:
            async with self._database.transaction(org_id) as connection:
                await connection.execute(_LOCK_ORG, {"org_id": org_id})
                if (await connection.execute(_COUNT, {"org_id": org_id})).scalar_one() >= MAX_WORKSPACES:
                    raise ForbiddenError(f"an organisation has at most {MAX_WORKSPACES} workspaces")
                await connection.execute(_ADD, values)
                await connection.execute(_UPDATE, values)
                event = AuditEvent(actor, "workspace.created", _target(workspace), after=_state(fields))
                await self._audit.append(connection, org_id, event, workspace.created_at)
                return await _found(connection, org_id, str(workspace.workspace_id))
        except IntegrityError:
            raise AlreadyExistsError("there is a workspace with this slug") from None

    async def update(self, workspace: Workspace, fields: WorkspaceFields, actor: Actor, now: datetime) -> Workspace:
        """Change a workspace.

        Raises:
            AlreadyExistsError: the slug is taken.
        """
        org_id = workspace.org_id
        values = asdict(fields) | {
            "workspace_id": workspace.workspace_id,
            "io_logging_api_key_ids": _numbers(fields),
        }
        try:
            async with self._database.transaction(org_id) as connection:
                await connection.execute(_UPDATE, values)
                await connection.execute(_TOUCH, {"workspace_id": workspace.workspace_id, "now": now})
                before, after = _state(workspace.fields), _state(fields)
                changed = {name for name in after if before[name] != after[name]}
                event = AuditEvent(
                    actor,
                    "workspace.changed",
                    _target(workspace),
                    {name: before[name] for name in changed},
                    {name: after[name] for name in changed},
                )
                await self._audit.append(connection, org_id, event, now)
                return await _found(connection, org_id, str(workspace.workspace_id))
        except IntegrityError:
            raise AlreadyExistsError("there is a workspace with this slug") from None

    async def delete(self, org_id: UUID, name: str, actor: Actor, now: datetime) -> None:
        """Delete a workspace with its budgets.

        Raises:
            NotFoundError: the organisation has no such workspace.
            ForbiddenError: it is the default one, or has keys.
        """
        async with self._database.transaction(org_id) as connection:
            await connection.execute(_LOCK_ORG, {"org_id": org_id})
            workspace = await _found(connection, org_id, name)
            if workspace.is_default:
                raise ForbiddenError("the default workspace cannot be deleted")
            values = {"workspace_id": workspace.workspace_id, "org_id": org_id, "now": now}
            if (await connection.execute(_HAS_KEYS, values)).scalar_one():
                raise ForbiddenError("a workspace with API keys cannot be deleted: delete its keys first")
            for statement in (_DELETE, _DELETE_MEMBERS, _DELETE_BUDGETS, _DROP_LIMITS):
                await connection.execute(statement, values)
            await _publish_org(connection, org_id, now)
            event = AuditEvent(actor, "workspace.deleted", _target(workspace), _state(workspace.fields))
            await self._audit.append(connection, org_id, event, now)

    async def put_budget(
        self, org_id: UUID, name: str, budget: Budget, include_byok: bool | None, actor: Actor, now: datetime
    ) -> Workspace:
        """Set the budget of an interval.

        Raises:
            NotFoundError: the organisation has no such workspace.
            InvalidFieldError: the budgets would not rise with the interval.
        """
        async with self._database.transaction(org_id) as connection:
            await connection.execute(_LOCK_ORG, {"org_id": org_id})
            workspace = await _found(connection, org_id, name)
            limits = {each.interval: each.limit for each in workspace.budgets}
            before = limits.get(budget.interval)
            checked_budgets(limits | {budget.interval: budget.limit})
            values = {
                "budget_id": budget.budget_id,
                "org_id": org_id,
                "workspace_id": workspace.workspace_id,
                "interval": int(budget.interval),
                "limit": budget.limit,
                "now": now,
            }
            await connection.execute(_PUT_BUDGET, values)
            if include_byok is not None:
                await connection.execute(_INCLUDE_BYOK, values | {"include": include_byok})
            await _publish_org(connection, org_id, now)
            event = AuditEvent(
                actor,
                "budget.set",
                f"{_target(workspace)}/{budget.interval.name.lower()}",
                {"limit_nano_usd": before, "include_byok_in_budgets": workspace.include_byok_in_budgets},
                {"limit_nano_usd": budget.limit, "include_byok_in_budgets": include_byok},
            )
            await self._audit.append(connection, org_id, event, now)
            return await _found(connection, org_id, str(workspace.workspace_id))

    async def delete_budget(self, org_id: UUID, name: str, interval: int, actor: Actor, now: datetime) -> None:
        """Remove the budget of an interval, if there is one.

        Raises:
            NotFoundError: the organisation has no such workspace.
        """
        async with self._database.transaction(org_id) as connection:
            await connection.execute(_LOCK_ORG, {"org_id": org_id})
            workspace = await _found(connection, org_id, name)
            values = {"workspace_id": workspace.workspace_id, "interval": interval}
            removed = (await connection.execute(_DELETE_BUDGET, values)).scalar_one_or_none()
            if removed is None:
                return
            await _publish_org(connection, org_id, now)
            event = AuditEvent(actor, "budget.removed", f"{_target(workspace)}/{interval}", {"limit_nano_usd": removed})
            await self._audit.append(connection, org_id, event, now)


async def _found(connection: AsyncConnection, org_id: UUID, name: str) -> Workspace:
    row = (await connection.execute(_GET, {"org_id": org_id, "name": name})).one_or_none()
    if row is None:
        raise NotFoundError("no such workspace")
    return workspace_from_row(row)


async def _publish_org(connection: AsyncConnection, org_id: UUID, now: datetime) -> None:
    org = org_from_row((await connection.execute(_REVISE_ORG, {"org_id": org_id})).one())
    await enqueue(connection, [org_message(org, now)])


def _target(workspace: Workspace) -> str:
    return f"workspace/{workspace.workspace_id}"


def _numbers(fields: WorkspaceFields) -> list[int] | None:
    return None if fields.io_logging_api_key_ids is None else list(fields.io_logging_api_key_ids)


def _state(fields: WorkspaceFields) -> dict[str, object]:
    return asdict(fields)
