"""Costs of generations whose end the edge did not see, because their callers went away or the router did.

The router prices what was generated all the same, and its usage event reaches metering within a second or so. Until the cost is known the
hold stays set aside; what is never known counts as the whole hold.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from edge.domain.errors import DependencyError, NotFoundError, RefusedError
from edge.domain.wallet import Ticket
from edge.ports import GenerationRecords
from servicekit.clock import Clock
from servicekit.lifecycle import Component

# Seconds from each look to the next one: the last one is some two minutes after the end.
_PAUSES: Final = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
_MOST: Final = 2_000
_AT_ONCE: Final = 16


class LateCosts(Component):
    """Looks for these costs, and closes their tickets."""

    name = "late-costs"

    def __init__(self, records: GenerationRecords, clock: Clock) -> None:
        """Make the component.

        Args:
            records: know what generations cost.
            clock: paces the looks.
        """
        self._records = records
        self._clock = clock
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._waiting: dict[str, tuple[str, Ticket]] = {}
        self._due: list[str] = []
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    def expect(self, org_id: str, generation_id: str, ticket: Ticket) -> None:
        """Find out what a generation cost, and charge it.

        Args:
            org_id: who pays.
            generation_id: names it.
            ticket: what is set aside for it.
        """
        if not ticket.is_open:
            return
        if not ticket.amount or len(self._waiting) >= _MOST or self._stopping.is_set():
            ticket.charge_estimate()
            return
        self._waiting[generation_id] = org_id, ticket
        self._due.append(generation_id)
        self._wake.set()

    async def run(self) -> None:
        """Look until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            looks: set[asyncio.Task[None]] = set()
            while not self._stopping.is_set():
                due, self._due = self._due, []
                for generation_id in due:
                    task = tasks.create_task(self._look(generation_id))
                    looks.add(task)
                    task.add_done_callback(looks.discard)
                await self._wake.wait()
                self._wake.clear()
            for task in looks:
                task.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Take the holds for the costs that are not known."""
        self._stopping.set()
        self._wake.set()
        for _, ticket in self._waiting.values():
            ticket.charge_estimate()
        self._waiting.clear()

    def in_flight(self) -> int:
        """How many are not known."""
        return len(self._waiting)

    async def _look(self, generation_id: str) -> None:
        org_id, ticket = self._waiting[generation_id]
        for pause in _PAUSES:
            await self._clock.sleep(pause)
            try:
                async with self._places:
                    event = await self._records.get(generation_id, org_id)
            except (NotFoundError, DependencyError, RefusedError):
                continue
            ticket.charge(event.cost_nano_usd)
            break
        ticket.charge_estimate()
        self._waiting.pop(generation_id, None)
