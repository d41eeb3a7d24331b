"""The usage events' side of a comparison with the ledger and with invoices, in ClickHouse."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from metering.adapters.clickhouse_calls import ClickHouseCalls
from metering.domain.reconciliation import ProviderCharge, UsageFigure, UsageSum
from metering.domain.usage import UnixMs

# A generation ends within a day of its start, and its start is what finds it.
_LEAD_MS: Final = timedelta(days=1) // timedelta(milliseconds=1)
_HOUR_MS: Final = timedelta(hours=1) // timedelta(milliseconds=1)
_SETTINGS: Final[dict[str, Any]] = {"do_not_merge_across_partitions_select_final": 1, "max_execution_time": 120}

_ENDED: Final = """
FROM usage_events FINAL
WHERE started_at >= fromUnixTimestamp64Milli({lead:Int64}, 'UTC') AND started_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
  AND ended_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') AND ended_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
"""
_SUMS: Final = f"""
SELECT org_id, toUnixTimestamp(toStartOfHour(ended_at, 'UTC')) AS hour, toString(price_version) AS version, count() AS events,
       sum(toInt128(cost_nano_usd)) AS cost, sum(toInt128(provider_cost_nano_usd)) AS provider_cost,
       countIf(rank = 1) AS unreconciled
{_ENDED}
GROUP BY org_id, hour, version ORDER BY org_id, hour, version
"""
_FIGURES: Final = f"""
SELECT toString(event_id), generation_id, rank, cost_nano_usd, provider_cost_nano_usd
{_ENDED} AND org_id = {{org_id:String}} AND price_version = {{price_version:String}}
ORDER BY event_id
"""
_CHARGES: Final = f"""
SELECT upstream_id, generation_id, provider_cost_nano_usd
{_ENDED} AND provider = {{provider:String}} AND NOT is_byok
ORDER BY upstream_id, generation_id
"""


class ClickHouseReconciliation:
    """The ReconciliationStore in ClickHouse."""

    def __init__(self, calls: ClickHouseCalls) -> None:
        self._calls = calls

    async def sums(self, start: UnixMs, end: UnixMs) -> Sequence[UsageSum]:
        """Add up what ended in a period, each generation once, by organisation, hour and price version."""
        return [UsageSum(*row) for row in await self._rows(_SUMS, start, end)]

    async def figures(self, org_id: str, hour: UnixMs, price_version: str) -> Sequence[UsageFigure]:
        """List the generations of a sum, in the order of their events."""
        more = {"org_id": org_id, "price_version": price_version}
        rows = await self._rows(_FIGURES, hour, UnixMs(hour + _HOUR_MS), more)
        # As texts: the store orders UUIDs by their second half first.
        return sorted(UsageFigure(*row) for row in rows)

    async def charges(self, provider: str, start: UnixMs, end: UnixMs) -> Sequence[ProviderCharge]:
        """List what a provider is owed for answers that ended in a period, its customers' own keys left out."""
        return [ProviderCharge(*row) for row in await self._rows(_CHARGES, start, end, {"provider": provider})]

    async def _rows(
        self, statement: str, start: UnixMs, end: UnixMs, more: dict[str, str] | None = None
    ) -> Sequence[Sequence[Any]]:
        parameters = {"start": start, "end": end, "lead": start - _LEAD_MS, **(more or {})}
        rows: Sequence[Sequence[Any]] = await self._calls.ask(
            lambda client: client.query(statement, parameters, settings=_SETTINGS).result_rows
        )
        return rows
