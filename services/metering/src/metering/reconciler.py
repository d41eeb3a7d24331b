"""Compares the usage events with the ledger on a schedule, and says in metrics how well they agree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from opentelemetry.metrics import Meter

from contracts.reconciliation import Group, Reconciliation, UsageSum, compare
from metering.domain.errors import MeteringError
from metering.domain.reconciliation import Ledger, ReconciliationStore
from metering.domain.usage import UnixMs
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec, GaugeSpec

_log = get_logger(__name__)

CLEARING: Final = GaugeSpec(
    "metering.reconciliation.clearing", "1", "Part of the charged volume that ledger and usage events agree on, 0 to 1."
)
EXPLAINABILITY: Final = GaugeSpec(
    "metering.reconciliation.explainability", "1", "Part of the generations whose charge both books explain, 0 to 1."
)
TIMELINESS: Final = GaugeSpec(
    "metering.reconciliation.timeliness", "s", "Age of the last moment up to which all hours agree."
)
DIFFERENCES: Final = GaugeSpec(
    "metering.reconciliation.differences", "{group}", "Organisation, hour and price version that do not agree."
)
RUNS: Final = CounterSpec("metering.reconciliation.runs", "{run}", "Comparisons, by what came of them.")

_HOUR_S: Final = 3_600
_LOGGED: Final = 20  # differences of one comparison


@dataclass(frozen=True, slots=True)
class Schedule:
    """When and what.

    Attributes:
        interval: between two comparisons.
        period: how far back each looks.
        settling: after the end of an hour, until it is closed: what comes later than that is late.
    """

    interval: timedelta
    period: timedelta
    settling: timedelta


class Reconciler(Component):
    """Compares closed hours again and again."""

    name = "reconciler"

    def __init__(
        self,
        usage: ReconciliationStore,
        ledger: Ledger,
        clock: Clock,
        meter: Meter,
        schedule: Schedule,
        *,
        is_in_charge: Callable[[], bool],
    ) -> None:
        """Make it.

        Args:
            usage: the usage events.
            ledger: the other side.
            clock: says which hours are closed.
            meter: for what is found. Nothing is shown before the first comparison.
            schedule: when and what.
            is_in_charge: whether this instance is to do it now.
        """
        self._usage = usage
        self._ledger = ledger
        self._clock = clock
        self._schedule = schedule
        self._is_in_charge = is_in_charge
        self._stopping = asyncio.Event()
        self._found: Reconciliation | None = None
        self._runs = RUNS.create(meter)
        CLEARING.create(meter, lambda: self._figure(lambda found: found.clearing))
        EXPLAINABILITY.create(meter, lambda: self._figure(lambda found: found.explainability))
        TIMELINESS.create(meter, lambda: self._figure(self._age))
        DIFFERENCES.create(meter, lambda: self._figure(lambda found: len(found.differences)))

    async def run(self) -> None:
        """Compare every interval until `stop`."""
        while not self._stopping.is_set():
            if self._is_in_charge():
                await self._try()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._schedule.interval.total_seconds()):
                    await self._stopping.wait()

    async def stop(self, grace: timedelta) -> None:
        """Stop comparing."""
        self._stopping.set()

    async def reconcile(self) -> Reconciliation:
        """Compare the closed hours of the period once.

        Raises:
            MeteringError: one of the two sides cannot say.
        """
        settled = (self._clock.now() - self._schedule.settling).timestamp()
        end = datetime.fromtimestamp(int(settled) // _HOUR_S * _HOUR_S, UTC)
        start = end - self._schedule.period
        usage = await self._usage.sums(_ms(start), _ms(end))
        ledger = await self._ledger.sums(start, end)
        mine = {
            Group(each.org_id, datetime.fromtimestamp(each.hour, UTC), each.price_version): UsageSum(
                each.events, each.cost, each.provider_cost, unreconciled=each.unreconciled
            )
            for each in usage
        }
        self._found = compare(ledger, mine, end)
        return self._found

    def _figure(self, of: Callable[[Reconciliation], float]) -> list[tuple[float, dict[str, str]]]:
        return [] if self._found is None else [(of(self._found), {})]

    def _age(self, found: Reconciliation) -> float:
        return (self._clock.now() - found.agreed_until).total_seconds()

    async def _try(self) -> None:
        try:
            found = await self.reconcile()
        except MeteringError as error:
            self._runs.add(1, {"metering.reconciliation.result": "failed"})
            _log.warning("reconciliation.failed", error=type(error).__name__, reason=str(error))
            return
        self._runs.add(1, {"metering.reconciliation.result": "agrees" if found.agrees else "differs"})
        _log.info(
            "reconciliation.finished", groups=found.groups, events=found.events, differences=len(found.differences)
        )
        for each in found.differences[:_LOGGED]:
            _log.error(
                "reconciliation.differed",
                org_id=each.group.org_id,
                hour=each.group.hour.isoformat(),
                price_version=each.group.price_version,
                ledger_nano=each.ledger.ledger or 0,
                settled_nano=each.ledger.cost,
                usage_nano=each.usage.cost,
                ledger_events=each.ledger.events,
                usage_events=each.usage.events,
            )


def _ms(moment: datetime) -> UnixMs:
    return UnixMs(int(moment.timestamp()) * 1_000)
