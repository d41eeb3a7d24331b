"""Members and invitations in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.people_rows import (
    INVITATION_COLUMNS,
    MEMBER_COLUMNS,
    USER_COLUMNS,
    add_member,
    add_user,
    invitation_from_row,
    member_from_row,
    user_from_row,
)
from accounts.domain.audit import AuditEvent
from accounts.domain.errors import AlreadyExistsError, ForbiddenError, NotFoundError
from accounts.domain.people import Actor, ActorKind, Invitation, Member, Role, User, check_owner_remains

# Constant columns; every value is a parameter.
_PAGE = text(
    f"""
    SELECT {MEMBER_COLUMNS} FROM members JOIN users USING (user_id)
    WHERE org_id = :org_id ORDER BY members.created_at, user_id LIMIT :limit OFFSET :offset
    """  # noqa: S608 - constant columns
)
_COUNT = text("SELECT count(*) FROM members WHERE org_id = :org_id")
# All owners, in order: two that give up being one at the same time wait for each other.
_LOCK_OWNERS = text("SELECT user_id FROM members WHERE org_id = :org_id AND role = 1 ORDER BY user_id FOR UPDATE")
_LOCK = text(
    f"""
    SELECT {MEMBER_COLUMNS} FROM members JOIN users USING (user_id)
    WHERE org_id = :org_id AND user_id = :user_id FOR UPDATE OF members
    """  # noqa: S608 - constant columns
)
_SET_ROLE = text("UPDATE members SET role = :role WHERE org_id = :org_id AND user_id = :user_id")
_REMOVE = text("DELETE FROM members WHERE org_id = :org_id AND user_id = :user_id")
_LEAVE_SESSIONS = text(
    "UPDATE sessions SET current_org_id = NULL WHERE user_id = :user_id AND current_org_id = :org_id"
)
_MEMBER_EMAIL = text("SELECT 1 FROM members JOIN users USING (user_id) WHERE org_id = :org_id AND email = :email")
_CLOSE_EXPIRED = text(
    """
    UPDATE invitations SET revoked_at = :now
    WHERE org_id = :org_id AND email = :email AND expires_at <= :now AND accepted_at IS NULL AND revoked_at IS NULL
    """
)
_INVITE = text(
    """
    INSERT INTO invitations (invitation_id, org_id, email, role, token_digest, created_at, expires_at)
    VALUES (:invitation_id, :org_id, :email, :role, :token_digest, :created_at, :expires_at)
    ON CONFLICT (org_id, email) WHERE accepted_at IS NULL AND revoked_at IS NULL DO NOTHING RETURNING invitation_id
    """
)
_OPEN = text(
    f"""
    SELECT {INVITATION_COLUMNS} FROM invitations
    WHERE org_id = :org_id AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > :now
    ORDER BY created_at DESC LIMIT 1000
    """  # noqa: S608 - constant columns
)
_REVOKE = text(
    """
    UPDATE invitations SET revoked_at = :now
    WHERE org_id = :org_id AND invitation_id = :invitation_id AND accepted_at IS NULL AND revoked_at IS NULL
    RETURNING email, role
    """
)
# Used up by the same statement that finds it: of two who accept at once, one does.
_ACCEPT = text(
    f"""
    UPDATE invitations SET accepted_at = :now
    WHERE token_digest = :token_digest AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > :now
    RETURNING {INVITATION_COLUMNS}
    """  # noqa: S608 - constant columns
)
_USER = text(f"SELECT {USER_COLUMNS} FROM users WHERE user_id = :user_id")  # noqa: S608 - constant columns
_USER_EXISTS = text("SELECT 1 FROM users WHERE email = :email")
_NO_INVITATION = "no such invitation, or it is used, withdrawn or over"


class PostgresMemberStore:
    """The MemberStore in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog) -> None:
        self._database = database
        self._audit = audit

    async def page(self, org_id: UUID, offset: int, limit: int) -> tuple[list[Member], int]:
        """Return members, the longest-standing first, and how many there are in all."""
        async with self._database.transaction(org_id) as connection:
            rows = await connection.execute(_PAGE, {"org_id": org_id, "offset": offset, "limit": limit})
            members = [member_from_row(row) for row in rows]
            total = (await connection.execute(_COUNT, {"org_id": org_id})).scalar_one()
        return members, total

    async def change_role(self, org_id: UUID, user_id: UUID, role: Role, actor: Actor, now: datetime) -> Member:
        """Change a role.

        Raises:
            NotFoundError: no such member.
            ForbiddenError: the last owner, or an owner's matter for somebody who is none.
        """
        async with self._database.transaction(org_id) as connection:
            before = await self._lock(connection, org_id, user_id, role, actor)
            values = {"org_id": org_id, "user_id": user_id, "role": int(role)}
            await connection.execute(_SET_ROLE, values)
            event = AuditEvent(
                actor, "member.role_changed", f"user/{user_id}", {"role": before.role.name}, {"role": role.name}
            )
            await self._audit.append(connection, org_id, event, now)
        return Member(org_id, before.user, role, before.created_at)

    async def remove(self, org_id: UUID, user_id: UUID, actor: Actor, now: datetime) -> None:
        """Remove a member from the organisation, its workspaces and the sessions that are in it.

        Raises:
            NotFoundError: no such member.
            ForbiddenError: the last owner, or an owner's matter for somebody who is none.
        """
        async with self._database.transaction(org_id) as connection:
            before = await self._lock(connection, org_id, user_id, None, actor)
            values = {"org_id": org_id, "user_id": user_id}
            await connection.execute(_REMOVE, values)
            await connection.execute(_LEAVE_SESSIONS, values)
            state = {"email": before.user.email, "role": before.role.name}
            await self._audit.append(
                connection, org_id, AuditEvent(actor, "member.removed", f"user/{user_id}", state), now
            )

    async def invite(self, invitation: Invitation, actor: Actor) -> None:
        """Store an invitation.

        Raises:
            AlreadyExistsError: who is invited is a member, or has an open invitation.
        """
        org_id, now = invitation.org_id, invitation.created_at
        values = {name: getattr(invitation, name) for name in Invitation.__slots__} | {"role": int(invitation.role)}
        async with self._database.transaction(org_id) as connection:
            if (await connection.execute(_MEMBER_EMAIL, values)).one_or_none() is not None:
                raise AlreadyExistsError("there is a member with this email address")
            await connection.execute(_CLOSE_EXPIRED, values | {"now": now})
            if (await connection.execute(_INVITE, values)).one_or_none() is None:
                raise AlreadyExistsError("there is an open invitation for this email address")
            state = {"email": invitation.email, "role": invitation.role.name}
            target = f"invitation/{invitation.invitation_id}"
            await self._audit.append(
                connection, org_id, AuditEvent(actor, "invitation.created", target, after=state), now
            )

    async def invitations(self, org_id: UUID, now: datetime) -> Sequence[Invitation]:
        """Return the open invitations, newest first."""
        async with self._database.transaction(org_id) as connection:
            return [invitation_from_row(row) for row in await connection.execute(_OPEN, {"org_id": org_id, "now": now})]

    async def revoke(self, org_id: UUID, invitation_id: UUID, actor: Actor, now: datetime) -> None:
        """Withdraw an invitation.

        Raises:
            NotFoundError: no such invitation is open.
        """
        values = {"org_id": org_id, "invitation_id": invitation_id, "now": now}
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(_REVOKE, values)).one_or_none()
            if row is None:
                raise NotFoundError(_NO_INVITATION)
            state = {"email": row.email, "role": Role(row.role).name}
            event = AuditEvent(actor, "invitation.revoked", f"invitation/{invitation_id}", state)
            await self._audit.append(connection, org_id, event, now)

    async def accept(self, token_digest: str, user_id: UUID, actor: Actor, now: datetime) -> Member:
        """Make a user a member by an invitation for their address, once.

        Raises:
            NotFoundError: no such invitation is open.
            ForbiddenError: it is for somebody else.
        """
        async with self._database.installation_transaction() as connection:
            row = (await connection.execute(_USER, {"user_id": user_id})).one_or_none()
            if row is None:
                raise NotFoundError("no such user")
            return await self._join(connection, token_digest, user_from_row(row), actor, now)

    async def accept_as_new_user(self, token_digest: str, user: User, actor: Actor, now: datetime) -> Member:
        """Store a person and make them a member by an invitation; their address is the invitation's.

        Raises:
            NotFoundError: no such invitation is open.
            AlreadyExistsError: the person has an account: they accept it signed in.
        """
        async with self._database.installation_transaction() as connection:
            return await self._join(connection, token_digest, user, actor, now, is_new=True)

    async def _join(
        self,
        connection: AsyncConnection,
        token_digest: str,
        user: User,
        actor: Actor,
        now: datetime,
        *,
        is_new: bool = False,
    ) -> Member:
        row = (await connection.execute(_ACCEPT, {"token_digest": token_digest, "now": now})).one_or_none()
        if row is None:
            raise NotFoundError(_NO_INVITATION)
        invitation = invitation_from_row(row)
        if is_new:
            if (await connection.execute(_USER_EXISTS, {"email": invitation.email})).one_or_none() is not None:
                raise AlreadyExistsError(
                    "there is an account with this email address: sign in to accept the invitation"
                )
            user = User(user.user_id, invitation.email, user.first_name, user.last_name, user.password_hash, now)
            await add_user(connection, user)
        elif user.email != invitation.email:
            raise ForbiddenError("the invitation is for another email address")
        await add_member(connection, invitation.org_id, user, invitation.role, now)
        who = Actor(ActorKind.USER, str(user.user_id), ip=actor.ip, request_id=actor.request_id)
        state = {"email": user.email, "role": invitation.role.name}
        event = AuditEvent(who, "member.joined", f"user/{user.user_id}", after=state)
        await self._audit.append(connection, invitation.org_id, event, now)
        return Member(invitation.org_id, user, invitation.role, now)

    async def _lock(
        self, connection: AsyncConnection, org_id: UUID, user_id: UUID, role: Role | None, actor: Actor
    ) -> Member:
        owners = len((await connection.execute(_LOCK_OWNERS, {"org_id": org_id})).all())
        row = (await connection.execute(_LOCK, {"org_id": org_id, "user_id": user_id})).one_or_none()
        if row is None:
            raise NotFoundError("no such member")
        member = member_from_row(row)
        actor.check_may_touch(member.role, *([] if role is None else [role]))
        check_owner_remains(owners, member.role, role)
        return member
