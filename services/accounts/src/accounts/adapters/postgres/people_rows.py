"""Rows of people and members to values, and the statements that several stores share."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.domain.people import Invitation, Member, Role, User

USER_COLUMNS: Final = (
    "users.user_id, users.email, users.first_name, users.last_name, users.password_hash, "
    "users.created_at AS user_created_at"
)
MEMBER_COLUMNS: Final = f"members.org_id, members.role, members.created_at, {USER_COLUMNS}"
INVITATION_COLUMNS: Final = "invitation_id, org_id, email, role, token_digest, created_at, expires_at"

_ADD_USER = text(
    """
    INSERT INTO users (user_id, email, first_name, last_name, password_hash, created_at)
    VALUES (:user_id, :email, :first_name, :last_name, :password_hash, :created_at)
    """
)
_ADD_MEMBER = text(
    """
    INSERT INTO members (org_id, user_id, role, created_at) VALUES (:org_id, :user_id, :role, :created_at)
    ON CONFLICT (org_id, user_id) DO NOTHING RETURNING user_id
    """
)


def user_from_row(row: Any) -> User:
    """Read a row of USER_COLUMNS."""
    return User(row.user_id, row.email, row.first_name, row.last_name, row.password_hash, row.user_created_at)


def member_from_row(row: Any) -> Member:
    """Read a row of MEMBER_COLUMNS."""
    return Member(row.org_id, user_from_row(row), Role(row.role), row.created_at)


def invitation_from_row(row: Any) -> Invitation:
    """Read a row of INVITATION_COLUMNS."""
    return Invitation(
        row.invitation_id, row.org_id, row.email, Role(row.role), row.token_digest, row.created_at, row.expires_at
    )


async def add_user(connection: AsyncConnection, user: User) -> None:
    """Store a new person."""
    await connection.execute(_ADD_USER, {name: getattr(user, name) for name in User.__slots__})


async def add_member(connection: AsyncConnection, org_id: UUID, user: User, role: Role, now: Any) -> bool:
    """Make a person a member; False when they are one already."""
    values = {"org_id": org_id, "user_id": user.user_id, "role": int(role), "created_at": now}
    return (await connection.execute(_ADD_MEMBER, values)).one_or_none() is not None
