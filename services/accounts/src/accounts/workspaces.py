"""Use cases on workspaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

from accounts.domain.accounts import checked_id, checked_page
from accounts.domain.budgets import BudgetInterval
from accounts.domain.errors import InvalidFieldError
from accounts.domain.people import Actor, ActorKind
from accounts.domain.tenancy_ports import WorkspaceMemberStore, WorkspaceStore
from accounts.domain.workspaces import Budget, Workspace, WorkspaceFields, WorkspaceMember, checked_fields
from servicekit.clock import Clock

_MAX_USERS = 100


class Workspaces:
    """What can be done with workspaces. Mints every id and time."""

    def __init__(self, store: WorkspaceStore, members: WorkspaceMemberStore, clock: Clock, random: Random) -> None:
        self._store = store
        self._members = members
        self._clock = clock
        self._random = random

    async def page(self, org_id: str, offset: int, limit: int) -> tuple[list[Workspace], int]:
        """List workspaces, the default one first, with how many there are in all."""
        offset, limit = checked_page(offset, limit)
        return await self._store.page(checked_id("org_id", org_id), offset, limit)

    async def get(self, org_id: str, name: str) -> Workspace:
        """Return a workspace by its id or slug."""
        return await self._store.get(checked_id("org_id", org_id), name)

    async def create(self, org_id: str, fields: dict[str, Any], actor: Actor) -> Workspace:
        """Make a workspace; `fields` are members of WorkspaceFields."""
        for required in ("name", "slug"):
            if required not in fields:
                raise InvalidFieldError(required, "required")
        workspace = Workspace(
            workspace_id=self._new_id(),
            org_id=checked_id("org_id", org_id),
            fields=checked_fields(WorkspaceFields(**fields)),
            include_byok_in_budgets=False,
            created_by=UUID(actor.id) if actor.kind is ActorKind.USER else None,
            created_at=self._clock.now(),
            updated_at=None,
        )
        return await self._store.add(workspace, actor)

    async def update(self, org_id: str, name: str, fields: dict[str, Any], actor: Actor) -> Workspace:
        """Change members of WorkspaceFields."""
        workspace = await self.get(org_id, name)
        changed = checked_fields(replace(workspace.fields, **fields))
        return await self._store.update(workspace, changed, actor, self._clock.now())

    async def delete(self, org_id: str, name: str, actor: Actor) -> None:
        """Delete a workspace."""
        await self._store.delete(checked_id("org_id", org_id), name, actor, self._clock.now())

    async def put_budget(
        self, org_id: str, name: str, interval: int, limit: int, include_byok: bool | None, actor: Actor
    ) -> Workspace:
        """Set the budget of an interval, in nano-dollars."""
        now = self._clock.now()
        budget = Budget(self._new_id(), checked_interval(interval), limit, now, now)
        return await self._store.put_budget(checked_id("org_id", org_id), name, budget, include_byok, actor, now)

    async def delete_budget(self, org_id: str, name: str, interval: int, actor: Actor) -> None:
        """Remove the budget of an interval, if there is one."""
        number = int(checked_interval(interval))
        await self._store.delete_budget(checked_id("org_id", org_id), name, number, actor, self._clock.now())

    async def members(
        self, org_id: str, name: str, offset: int, limit: int
    ) -> tuple[Workspace, list[WorkspaceMember], int]:
        """List the members of a workspace, with how many there are in all."""
        offset, limit = checked_page(offset, limit)
        workspace = await self.get(org_id, name)
        return workspace, *await self._members.page(workspace, offset, limit)

    async def add_members(
        self, org_id: str, name: str, user_ids: Sequence[str], actor: Actor
    ) -> tuple[Workspace, list[WorkspaceMember]]:
        """Add members of the organisation; returns those who are new."""
        users = _checked_users(user_ids)
        workspace = await self.get(org_id, name)
        return workspace, await self._members.add(workspace, users, actor, self._clock.now())

    async def remove_members(self, org_id: str, name: str, user_ids: Sequence[str], actor: Actor) -> int:
        """Remove members; returns how many there were."""
        users = _checked_users(user_ids)
        return await self._members.remove(await self.get(org_id, name), users, actor, self._clock.now())

    def _new_id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)


def checked_interval(number: int) -> BudgetInterval:
    """Return an interval by its number on the wire.

    Raises:
        InvalidFieldError: there is none of it.
    """
    try:
        return BudgetInterval(number)
    except ValueError:
        raise InvalidFieldError("interval", "must be daily, weekly, monthly or lifetime") from None


def _checked_users(user_ids: Sequence[str]) -> list[UUID]:
    if not 1 <= len(user_ids) <= _MAX_USERS:
        raise InvalidFieldError("user_ids", f"must have 1 to {_MAX_USERS} entries")
    return sorted({checked_id("user_ids", user_id) for user_id in user_ids})
