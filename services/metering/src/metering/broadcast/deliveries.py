"""All destinations: a delivery for each that is active, so that none waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from metering.broadcast.board import Board
from metering.broadcast.delivery import Delivery, Parts
from metering.broadcast.domain.errors import AccountsUnavailableError
from metering.broadcast.domain.ports import DeliveryReports, TargetDirectory
from servicekit.clock import Clock
from servicekit.interruption import Interruption
from servicekit.lifecycle import Component


class Deliveries(Component):
    """Starts a delivery for each destination that there is, and tells accounts how they are doing."""

    name = "deliveries"

    def __init__(
        self,
        parts: Parts,
        targets: TargetDirectory,
        board: Board,
        reports: DeliveryReports,
        clock: Clock,
        *,
        sender: Callable[[], str],
        interval: timedelta,
    ) -> None:
        """Make the component.

        Args:
            parts: what a delivery works with.
            targets: the destinations.
            board: how they are doing.
            reports: takes what became of deliveries.
            clock: paces the looks.
            sender: names the spool that counts.
            interval: between two looks for changes, and two reports.
        """
        self._parts, self._targets, self._board = parts, targets, board
        self._reports, self._clock, self._sender = reports, clock, sender
        self._interval_s = interval.total_seconds()
        self._stop = Interruption()
        self._finished = asyncio.Event()
        self._running = False
        self._deliveries: dict[str, tuple[Delivery, asyncio.Task[None]]] = {}
        self._reported: dict[str, object] = {}
        # Those that were given up, with their revision then, until they change.
        self._given_up: dict[str, int] = {}
        self._grace_s = 0.0

    async def start(self) -> None:
        """Find out what waits from before."""
        self._board.load(await self._parts.spool.progress())

    async def run(self) -> None:
        """Send until stopped."""
        self._running = True
        try:
            async with asyncio.TaskGroup() as tasks:
                while not self._stop.happened:
                    await self._match(tasks)
                    await self._report()
                    await self._stop.guard(self._clock.sleep(min(self._interval_s, 1.0)))
                    if not self._stop.happened:
                        await self._targets.refresh()
                await self._leave()
            await self._report()
        finally:
            self._finished.set()

    async def stop(self, grace: timedelta) -> None:
        """Finish the batches that are on their way, and stop."""
        self._grace_s = grace.total_seconds()
        self._stop.happen("stop")
        if self._running:
            await self._finished.wait()

    def in_flight(self) -> int:
        """Batches that are on their way."""
        return sum(delivery.sending for delivery, _ in self._deliveries.values())

    async def _leave(self) -> None:
        """End the deliveries. What is cut off is sent again by the next process; a destination knows it by its id."""
        for delivery, task in self._deliveries.values():
            delivery.leave()
            if not delivery.sending:
                task.cancel()
        tasks = [task for _, task in self._deliveries.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=max(self._grace_s - 1.0, 0.1))
        for task in tasks:
            task.cancel()

    async def _match(self, tasks: asyncio.TaskGroup) -> None:
        """Start deliveries of the destinations that there are now."""
        for name, (delivery, task) in list(self._deliveries.items()):
            if task.done():
                del self._deliveries[name]
                if delivery.given_up:
                    known = self._targets.known(name)
                    self._given_up[name] = 0 if known is None else known.revision
        for name, revision in list(self._given_up.items()):
            known = self._targets.known(name)
            if known is None or known.revision == revision:
                continue
            # Accounts has switched it off, or somebody has changed it: when it is on again, it starts anew.
            del self._given_up[name]
            totals = self._board.of(name).totals
            totals.failing_since_ms = None
            await self._parts.spool.keep_totals(name, totals)
        waiting = {name for name, progress in self._board.all().items() if progress.waiting}
        for name in waiting | {target.destination_id for target in self._targets.active()}:
            if name not in self._deliveries and name not in self._given_up:
                delivery = Delivery(name, self._parts)
                self._deliveries[name] = (delivery, tasks.create_task(delivery.run(), name=f"delivery:{name}"))

    async def _report(self) -> None:
        """Tell of destinations of which there is something new."""
        due = []
        for name, progress in self._board.all().items():
            target = self._targets.known(name)
            if target is None:
                continue
            totals = progress.totals
            state = (
                totals.delivered, totals.refused, totals.dropped, totals.failures, progress.waiting,
                name in self._given_up,
            )  # fmt: skip
            if any(state) and self._reported.get(name) != state:
                due.append((name, state, (target, progress, name in self._given_up)))
        if not due:
            return
        try:
            await self._reports.report(self._sender(), [each for _, _, each in due])
        except AccountsUnavailableError:
            return
        self._reported.update({name: state for name, state, _ in due})
