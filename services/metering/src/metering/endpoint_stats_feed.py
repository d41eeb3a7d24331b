"""Publishes what endpoints did, again and again, so that routers and edges have it without asking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

from metering.domain.endpoint_stats import EndpointStatsStore, EndpointStatsTopic
from metering.domain.errors import StatsNotPublishedError, UsageLogError
from metering.domain.rollups import UnixSeconds
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)

_AT_ONCE: Final = 200  # records on their way at the same time


class EndpointStatsFeed(Component):
    """Adds up and publishes. A reader ignores statistics that are minutes old, so nothing is owed after an outage."""

    name = "endpoint-stats-feed"

    def __init__(
        self,
        store: EndpointStatsStore,
        topic: EndpointStatsTopic,
        clock: Clock,
        interval: timedelta,
        *,
        is_in_charge: Callable[[], bool],
    ) -> None:
        """Make the component.

        Args:
            store: adds up.
            topic: where to.
            clock: dates the statistics.
            interval: between two publications.
            is_in_charge: whether this instance is to do it now.
        """
        self._store = store
        self._topic = topic
        self._clock = clock
        self._interval_s = interval.total_seconds()
        self._is_in_charge = is_in_charge
        self._published: set[str] = set()
        self._stopping = asyncio.Event()
        self._failing = False

    async def run(self) -> None:
        """Publish until `stop`."""
        while not self._stopping.is_set():
            if self._is_in_charge():
                await self._try()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._stopping.wait()

    async def stop(self, grace: timedelta) -> None:
        """Stop publishing."""
        self._stopping.set()

    async def publish(self) -> int:
        """Publish the statistics of every endpoint that was called within a day, and say how many there are.

        Raises:
            UsageLogError: the store cannot say.
            ExceptionGroup: of StatsNotPublishedError; the broker did not take them.
            StatsNotPublishedError: it did not take a retraction.
        """
        now = UnixSeconds(int(self._clock.now().timestamp()))
        found = await self._store.endpoint_stats(now)
        for at in range(0, len(found), _AT_ONCE):
            async with asyncio.TaskGroup() as tasks:
                for stats in found[at : at + _AT_ONCE]:
                    tasks.create_task(self._topic.publish(stats))
            self._published.update(stats.endpoint_id for stats in found[at : at + _AT_ONCE])
        for endpoint_id in self._published - {stats.endpoint_id for stats in found}:
            await self._topic.retract(endpoint_id, now)
            self._published.discard(endpoint_id)
        return len(found)

    async def _try(self) -> None:
        try:
            await self.publish()
        except* (UsageLogError, StatsNotPublishedError) as group:
            if not self._failing:
                error = group.exceptions[0]
                _log.warning("endpoint_stats.failed", error=type(error).__name__, reason=str(error))
            self._failing = True
        else:
            self._failing = False
