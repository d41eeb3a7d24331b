"""Presets as requests get them: from memory, whether or not their owner can be asked at the moment."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import msgspec

from edge.domain.errors import DependencyError, EdgeError, NotFoundError
from edge.ports import PresetLibrary
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from turnpike.accounts.v1 import preset_service_pb2

# Together they bound the memory: what one preset may have is the owner's rule.
_MAX_BYTES: Final = 64 * 1024 * 1024
_MAX_ENTRIES: Final = 10_000
# More presets than these that became stale at once are looked at again by the next request that names them.
_MAX_WANTED: Final = 1_000

_Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class KnownPreset:
    """A preset in memory. `config` is not to be changed; None when there is no such preset.

    Attributes:
        preset_id: names it.
        at: when this was known, in monotonic seconds.
        size: bytes of its content.
    """

    preset_id: str
    config: Mapping[str, Any] | None = field(repr=False)
    system_prompt: str | None = field(repr=False)
    at: float
    size: int


class PresetCache(Component):
    """Keeps presets that requests have named.

    One that is known is used at once. When it is older than `fresh` it is looked at again beside the requests; older than
    `stale` it is asked for before it is used, and used all the same when nobody answers.
    """

    name = "preset-cache"

    def __init__(self, library: PresetLibrary, clock: Clock, *, fresh: timedelta, stale: timedelta) -> None:
        """Make a cache.

        Args:
            library: the owner of presets.
            clock: tells ages.
            fresh: how long a preset is used without looking again.
            stale: how long it is used while it is looked at.
        """
        self._library = library
        self._clock = clock
        self._fresh_s = fresh.total_seconds()
        self._stale_s = stale.total_seconds()
        self._known: OrderedDict[_Name, KnownPreset] = OrderedDict()
        self._bytes = 0
        self._flights: dict[_Name, asyncio.Future[KnownPreset | EdgeError | None]] = {}
        self._wanted: dict[_Name, None] = {}
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    async def get(self, org_id: str, slug: str) -> KnownPreset:
        """Return a preset.

        Raises:
            NotFoundError: the organisation has none of this name.
            DependencyError: it is not known here, and nobody could say.
        """
        name = (org_id, slug)
        known = self._known.get(name)
        if known is not None:
            age = self._clock.monotonic() - known.at
            if age >= self._stale_s:
                try:
                    known = await self._ask_once(name)
                except DependencyError:
                    # Better the last that was known than no answer.
                    age = 0.0
            elif age >= self._fresh_s and len(self._wanted) < _MAX_WANTED:
                self._wanted[name] = None
                self._wake.set()
        else:
            known = await self._ask_once(name)
        if known.config is None:
            raise NotFoundError(f"Preset not found: {slug}")
        return known

    def learn(self, preset: preset_service_pb2.Preset) -> None:
        """Take in what the owner has just said."""
        self._keep((preset.org_id, preset.slug), self._read(preset))

    async def run(self) -> None:
        """Look again at presets that have become old."""
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._look())
            await self._stopping.wait()
            looking.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Stop looking."""
        self._stopping.set()

    async def _look(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            wanted, self._wanted = list(self._wanted), {}
            for name in wanted:
                try:
                    await self._ask_once(name)
                except EdgeError:
                    # What is known stays, and the next request that names it asks for another look.
                    continue

    async def _ask_once(self, name: _Name) -> KnownPreset:
        """Ask the owner, once for all who wait for the same preset."""
        while True:
            flight = self._flights.get(name)
            outcome = await (self._lead(name) if flight is None else asyncio.shield(flight))
            if isinstance(outcome, EdgeError):
                raise outcome
            if outcome is not None:
                return outcome

    async def _lead(self, name: _Name) -> KnownPreset | EdgeError | None:
        flight = self._flights[name] = asyncio.get_running_loop().create_future()
        outcome: KnownPreset | EdgeError | None = None
        try:
            outcome = await self._ask(name)
        finally:
            del self._flights[name]
            # None when the one who asked went away: another one asks then.
            flight.set_result(outcome)
        return outcome

    async def _ask(self, name: _Name) -> KnownPreset | EdgeError:
        try:
            found = self._read(await self._library.get(*name))
        except NotFoundError:
            found = KnownPreset("", None, None, self._clock.monotonic(), 0)
        except EdgeError as error:
            return error
        self._keep(name, found)
        return found

    def _read(self, preset: preset_service_pb2.Preset) -> KnownPreset:
        version = preset.designated
        prompt = version.system_prompt if version.HasField("system_prompt") else None
        return KnownPreset(
            preset_id=preset.preset_id,
            config=msgspec.json.decode(version.config_json, type=dict[str, Any]),
            system_prompt=prompt,
            at=self._clock.monotonic(),
            size=len(version.config_json) + len(prompt or ""),
        )

    def _keep(self, name: _Name, preset: KnownPreset) -> None:
        before = self._known.pop(name, None)
        if before is not None:
            self._bytes -= before.size
        self._known[name] = preset
        self._bytes += preset.size
        while len(self._known) > _MAX_ENTRIES or self._bytes > _MAX_BYTES:
            _, gone = self._known.popitem(last=False)
            self._bytes -= gone.size
