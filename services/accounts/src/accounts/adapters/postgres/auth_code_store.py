"""Codes that are exchanged for keys, in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from accounts.adapters.postgres.database import Database
from accounts.domain.errors import InvalidFieldError
from accounts.domain.sessions import AuthCode
from contracts.spend import SpendInterval

_COLUMNS = (
    "code_digest, code_id, org_id, workspace_id, user_id, challenge, challenge_method, key_label, limit_nano, limit_reset, "
    "key_expires_at, created_at, expires_at"
)
_DROP_OLD = text("DELETE FROM auth_codes WHERE org_id = :org_id AND expires_at <= :created_at")
_WORKSPACE = text(
    "SELECT 1 FROM workspaces WHERE org_id = :org_id AND workspace_id = :workspace_id AND deleted_at IS NULL"
)
_ADD = text(
    f"""
    INSERT INTO auth_codes ({_COLUMNS})
    VALUES (:code_digest, :code_id, :org_id, :workspace_id, CAST(nullif(:user_id, '') AS uuid), :challenge,
            :challenge_method, :key_label, :limit, :limit_reset, :key_expires_at, :created_at, :expires_at)
    """  # noqa: S608 - constant columns
)
# Used up by being found: of two who exchange it at once, one does.
_TAKE = text(
    f"DELETE FROM auth_codes WHERE code_digest = :code_digest AND expires_at > :now RETURNING {_COLUMNS}"  # noqa: S608 - constant columns
)


class PostgresAuthCodeStore:
    """The AuthCodeStore in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, code: AuthCode) -> None:
        """Store a code.

        Raises:
            InvalidFieldError: the organisation has no such workspace.
        """
        values = {name: getattr(code, name) for name in AuthCode.__slots__} | {"limit_reset": int(code.limit_reset)}
        async with self._database.transaction(code.org_id) as connection:
            if (await connection.execute(_WORKSPACE, values)).one_or_none() is None:
                raise InvalidFieldError("workspace_id", "names no workspace of the organisation")
            await connection.execute(_DROP_OLD, values)
            await connection.execute(_ADD, values)

    async def take(self, code_digest: str, now: datetime) -> AuthCode | None:
        """Find a code that is not over, and use it up."""
        async with self._database.installation_transaction() as connection:
            row = (await connection.execute(_TAKE, {"code_digest": code_digest, "now": now})).one_or_none()
        if row is None:
            return None
        user_id: UUID | None = row.user_id
        return AuthCode(
            code_digest=row.code_digest,
            code_id=row.code_id,
            org_id=row.org_id,
            workspace_id=row.workspace_id,
            user_id="" if user_id is None else str(user_id),
            challenge=row.challenge,
            challenge_method=row.challenge_method,
            key_label=row.key_label,
            limit=row.limit_nano,
            limit_reset=SpendInterval(row.limit_reset),
            key_expires_at=row.key_expires_at,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )
