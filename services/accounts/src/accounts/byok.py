"""Use cases on customers' own provider keys. What comes in is sealed before anything else is done with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from uuid import UUID

from accounts.domain.accounts import checked_id, checked_page
from accounts.domain.byok import (
    ByokFields,
    ByokKey,
    ResolvedByokKey,
    checked_byok_fields,
    checked_provider,
    checked_secret,
    label_of,
)
from accounts.domain.errors import NotFoundError, NotSetUpError
from accounts.domain.people import OPERATOR, Actor
from accounts.domain.ports import ByokStore
from contracts.sealed_secrets import KeyEncryptionKeys
from servicekit.clock import Clock


class Byok:
    """What can be done with provider keys. Mints every id and time."""

    def __init__(
        self,
        store: ByokStore,
        keks: KeyEncryptionKeys | None,
        clock: Clock,
        random: Random,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """Make the use cases.

        Args:
            store: where sealed keys are kept.
            keks: what they are sealed under; None where the installation has none.
            clock: source of times.
            random: source of ids.
            random_bytes: source of keys and nonces that nobody can guess.
        """
        self._store = store
        self._keks = keks
        self._clock = clock
        self._random = random
        self._random_bytes = random_bytes

    async def create(
        self,
        org_id: str,
        workspace_id: str,
        provider: str,
        secret: str,
        fields: ByokFields,
        actor: Actor = OPERATOR,
    ) -> ByokKey:
        """Store a provider key, tried after those that the provider has already.

        Raises:
            NotSetUpError: the installation has no key-encryption key.
        """
        keks, secret = self._require(), checked_secret(secret)
        key = ByokKey(
            byok_key_id=UUID(int=self._random.getrandbits(128), version=4),
            org_id=checked_id("org_id", org_id),
            workspace_id=_workspace(org_id, workspace_id),
            provider=checked_provider(provider),
            label=label_of(secret),
            sort_order=0,
            created_at=self._clock.now(),
            fields=checked_byok_fields(fields),
        )
        sealed = keks.seal(secret, key.purpose, self._random_bytes)
        return await self._store.add(key, sealed, actor, self._clock.now())

    async def page(
        self, org_id: str, workspace_id: str, provider: str, offset: int, limit: int
    ) -> tuple[list[ByokKey], int]:
        """List provider keys of a workspace with how many there are in all."""
        offset, limit = checked_page(offset, limit)
        if provider:
            checked_provider(provider)
        owner = checked_id("org_id", org_id)
        return await self._store.page(owner, _workspace(org_id, workspace_id), provider, offset, limit)

    async def get(self, org_id: str, byok_key_id: str) -> ByokKey:
        """Return a provider key."""
        return await self._store.get(checked_id("org_id", org_id), _byok_key_id(byok_key_id))

    async def update(
        self, org_id: str, byok_key_id: str, fields: ByokFields, secret: str, actor: Actor = OPERATOR
    ) -> ByokKey:
        """Change a provider key; with another `secret` in its place, which makes it a new version."""
        known = await self.get(org_id, byok_key_id)
        changed, sealed = replace(known, fields=checked_byok_fields(fields)), None
        if secret:
            secret = checked_secret(secret)
            changed = replace(changed, label=label_of(secret), version=known.version + 1)
            sealed = self._require().seal(secret, changed.purpose, self._random_bytes)
        await self._store.replace(changed, known.version, sealed, actor, self._clock.now())
        return changed

    async def delete(self, org_id: str, byok_key_id: str, actor: Actor = OPERATOR) -> None:
        """Delete a provider key and what was stored of it."""
        await self._store.delete(checked_id("org_id", org_id), _byok_key_id(byok_key_id), actor, self._clock.now())

    async def resolve(self, org_id: str) -> tuple[list[ResolvedByokKey], int]:
        """Return every enabled provider key of an organisation, sealed, and the revision of all of them."""
        return await self._store.resolve(checked_id("org_id", org_id))

    async def rewrap(self, limit: int) -> int:
        """Put data keys under the current key-encryption key, so many at most; return how many.

        Raises:
            NotSetUpError: the installation has no key-encryption key.
            SealError: one of them does not open, and nothing was changed.
        """
        keks = self._require()
        outdated = await self._store.under_other_keks(keks.current, limit)
        for each in outdated:
            sealed = keks.rewrap(each.sealed, each.key.purpose, self._random_bytes)
            await self._store.rewrap(each.key, sealed)
        return len(outdated)

    def _require(self) -> KeyEncryptionKeys:
        if self._keks is None:
            raise NotSetUpError("this installation does not store provider keys")
        return self._keks


def _workspace(org_id: str, workspace_id: str) -> UUID:
    return checked_id("workspace_id", workspace_id) if workspace_id else checked_id("org_id", org_id)


def _byok_key_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("no such provider key") from None
