"""Members of organisations, for tests that are about something else."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg

from accounts.domain.people import Role


async def new_member(sql: asyncpg.Connection, org_id: UUID | str) -> str:
    """Make somebody a developer of an organisation, as if they had signed up; returns their id."""
    user_id = uuid4()
    await sql.execute(
        "INSERT INTO users (user_id, email, created_at) VALUES ($1, $2, now())", user_id, f"{user_id}@example.com"
    )
    await sql.execute(
        "INSERT INTO members (org_id, user_id, role, created_at) VALUES ($1, $2, $3, now())",
        UUID(str(org_id)),
        user_id,
        int(Role.DEVELOPER),
    )
    return str(user_id)
