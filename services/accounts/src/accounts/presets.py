"""Use cases on presets."""

from __future__ import annotations

from random import Random
from typing import Final
from uuid import UUID

from accounts.domain.accounts import checked_id, checked_page, checked_text
from accounts.domain.people import OPERATOR, Actor
from accounts.domain.presets import (
    NewVersion,
    Preset,
    PresetStore,
    PresetVersion,
    checked_config,
    checked_prompt,
    checked_slug,
)
from servicekit.clock import Clock

_MAX_CREATOR: Final = 100


class Presets:
    """What can be done with presets."""

    def __init__(self, store: PresetStore, clock: Clock, random: Random) -> None:
        """Make the use cases.

        Args:
            store: where presets are kept.
            clock: source of times.
            random: source of ids.
        """
        self._store = store
        self._clock = clock
        self._random = random

    async def save(
        self,
        org_id: str,
        slug: str,
        config: bytes,
        system_prompt: str | None,
        creator_id: str,
        actor: Actor = OPERATOR,
    ) -> Preset:
        """Keep a configuration as the newest version of a preset."""
        return await self._store.save(
            NewVersion(
                preset_id=self._new_id(),
                version_id=self._new_id(),
                org_id=checked_id("org_id", org_id),
                slug=checked_slug(slug),
                config=checked_config(config),
                system_prompt=checked_prompt(system_prompt),
                creator_id=checked_text("creator_id", creator_id, 0, _MAX_CREATOR),
                at=self._clock.now(),
            ),
            actor,
        )

    async def get(self, org_id: str, slug: str) -> Preset:
        """Return a preset."""
        return await self._store.get(checked_id("org_id", org_id), checked_slug(slug))

    async def page(self, org_id: str, offset: int, limit: int) -> tuple[list[Preset], int]:
        """Return presets, the last changed first, and how many there are."""
        return await self._store.page(checked_id("org_id", org_id), *checked_page(offset, limit))

    async def versions(self, org_id: str, slug: str, offset: int, limit: int) -> tuple[list[PresetVersion], int]:
        """Return versions of a preset, the oldest first, and how many there are."""
        org, name = checked_id("org_id", org_id), checked_slug(slug)
        return await self._store.versions(org, name, *checked_page(offset, limit))

    async def version(self, org_id: str, slug: str, version: int) -> PresetVersion:
        """Return one version of a preset."""
        return await self._store.version(checked_id("org_id", org_id), checked_slug(slug), version)

    def _new_id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)
