"""Use cases on what was said in generations, and the end of its time."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

from accounts.domain.accounts import checked_id
from accounts.domain.contents import ContentStore, Sealing, checked_category, checked_comment, checked_content
from accounts.domain.errors import InvalidFieldError, NotFoundError, StoreUnavailableError
from contracts.ids import parse_generation_id
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)
_SWEEP_MOST: Final = 1_000


class Contents(Component):
    """Keeps contents and gives them back, and deletes those whose time is over."""

    name = "contents"

    def __init__(
        self, store: ContentStore, sealing: Sealing | None, clock: Clock, *, ttl: timedelta, interval: timedelta
    ) -> None:
        """Make the use cases.

        Args:
            store: where they are kept.
            sealing: encrypts them; None when the installation has no key for that, and keeps none.
            clock: source of times.
            ttl: how long a content is kept.
            interval: between two looks for what is over.
        """
        self._store = store
        self._sealing = sealing
        self._clock = clock
        self._ttl = ttl
        self._interval_s = interval.total_seconds()
        self._stopping = asyncio.Event()

    async def keep(self, org_id: str, key_id: str, generation_id: str, content: bytes) -> datetime:
        """Keep what was said; gives the end of its time."""
        if self._sealing is None:
            raise InvalidFieldError("content", "is not kept: this installation has no key to encrypt it with")
        org, name = checked_id("org_id", org_id), _checked_generation(generation_id)
        now = self._clock.now()
        sealed = self._sealing.seal(org, name, checked_content(content))
        await self._store.keep(org, checked_id("key_id", key_id), name, sealed, now, now + self._ttl)
        return now + self._ttl

    async def get(self, org_id: str, generation_id: str, key_id: str) -> bytes:
        """Return what was said, with a key or, where that is empty, with any."""
        org, name = checked_id("org_id", org_id), _checked_generation(generation_id)
        key = checked_id("key_id", key_id) if key_id else None
        sealed = await self._store.get(org, name, key, self._clock.now())
        if self._sealing is None:
            raise NotFoundError("no such content")
        return self._sealing.unseal(org, name, sealed)

    async def submit_feedback(self, org_id: str, generation_id: str, category: str, comment: str) -> None:
        """Keep what somebody thinks of a generation."""
        org, name = checked_id("org_id", org_id), _checked_generation(generation_id)
        await self._store.add_feedback(
            org, name, checked_category(category), checked_comment(comment), self._clock.now()
        )

    async def run(self) -> None:
        """Delete what is over, again and again."""
        async with asyncio.TaskGroup() as tasks:
            sweeping = tasks.create_task(self._sweep())
            await self._stopping.wait()
            sweeping.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Stop deleting."""
        self._stopping.set()

    async def _sweep(self) -> None:
        while True:
            try:
                while (deleted := await self._store.sweep(self._clock.now(), _SWEEP_MOST)) > 0:
                    _log.info("contents.deleted", count=deleted)
            except StoreUnavailableError:
                # What is over is not given out; it is deleted by the next look.
                _log.warning("contents.sweep_failed")
            await self._clock.sleep(self._interval_s)


def _checked_generation(text: str) -> str:
    try:
        return parse_generation_id(text)
    except ValueError as error:
        raise InvalidFieldError("generation_id", str(error)) from None
