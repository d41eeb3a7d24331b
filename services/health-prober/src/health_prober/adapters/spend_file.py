"""Remembers in a file what probes cost today, so that a prober that restarts over and over stays within its budget."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from pathlib import Path

import msgspec

from contracts.ids import EndpointId
from contracts.money import NanoUsd
from health_prober.domain.budget import DaySpend
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)

_INTERVAL = 1.0


class _Row(msgspec.Struct, frozen=True):
    day: date
    nano_usd: int


_DECODER = msgspec.json.Decoder(dict[str, _Row])


class FileSpendLog(Component):
    """Keeps spends in memory and writes them to a file once a second, replacing it whole."""

    name = "spend-log"

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._spends: dict[EndpointId, DaySpend] = {}
        self._changed = False
        self._stopping = asyncio.Event()

    def get(self, endpoint_id: EndpointId) -> DaySpend | None:
        """The last spend put down, None when there is none."""
        return self._spends.get(endpoint_id)

    def put(self, endpoint_id: EndpointId, spend: DaySpend) -> None:
        """Put down a spend."""
        self._spends[endpoint_id] = spend
        self._changed = True

    async def start(self) -> None:
        """Read what an earlier run left. A file that cannot be read is reported and begun anew.

        Raises:
            OSError: the folder cannot be made.
        """
        await asyncio.to_thread(self._path.parent.mkdir, parents=True, exist_ok=True)
        try:
            rows = _DECODER.decode(await asyncio.to_thread(self._path.read_bytes))
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("spend_log.unreadable", path=str(self._path), error=str(error))
            return
        for endpoint_id, row in rows.items():
            self._spends.setdefault(EndpointId(endpoint_id), DaySpend(row.day, NanoUsd(row.nano_usd)))

    async def run(self) -> None:
        """Write changes until stopped."""
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write_regularly())
            await self._stopping.wait()
            writing.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Write what is left."""
        self._stopping.set()
        await self._write()

    async def _write_regularly(self) -> None:
        while True:
            await self._clock.sleep(_INTERVAL)
            await self._write()

    async def _write(self) -> None:
        if not self._changed:
            return
        self._changed = False
        today = max(spend.day for spend in self._spends.values())
        rows = {name: _Row(spend.day, spend.spent) for name, spend in self._spends.items() if spend.day == today}
        try:
            await asyncio.to_thread(self._replace, msgspec.json.encode(rows))
        except OSError as error:
            # Probing goes on: a full disk costs at most one more day's budget after a restart.
            self._changed = True
            _log.warning("spend_log.write_failed", path=str(self._path), error=str(error))

    def _replace(self, content: bytes) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_bytes(content)
        draft.replace(self._path)


class MemorySpendLog:
    """Forgets with the process."""

    def __init__(self) -> None:
        self._spends: dict[EndpointId, DaySpend] = {}

    def get(self, endpoint_id: EndpointId) -> DaySpend | None:
        """The last spend put down, None when there is none."""
        return self._spends.get(endpoint_id)

    def put(self, endpoint_id: EndpointId, spend: DaySpend) -> None:
        """Put down a spend."""
        self._spends[endpoint_id] = spend
