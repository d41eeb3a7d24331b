"""Members of organisations, for tests that are about something else."""

from __future__ import annotations

from uuid import UUID, uuid4

from sqlalchemy import text

from accounts.adapters.postgres.database import Database
from accounts.domain.people import Role

_USER = text("INSERT INTO users (user_id, email, created_at) VALUES (:user_id, :email, now())")
_MEMBER = text("INSERT INTO members (org_id, user_id, role, created_at) VALUES (:org_id, :user_id, :role, now())")


async def new_member(database: Database, org_id: UUID | str) -> str:
    """Make somebody a developer of an organisation, as if they had signed up; returns their id."""
    values = {"user_id": uuid4(), "org_id": UUID(str(org_id)), "role": int(Role.DEVELOPER)}
    async with database.installation_transaction() as connection:
        await connection.execute(_USER, {**values, "email": f"{values['user_id']}@example.com"})
        await connection.execute(_MEMBER, values)
    return str(values["user_id"])
