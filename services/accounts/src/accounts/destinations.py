"""Use cases on destinations of broadcast. A configuration is sealed before it is stored, and shown masked."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Final
from uuid import UUID

from accounts.domain.accounts import checked_id, checked_page
from accounts.domain.destination_config import (
    SIGNING_BYTES,
    SIGNING_PREFIX,
    SIGNING_SECRET,
    changed,
    checked_config,
    config_from_text,
    config_to_text,
    shown,
)
from accounts.domain.destination_ports import DeliveryLog, DestinationStore
from accounts.domain.destinations import (
    ChangedDestination,
    DeliveryReport,
    DeliveryState,
    Destination,
    DestinationConfig,
    DestinationFields,
    StoredDestination,
    checked_destination_fields,
    checked_type,
)
from accounts.domain.errors import InvalidFieldError, NotFoundError, NotSetUpError, StoreUnavailableError
from accounts.domain.people import Actor
from contracts.broadcast import DestinationType
from contracts.sealed_secrets import KeyEncryptionKeys, SealError
from servicekit.clock import Clock
from servicekit.logs import get_logger

_log = get_logger(__name__)

MAX_CHANGED: Final = 500
Shown = tuple[Destination, DestinationConfig]
"""A destination and what people may see of its configuration."""


class Destinations:
    """What can be done with destinations. Mints every id, secret and time."""

    def __init__(
        self,
        store: DestinationStore,
        deliveries: DeliveryLog,
        keks: KeyEncryptionKeys | None,
        clock: Clock,
        random: Random,
        random_bytes: Callable[[int], bytes],
        *,
        private: bool,
    ) -> None:
        """Make the use cases.

        Args:
            store: where sealed destinations are kept.
            deliveries: where it is kept what became of deliveries.
            keks: what configurations are sealed under; None where the installation has none.
            clock: source of times.
            random: source of ids.
            random_bytes: source of keys, nonces and secrets that nobody can guess.
            private: whether destinations may be on private networks, and speak HTTP without TLS.
        """
        self._store = store
        self._deliveries = deliveries
        self._keks = keks
        self._clock = clock
        self._random = random
        self._random_bytes = random_bytes
        self._private = private

    async def create(
        self,
        org_id: str,
        workspace_id: str,
        kind: int,
        config: DestinationConfig,
        fields: DestinationFields,
        actor: Actor,
    ) -> Shown:
        """Store a destination. A signing secret that was made for it is in the open in the answer.

        Raises:
            NotSetUpError: the installation has no key-encryption key.
        """
        keks, now = self._require(), self._clock.now()
        destination = Destination(
            destination_id=UUID(int=self._random.getrandbits(128), version=4),
            org_id=checked_id("org_id", org_id),
            workspace_id=_workspace(org_id, workspace_id),
            type=checked_type(kind),
            fields=checked_destination_fields(fields),
            created_at=now,
            updated_at=now,
        )
        config, minted = self._completed(destination.type, config)
        checked_config(destination.type, config, private=self._private)
        sealed = keks.seal(config_to_text(config), destination.purpose, self._random_bytes)
        await self._store.add(destination, sealed, actor)
        return destination, shown(config, minted)

    async def page(self, org_id: str, workspace_id: str, offset: int, limit: int) -> tuple[list[Shown], int]:
        """List destinations of a workspace with how many there are in all."""
        offset, limit = checked_page(offset, limit)
        owner = checked_id("org_id", org_id)
        found, total = await self._store.page(owner, _workspace(org_id, workspace_id), offset, limit)
        return [(each.destination, shown(self._opened(each))) for each in found], total

    async def get(self, org_id: str, destination_id: str) -> Shown:
        """Return a destination."""
        found = await self._store.get(checked_id("org_id", org_id), _destination_id(destination_id))
        return found.destination, shown(self._opened(found))

    async def update(
        self,
        org_id: str,
        destination_id: str,
        fields: DestinationFields,
        config: DestinationConfig | None,
        actor: Actor,
        *,
        replaces_headers: bool,
    ) -> Shown:
        """Change a destination; with another configuration, which makes it a new version."""
        known = await self._store.get(checked_id("org_id", org_id), _destination_id(destination_id))
        opened, minted = self._opened(known), frozenset[str]()
        after = replace(known.destination, fields=checked_destination_fields(fields), updated_at=self._clock.now())
        sealed = known.sealed
        if config is not None:
            opened, minted = self._completed(after.type, changed(opened, config, replaces_headers=replaces_headers))
            checked_config(after.type, opened, private=self._private)
            after = replace(after, version=after.version + 1)
            sealed = self._require().seal(config_to_text(opened), after.purpose, self._random_bytes)
        await self._store.replace(known.destination, after, sealed, actor)
        return after, shown(opened, minted)

    async def delete(self, org_id: str, destination_id: str, actor: Actor) -> None:
        """Delete a destination and what was stored of its configuration."""
        owner = checked_id("org_id", org_id)
        await self._store.delete(owner, _destination_id(destination_id), actor, self._clock.now())

    async def deliveries(self, org_id: str, destination_id: str) -> tuple[DeliveryState, datetime | None]:
        """Return what became of the deliveries, and when sending was given up."""
        return await self._deliveries.get(checked_id("org_id", org_id), _destination_id(destination_id))

    async def changed_after(self, revision: int, limit: int) -> Sequence[ChangedDestination]:
        """Return destinations of everybody that changed, sealed."""
        if revision < 0 or not 0 <= limit <= MAX_CHANGED:
            raise InvalidFieldError("limit", f"must be between 0 and {MAX_CHANGED}")
        return await self._store.changed(revision, limit or MAX_CHANGED)

    async def report(self, sender: str, reports: Sequence[DeliveryReport]) -> None:
        """Keep what a sender says, and switch off what it gave up."""
        for destination_id in await self._deliveries.report(sender, reports, self._clock.now()):
            _log.warning("destination.stopped", destination_id=str(destination_id))

    async def rewrap(self, limit: int) -> int:
        """Put data keys under the current key-encryption key, so many at most; return how many.

        Raises:
            NotSetUpError: the installation has no key-encryption key.
            SealError: one of them does not open, and nothing was changed.
        """
        keks = self._require()
        outdated = await self._store.under_other_keks(keks.current, limit)
        for each in outdated:
            sealed = keks.rewrap(each.sealed, each.destination.purpose, self._random_bytes)
            await self._store.rewrap(each.destination, sealed)
        return len(outdated)

    def _completed(self, kind: DestinationType, config: DestinationConfig) -> tuple[DestinationConfig, frozenset[str]]:
        """Give a webhook a secret to sign with, where it has none; return which members are new."""
        if kind is not DestinationType.WEBHOOK or config.members.get(SIGNING_SECRET):
            return config, frozenset()
        secret = SIGNING_PREFIX + base64.b64encode(self._random_bytes(SIGNING_BYTES)).decode()
        return replace(config, members={**config.members, SIGNING_SECRET: secret}), frozenset({SIGNING_SECRET})

    def _opened(self, stored: StoredDestination) -> DestinationConfig:
        try:
            return config_from_text(self._require().open(stored.sealed, stored.destination.purpose).reveal())
        except SealError as error:
            # The operator's keys are not those that it was sealed under: not the caller's fault, and not for ever.
            _log.error(
                "destination.unreadable", destination_id=str(stored.destination.destination_id), reason=str(error)
            )
            raise StoreUnavailableError("a configuration cannot be read") from None

    def _require(self) -> KeyEncryptionKeys:
        if self._keks is None:
            raise NotSetUpError("this installation does not store destinations")
        return self._keks


def _workspace(org_id: str, workspace_id: str) -> UUID:
    return checked_id("workspace_id", workspace_id) if workspace_id else checked_id("org_id", org_id)


def _destination_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("no such destination") from None
