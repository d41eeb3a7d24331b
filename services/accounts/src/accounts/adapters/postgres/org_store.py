"""Organisations and their credit in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.outbox import enqueue
from accounts.adapters.postgres.people_rows import USER_COLUMNS, add_member, user_from_row
from accounts.adapters.postgres.rows import ORG_COLUMNS, org_from_row, org_limits_to_json
from accounts.adapters.postgres.workspace_lookup import workspaces_of
from accounts.domain.accounts import Org, OrgStatus
from accounts.domain.audit import AuditEvent
from accounts.domain.errors import NotFoundError
from accounts.domain.org_limits import OrgLimit, check_workspaces
from accounts.domain.people import Actor, Role
from accounts.domain.postings import PROMO, customer
from accounts.domain.workspaces import DEFAULT_NAME, DEFAULT_SLUG
from accounts.records import org_message

_INSERT = text(
    f"""
    INSERT INTO orgs (org_id, name, status, created_at) VALUES (:org_id, :name, :status, :now)
    RETURNING {ORG_COLUMNS}
    """  # noqa: S608 - constant columns
)
_GET = text(f"SELECT {ORG_COLUMNS} FROM orgs WHERE org_id = :org_id")  # noqa: S608 - constant columns
_LOCK = text(f"SELECT {ORG_COLUMNS} FROM orgs WHERE org_id = :org_id FOR UPDATE")  # noqa: S608 - constant columns
_GRANT = text(
    """
    INSERT INTO grants (org_id, idempotency_key, grant_id, nano) VALUES (:org_id, :idempotency_key, :grant_id, :nano)
    ON CONFLICT (org_id, idempotency_key) DO NOTHING RETURNING grant_id
    """
)
_ENTRY = text(
    """
    INSERT INTO ledger_entries (cause_id, org_id, debit, credit, nano, reason, posted_at)
    VALUES (:cause_id, :org_id, :debit, :credit, :nano, :reason, :now)
    """
)
_CREDIT = text(
    f"""
    UPDATE orgs SET balance_nano = balance_nano + :nano, credits_nano = credits_nano + :nano, revision = revision + 1
    WHERE org_id = :org_id RETURNING {ORG_COLUMNS}
    """  # noqa: S608 - constant columns
)


_SET_LIMITS = text(
    f"""
    UPDATE orgs SET rate_limits = CAST(:limits AS jsonb), revision = revision + 1 WHERE org_id = :org_id
    RETURNING {ORG_COLUMNS}
    """  # noqa: S608 - constant columns
)
_DEFAULT_WORKSPACE = text(
    """
    INSERT INTO workspaces (workspace_id, org_id, name, slug, created_at)
    VALUES (:org_id, :org_id, :workspace, :slug, :now)
    """
)
_FOUNDER = text(f"SELECT {USER_COLUMNS} FROM users WHERE user_id = :user_id FOR UPDATE")  # noqa: S608 - constant columns


class PostgresOrgStore:
    """The OrgStore in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog) -> None:
        self._database = database
        self._audit = audit

    async def add(self, org_id: UUID, name: str, founder: UUID | None, actor: Actor, now: datetime) -> Org:
        """Store a new organisation without credit, with its default workspace and, where there is one, its owner.

        Raises:
            NotFoundError: there is no such user.
        """
        values = {"org_id": org_id, "name": name, "status": int(OrgStatus.ACTIVE), "now": now}
        async with self._database.transaction(org_id) as connection:
            org = org_from_row((await connection.execute(_INSERT, values)).one())
            await connection.execute(_DEFAULT_WORKSPACE, values | {"workspace": DEFAULT_NAME, "slug": DEFAULT_SLUG})
            if founder is not None:
                await _found(connection, org_id, founder, now)
            event = AuditEvent(actor, "organization.created", f"organization/{org_id}", after={"name": name})
            await self._audit.append(connection, org_id, event, now)
            await enqueue(connection, [org_message(org, now)])
        return org

    async def get(self, org_id: UUID) -> Org:
        """Return an organisation.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(_GET, {"org_id": org_id})).one_or_none()
        if row is None:
            raise NotFoundError("no such organisation")
        return org_from_row(row)

    async def grant(
        self, org_id: UUID, nano: int, idempotency_key: str, reason: str, actor: Actor, now: datetime
    ) -> Org:
        """Give credit once for an idempotency key, against the promotion account.

        Raises:
            NotFoundError: there is no such organisation.
        """
        grant_id = uuid5(org_id, f"grant/{idempotency_key}")
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(_LOCK, {"org_id": org_id})).one_or_none()
            if row is None:
                raise NotFoundError("no such organisation")
            values = {"org_id": org_id, "idempotency_key": idempotency_key, "grant_id": grant_id, "nano": nano}
            if (await connection.execute(_GRANT, values)).one_or_none() is None:
                return org_from_row(row)
            entry = {
                "cause_id": grant_id,
                "org_id": org_id,
                "debit": PROMO,
                "credit": customer(org_id),
                "nano": nano,
                "reason": reason,
                "now": now,
            }
            await connection.execute(_ENTRY, entry)
            org = org_from_row((await connection.execute(_CREDIT, {"org_id": org_id, "nano": nano})).one())
            await enqueue(connection, [org_message(org, now)])
            event = AuditEvent(
                actor, "credit.granted", f"grant/{grant_id}", after={"amount_nano_usd": nano, "reason": reason}
            )
            await self._audit.append(connection, org_id, event, now)
        return org

    async def set_rate_limits(self, org_id: UUID, limits: Sequence[OrgLimit], actor: Actor, now: datetime) -> Org:
        """Put other rate limits in the place of those that an organisation and its workspaces have.

        Raises:
            NotFoundError: there is no such organisation.
            InvalidFieldError: it has no such workspace.
        """
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(_LOCK, {"org_id": org_id})).one_or_none()
            if row is None:
                raise NotFoundError("no such organisation")
            check_workspaces(limits, await workspaces_of(connection, org_id))
            stored = org_limits_to_json(limits)
            values = {"org_id": org_id, "limits": stored}
            org = org_from_row((await connection.execute(_SET_LIMITS, values)).one())
            await enqueue(connection, [org_message(org, now)])
            before = {"rate_limits": json.loads(row.rate_limits)}
            event = AuditEvent(
                actor,
                "organization.limits_changed",
                f"organization/{org_id}",
                before,
                {"rate_limits": json.loads(stored)},
            )
            await self._audit.append(connection, org_id, event, now)
        return org


async def _found(connection: AsyncConnection, org_id: UUID, user_id: UUID, now: datetime) -> None:
    row = (await connection.execute(_FOUNDER, {"user_id": user_id})).one_or_none()
    if row is None:
        raise NotFoundError("no such user")
    await add_member(connection, org_id, user_from_row(row), Role.OWNER, now)
