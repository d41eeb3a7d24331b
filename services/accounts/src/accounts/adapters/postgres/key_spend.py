"""What keys spent by period."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres.rows import key_from_row
from accounts.domain.accounts import ApiKey
from contracts.spend import PeriodSpend, Spend

# A week can begin before the month does, so the earlier of the two bounds what is read: 37 rows of a key at most.
_PERIODS = text(
    """
    SELECT key_id,
           coalesce(sum(nano) FILTER (WHERE day = CAST(:today AS date)), 0) AS daily,
           coalesce(sum(nano) FILTER (WHERE day >= date_trunc('week', CAST(:today AS date))), 0) AS weekly,
           coalesce(sum(nano) FILTER (WHERE day >= date_trunc('month', CAST(:today AS date))), 0) AS monthly,
           coalesce(sum(byok_nano) FILTER (WHERE day = CAST(:today AS date)), 0) AS byok_daily,
           coalesce(sum(byok_nano) FILTER (WHERE day >= date_trunc('week', CAST(:today AS date))), 0) AS byok_weekly,
           coalesce(sum(byok_nano) FILTER (WHERE day >= date_trunc('month', CAST(:today AS date))), 0) AS byok_monthly
    FROM key_spend_daily
    WHERE key_id = ANY(CAST(:key_ids AS uuid[])) AND day <= CAST(:today AS date)
      AND day >= least(date_trunc('week', CAST(:today AS date)), date_trunc('month', CAST(:today AS date)))
    GROUP BY key_id
    """
)


async def keys_from_rows(connection: AsyncConnection, rows: Iterable[Any], today: date) -> list[ApiKey]:
    """Read rows of KEY_COLUMNS, in order, each with what its key spent until a day (UTC)."""
    rows = list(rows)
    if not rows:
        return []
    found = await connection.execute(_PERIODS, {"key_ids": [row.key_id for row in rows], "today": today})
    periods: Mapping[UUID, Any] = {row.key_id: row for row in found}
    return [key_from_row(row, _spend(row, periods.get(row.key_id), today)) for row in rows]


def _spend(row: Any, periods: Any, today: date) -> Spend:
    if periods is None:
        return Spend(today, PeriodSpend(row.spent_nano), PeriodSpend(row.byok_spent_nano))
    return Spend(
        today,
        PeriodSpend(row.spent_nano, int(periods.daily), int(periods.weekly), int(periods.monthly)),
        PeriodSpend(row.byok_spent_nano, int(periods.byok_daily), int(periods.byok_weekly), int(periods.byok_monthly)),
    )
