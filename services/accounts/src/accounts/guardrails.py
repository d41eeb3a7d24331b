"""Use cases on guardrails and whom they bind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from uuid import UUID

from accounts.domain.accounts import checked_digest, checked_id, checked_page, checked_text
from accounts.domain.errors import NotFoundError
from accounts.domain.guardrail_rules import (
    Assignment,
    AssignmentKind,
    Subjects,
    checked_description,
    checked_guardrail_name,
    checked_policy,
    checked_subjects,
)
from accounts.domain.people import OPERATOR, Actor
from accounts.domain.ports import GuardrailStore
from contracts.guardrails import Guardrail, GuardrailPolicy, default_guardrail_id
from servicekit.clock import Clock


class Guardrails:
    """What can be done with guardrails. Mints every id and time."""

    def __init__(self, store: GuardrailStore, clock: Clock, random: Random) -> None:
        """Make the use cases.

        Args:
            store: where guardrails are kept.
            clock: source of times.
            random: source of ids; cryptographic (`random.SystemRandom`) outside tests.
        """
        self._store = store
        self._clock = clock
        self._random = random

    async def create(
        self,
        org_id: str,
        workspace_id: str,
        name: str,
        description: str,
        policy: GuardrailPolicy,
        actor: Actor = OPERATOR,
    ) -> Guardrail:
        """Make a guardrail, which binds nobody yet."""
        guardrail = Guardrail(
            guardrail_id=str(self._new_id()),
            org_id=str(checked_id("org_id", org_id)),
            workspace_id=str(_workspace(org_id, workspace_id)),
            name=checked_guardrail_name(name),
            policy=checked_policy(policy),
            created_at=self._clock.now(),
            description=checked_description(description),
        )
        await self._store.add(guardrail, actor)
        return guardrail

    async def page(self, org_id: str, workspace_id: str, offset: int, limit: int) -> tuple[list[Guardrail], int]:
        """List the guardrails of a workspace, newest first, with how many there are in all."""
        offset, limit = checked_page(offset, limit)
        owner = checked_id("org_id", org_id)
        return await self._store.page(owner, _workspace(org_id, workspace_id), offset, limit)

    async def get(self, org_id: str, guardrail_id: str) -> Guardrail:
        """Return a guardrail. The default of a workspace is there before it was ever changed, and says nothing."""
        owner, named = checked_id("org_id", org_id), _guardrail_id(guardrail_id)
        try:
            return await self._store.get(owner, named)
        except NotFoundError:
            for workspace_id in await self._store.workspaces(owner):
                if str(named) == default_guardrail_id(str(workspace_id)):
                    return self._default(owner, workspace_id)
            raise

    async def update(
        self,
        org_id: str,
        guardrail_id: str,
        revision: int,
        name: str,
        description: str,
        policy: GuardrailPolicy,
        actor: Actor = OPERATOR,
    ) -> Guardrail:
        """Change a guardrail as a whole. `revision` is the one that the change was made to."""
        known = await self.get(org_id, guardrail_id)
        changed = replace(
            known,
            name=checked_guardrail_name(name),
            description=checked_description(description),
            policy=checked_policy(policy),
            updated_at=self._clock.now(),
            revision=revision + 1,
        )
        if not known.revision and not revision:
            await self._store.add(changed, actor)
        else:
            await self._store.replace(changed, actor)
        return changed

    async def delete(self, org_id: str, guardrail_id: str, actor: Actor = OPERATOR) -> None:
        """Delete a guardrail and its assignments."""
        await self._store.delete(checked_id("org_id", org_id), _guardrail_id(guardrail_id), actor, self._clock.now())

    async def assign(
        self,
        org_id: str,
        guardrail_id: str,
        digests: Sequence[str],
        user_ids: Sequence[str],
        assigned_by: str,
        actor: Actor = OPERATOR,
    ) -> int:
        """Bind keys and members, all or none, and return how many."""
        owner, named, now = checked_id("org_id", org_id), str(_guardrail_id(guardrail_id)), self._clock.now()
        checked_text("assigned_by", assigned_by, 0, 100)
        assignments = [
            Assignment(str(self._new_id()), named, now, key_digest=checked_digest(digest), assigned_by=assigned_by)
            for digest in checked_subjects("key_hashes", digests)
        ]
        assignments += [
            Assignment(str(self._new_id()), named, now, user_id=user_id, assigned_by=assigned_by)
            for user_id in checked_subjects("member_user_ids", user_ids)
        ]
        return await self._store.assign(owner, assignments, actor, now)

    async def unassign(
        self,
        org_id: str,
        guardrail_id: str,
        digests: Sequence[str],
        user_ids: Sequence[str],
        actor: Actor = OPERATOR,
    ) -> int:
        """Free keys and members, and return how many were bound."""
        subjects = Subjects(checked_subjects("key_hashes", digests), checked_subjects("member_user_ids", user_ids))
        owner, named = checked_id("org_id", org_id), _guardrail_id(guardrail_id)
        return await self._store.unassign(owner, named, subjects, actor, self._clock.now())

    async def assignments(
        self, org_id: str, guardrail_id: str, kind: AssignmentKind, offset: int, limit: int
    ) -> tuple[list[Assignment], int]:
        """List assignments of one guardrail, or of all, newest first, with how many there are in all."""
        offset, limit = checked_page(offset, limit)
        named = _guardrail_id(guardrail_id) if guardrail_id else None
        return await self._store.assignments(checked_id("org_id", org_id), named, kind, offset, limit)

    def _default(self, org_id: UUID, workspace_id: UUID) -> Guardrail:
        return Guardrail(
            guardrail_id=default_guardrail_id(str(workspace_id)),
            org_id=str(org_id),
            workspace_id=str(workspace_id),
            name=f"Workspace {workspace_id} Default",
            policy=GuardrailPolicy(),
            created_at=self._clock.now(),
            is_workspace_default=True,
            revision=0,
        )

    def _new_id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)


def _workspace(org_id: str, workspace_id: str) -> UUID:
    """The workspace that is meant; the default one has the id of its organisation."""
    return checked_id("workspace_id", workspace_id) if workspace_id else checked_id("org_id", org_id)


def _guardrail_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("no such guardrail") from None
