"""The end of leases that nobody renewed: what is left of them comes back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

from opentelemetry.metrics import Meter

from accounts.domain.errors import StoreUnavailableError
from accounts.domain.lease_ports import LeaseStore
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec, GaugeSpec

_log = get_logger(__name__)

EXPIRED: Final = CounterSpec(
    "accounts.lease.expired", "{lease}", "Leases that were closed because nobody renewed them."
)
STRANDED: Final = CounterSpec(
    "accounts.lease.stranded",
    "{nanodollar}",
    "Credit that came back from leases which nobody renewed or settled in full.",
)
MISMATCHES: Final = GaugeSpec(
    "accounts.lease.mismatches", "{account}", "Accounts that hold anything but the sum of their open leases: always 0."
)


class LeaseExpiry(Component):
    """Looks for leases that are over. Any number of processes may: an organisation that one is at, the others leave out."""

    name = "lease-expiry"

    def __init__(self, store: LeaseStore, clock: Clock, meter: Meter, *, interval: timedelta) -> None:
        """Make the component.

        Args:
            store: of leases.
            clock: source of times.
            meter: for metrics.
            interval: between two looks.
        """
        self._store = store
        self._clock = clock
        self._interval_s = interval.total_seconds()
        self._expired = EXPIRED.create(meter)
        self._stranded = STRANDED.create(meter)
        self._mismatches = 0
        MISMATCHES.create(meter, lambda: self._mismatches)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Look again and again until `stop`."""
        while not self._stopping.is_set():
            try:
                await self.look()
            except StoreUnavailableError as error:
                _log.warning("lease_expiry.deferred", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._stopping.wait()

    async def stop(self, grace: timedelta) -> None:
        """Look no more."""
        self._stopping.set()

    async def look(self) -> None:
        """Close what is over, forget what was closed long ago, and check what accounts hold.

        Raises:
            StoreUnavailableError: the rest is left for the next time.
        """
        now = self._clock.now()
        for org_id in await self._store.due(now):
            closed, freed = await self._store.close_due(org_id, now)
            if closed:
                self._expired.add(closed)
                self._stranded.add(freed)
                _log.info("leases.closed", org_id=str(org_id), count=closed, freed_nano_usd=freed)
        await self._store.forget(now)
        self._mismatches = await self._store.mismatches()
        if self._mismatches:
            _log.error("leases.mismatched", accounts=self._mismatches)
