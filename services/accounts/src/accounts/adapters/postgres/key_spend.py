"""What keys spent by period, and what binds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres.rows import key_from_row
from accounts.domain.accounts import ApiKey, KeyBonds
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


_BONDS = text(
    """
    SELECT key.key_id, own.guardrail_id, bound.guardrail_id AS member_guardrail_id
    FROM api_keys AS key
    LEFT JOIN guardrail_keys AS own ON own.key_id = key.key_id
    LEFT JOIN guardrail_members AS bound ON bound.org_id = key.org_id AND bound.user_id = key.creator_user_id
    WHERE key.key_id = ANY(CAST(:key_ids AS uuid[])) AND (own.key_id IS NOT NULL OR bound.user_id IS NOT NULL)
    """
)
# Deleted keys too: deleting one does not bring a member's budget back.
_CREATOR_PERIODS = text(
    """
    WITH creator AS (
        SELECT DISTINCT org_id, creator_user_id FROM api_keys
        WHERE key_id = ANY(CAST(:key_ids AS uuid[])) AND creator_user_id <> '' AND EXISTS (
            SELECT FROM guardrails
            WHERE guardrails.org_id = api_keys.org_id AND limit_nano IS NOT NULL AND deleted_at IS NULL
        )
    ), own AS (
        SELECT key.* FROM creator JOIN api_keys AS key USING (org_id, creator_user_id)
    )
    SELECT own.org_id, own.creator_user_id, sum(own.spent_nano) AS spent_nano, sum(own.byok_spent_nano) AS byok_spent_nano,
           coalesce(sum(period.daily), 0) AS daily, coalesce(sum(period.weekly), 0) AS weekly,
           coalesce(sum(period.monthly), 0) AS monthly, coalesce(sum(period.byok_daily), 0) AS byok_daily,
           coalesce(sum(period.byok_weekly), 0) AS byok_weekly, coalesce(sum(period.byok_monthly), 0) AS byok_monthly
    FROM own LEFT JOIN LATERAL (
        SELECT sum(nano) FILTER (WHERE day = CAST(:today AS date)) AS daily,
               sum(nano) FILTER (WHERE day >= date_trunc('week', CAST(:today AS date))) AS weekly,
               sum(nano) FILTER (WHERE day >= date_trunc('month', CAST(:today AS date))) AS monthly,
               sum(byok_nano) FILTER (WHERE day = CAST(:today AS date)) AS byok_daily,
               sum(byok_nano) FILTER (WHERE day >= date_trunc('week', CAST(:today AS date))) AS byok_weekly,
               sum(byok_nano) FILTER (WHERE day >= date_trunc('month', CAST(:today AS date))) AS byok_monthly
        FROM key_spend_daily
        WHERE key_id = own.key_id AND day <= CAST(:today AS date)
          AND day >= least(date_trunc('week', CAST(:today AS date)), date_trunc('month', CAST(:today AS date)))
    ) AS period ON true
    GROUP BY own.org_id, own.creator_user_id
    """
)


async def keys_from_rows(connection: AsyncConnection, rows: Iterable[Any], today: date) -> list[ApiKey]:
    """Read rows of KEY_COLUMNS, in order, each with what its key spent until a day (UTC)."""
    rows = list(rows)
    if not rows:
        return []
    values = {"key_ids": [row.key_id for row in rows], "today": today}
    found = await connection.execute(_PERIODS, values)
    periods: Mapping[UUID, Any] = {row.key_id: row for row in found}
    bonds = await _bonds(connection, rows, values, today)
    return [key_from_row(row, _spend(row, periods.get(row.key_id), today), bonds[row.key_id]) for row in rows]


async def _bonds(
    connection: AsyncConnection, rows: Iterable[Any], values: Mapping[str, Any], today: date
) -> dict[UUID, KeyBonds]:
    bound = {row.key_id: row for row in await connection.execute(_BONDS, {"key_ids": values["key_ids"]})}
    found = await connection.execute(_CREATOR_PERIODS, values)
    spends = {(row.org_id, row.creator_user_id): _spend(row, row, today) for row in found}
    bonds = {}
    for row in rows:
        own = bound.get(row.key_id)
        bonds[row.key_id] = KeyBonds(
            guardrail_id=str(own.guardrail_id) if own is not None and own.guardrail_id else "",
            member_guardrail_id=str(own.member_guardrail_id) if own is not None and own.member_guardrail_id else "",
            creator_spend=spends.get((row.org_id, row.creator_user_id)),
        )
    return bonds


def _spend(row: Any, periods: Any, today: date) -> Spend:
    credit, byok = int(row.spent_nano), int(row.byok_spent_nano)
    if periods is None:
        return Spend(today, PeriodSpend(credit), PeriodSpend(byok))
    return Spend(
        today,
        PeriodSpend(credit, int(periods.daily), int(periods.weekly), int(periods.monthly)),
        PeriodSpend(byok, int(periods.byok_daily), int(periods.byok_weekly), int(periods.byok_monthly)),
    )
