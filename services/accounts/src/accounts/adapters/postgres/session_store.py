"""Sessions in PostgreSQL. They are found by digest before it is known which organisation they are in."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.people_rows import USER_COLUMNS, user_from_row
from accounts.adapters.postgres.rows import ORG_COLUMNS, org_from_row
from accounts.domain.errors import NotFoundError
from accounts.domain.people import Role
from accounts.domain.sessions import SESSION_IDLE, Membership, NewSession, Session

_OPEN = text(
    """
    INSERT INTO sessions (session_id, token_digest, user_id, current_org_id, method, ip, created_at, used_at, expires_at)
    VALUES (:session_id, :token_digest, :user_id,
            (SELECT org_id FROM members WHERE user_id = :user_id ORDER BY created_at, org_id LIMIT 1),
            :method, :ip, :created_at, :created_at, :expires_at)
    """
)
_ALIVE = "ended_at IS NULL AND expires_at > :now AND used_at > :idle_since"
# Constant columns; every value is a parameter.
_FIND = text(
    f"""
    SELECT session_id, current_org_id, expires_at, used_at, {USER_COLUMNS} FROM sessions JOIN users USING (user_id)
    WHERE token_digest = :digest AND {_ALIVE}
    """  # noqa: S608 - constant columns
)
_TOUCH = text("UPDATE sessions SET used_at = :now WHERE session_id = :session_id AND used_at < :minute_ago")
_MEMBERSHIPS = text(
    """
    SELECT org_id, name, role FROM members JOIN orgs USING (org_id)
    WHERE user_id = :user_id ORDER BY members.created_at, org_id
    """
)
_ORG = text(f"SELECT {ORG_COLUMNS} FROM orgs WHERE org_id = :org_id")  # noqa: S608 - constant columns
_ROTATE = text(
    f"""
    UPDATE sessions SET token_digest = :new_digest, used_at = :now,
        current_org_id = coalesce(CAST(:org_id AS uuid), current_org_id)
    WHERE token_digest = :digest AND {_ALIVE}
      AND (CAST(:org_id AS uuid) IS NULL
           OR EXISTS (SELECT FROM members WHERE members.org_id = :org_id AND members.user_id = sessions.user_id))
    RETURNING session_id
    """  # noqa: S608 - constant columns
)
_END = text("UPDATE sessions SET ended_at = :now WHERE token_digest = :digest AND ended_at IS NULL")
_END_ALL = text(
    """
    UPDATE sessions SET ended_at = :now
    WHERE user_id = :user_id AND ended_at IS NULL AND token_digest <> :but
    """
)
_MINUTE = 60


class PostgresSessionStore:
    """The SessionStore in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, new: NewSession) -> Session:
        """Open a session, in the organisation that its user has been a member of for longest."""
        values = {name: getattr(new, name) for name in NewSession.__slots__}
        async with self._database.installation_transaction() as connection:
            await connection.execute(_OPEN, values)
            return await _found(connection, new.token_digest, new.created_at)

    async def resolve(self, digest: str, now: datetime) -> Session:
        """Find a session that is alive.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.installation_transaction() as connection:
            return await _found(connection, digest, now)

    async def rotate(self, digest: str, new_digest: str, org_id: UUID | None, now: datetime) -> Session:
        """Give a session a new token, and put it into an organisation of its user.

        Raises:
            NotFoundError: no such session is alive, or its user is no member there.
        """
        values = _when(now) | {"digest": digest, "new_digest": new_digest, "org_id": org_id}
        async with self._database.installation_transaction() as connection:
            if (await connection.execute(_ROTATE, values)).one_or_none() is None:
                raise NotFoundError("no such organization")
            return await _found(connection, new_digest, now)

    async def end(self, digest: str, now: datetime) -> None:
        """End a session, if it is alive."""
        async with self._database.installation_transaction() as connection:
            await connection.execute(_END, {"digest": digest, "now": now})

    async def end_all(self, user_id: UUID, now: datetime, *, but: str = "") -> None:
        """End a user's sessions, except for the one with a digest."""
        async with self._database.installation_transaction() as connection:
            await connection.execute(_END_ALL, {"user_id": user_id, "but": but, "now": now})


def _when(now: datetime) -> dict[str, Any]:
    return {"now": now, "idle_since": now - SESSION_IDLE}


async def _found(connection: AsyncConnection, digest: str, now: datetime) -> Session:
    row = (await connection.execute(_FIND, _when(now) | {"digest": digest})).one_or_none()
    if row is None:
        raise NotFoundError("no such session")
    if (now - row.used_at).total_seconds() > _MINUTE:
        await connection.execute(_TOUCH, {"session_id": row.session_id, "now": now, "minute_ago": now})
    rows = await connection.execute(_MEMBERSHIPS, {"user_id": row.user_id})
    memberships = [Membership(each.org_id, each.name, Role(each.role)) for each in rows]
    current = next((each for each in memberships if each.org_id == row.current_org_id), None)
    # Who was removed from an organisation is in it no more, whatever the session says.
    org = None
    if current is not None:
        org = org_from_row((await connection.execute(_ORG, {"org_id": current.org_id})).one())
    role = None if current is None else current.role
    return Session(row.session_id, user_from_row(row), org, role, row.expires_at, memberships)
