"""Use cases on members and invitations."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from uuid import UUID

from accounts.domain.accounts import checked_id, checked_page
from accounts.domain.people import INVITATION_LIFE, Actor, Invitation, Member, checked_email, checked_role
from accounts.domain.sessions import new_token
from accounts.domain.tenancy_ports import MemberStore
from contracts import api_keys
from servicekit.clock import Clock

_PREFIX = "tp_invite_"


class Members:
    """What can be done with members and invitations. Mints every id, time and token."""

    def __init__(self, store: MemberStore, clock: Clock, random: Random, pepper: bytes) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._pepper = pepper

    async def page(self, org_id: str, offset: int, limit: int) -> tuple[list[Member], int]:
        """List members, the longest-standing first, with how many there are in all."""
        offset, limit = checked_page(offset, limit)
        return await self._store.page(checked_id("org_id", org_id), offset, limit)

    async def change_role(self, org_id: str, user_id: str, role: int, actor: Actor) -> Member:
        """Change a member's role."""
        org, user = checked_id("org_id", org_id), checked_id("user_id", user_id)
        return await self._store.change_role(org, user, checked_role(role), actor, self._clock.now())

    async def remove(self, org_id: str, user_id: str, actor: Actor) -> None:
        """Remove a member."""
        org, user = checked_id("org_id", org_id), checked_id("user_id", user_id)
        await self._store.remove(org, user, actor, self._clock.now())

    async def invite(self, org_id: str, email: str, role: int, actor: Actor) -> tuple[Invitation, str]:
        """Invite somebody. Returns the invitation with its token, which exists nowhere else."""
        token, now = new_token(_PREFIX, self._random), self._clock.now()
        invitation = Invitation(
            invitation_id=UUID(int=self._random.getrandbits(128), version=4),
            org_id=checked_id("org_id", org_id),
            email=checked_email(email),
            role=checked_role(role),
            token_digest=api_keys.digest(token, self._pepper),
            created_at=now,
            expires_at=now + INVITATION_LIFE,
        )
        actor.check_may_touch(invitation.role)
        await self._store.invite(invitation, actor)
        return invitation, token

    async def invitations(self, org_id: str) -> Sequence[Invitation]:
        """List the open invitations, newest first."""
        return await self._store.invitations(checked_id("org_id", org_id), self._clock.now())

    async def revoke(self, org_id: str, invitation_id: str, actor: Actor) -> None:
        """Withdraw an invitation."""
        org, invitation = checked_id("org_id", org_id), checked_id("invitation_id", invitation_id)
        await self._store.revoke(org, invitation, actor, self._clock.now())

    async def accept(self, token_digest: str, user_id: str, actor: Actor) -> Member:
        """Accept an invitation as a user who has an account."""
        return await self._store.accept(token_digest, checked_id("user_id", user_id), actor, self._clock.now())
