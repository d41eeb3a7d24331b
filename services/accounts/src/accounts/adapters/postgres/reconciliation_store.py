"""What the ledger says of usage, hour by hour, for the comparison with other books."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text

from accounts.adapters.postgres.database import Database
from accounts.domain.reconciliation import LedgerFigure, LedgerSum

_PAGE: Final = 1_000
_HOUR: Final = timedelta(hours=1)

# What the entries say is added up by itself, so that an entry that is wrong, missing or too many shows.
_SUMS: Final = text(
    """
    WITH ended AS (
        SELECT event_id, org_id, date_trunc('hour', ended_at, 'UTC') AS hour, price_version, rank, cost_nano, provider_cost_nano
        FROM settled_events WHERE ended_at >= :start AND ended_at < :end
    ), entered AS (
        SELECT cause_id, sum(CASE WHEN credit = 'revenue:usage' THEN nano ELSE -nano END) AS nano
        FROM ledger_entries
        WHERE cause_id IN (SELECT event_id FROM ended) AND reason IN ('usage', 'usage_correction')
          AND 'revenue:usage' IN (debit, credit)
        GROUP BY cause_id
    )
    SELECT org_id, hour, price_version, count(*) AS events, sum(cost_nano)::bigint AS cost,
           sum(provider_cost_nano)::bigint AS provider_cost, coalesce(sum(entered.nano), 0)::bigint AS ledger,
           count(*) FILTER (WHERE rank = 1) AS unreconciled
    FROM ended LEFT JOIN entered ON entered.cause_id = ended.event_id
    GROUP BY org_id, hour, price_version ORDER BY org_id, hour, price_version
    """
)
_FIGURES: Final = text(
    """
    SELECT event_id, generation_id, rank, cost_nano AS cost, provider_cost_nano AS provider_cost FROM settled_events
    WHERE org_id = :org_id AND ended_at >= :start AND ended_at < :end AND price_version = :price_version
      AND event_id > :after
    ORDER BY event_id LIMIT :limit
    """
)


class PostgresReconciliationStore:
    """The ReconciliationStore in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sums(self, start: datetime, end: datetime) -> Sequence[LedgerSum]:
        """Add up what was settled of generations that ended in a period, by organisation, hour and price version."""
        async with self._database.installation_transaction() as connection:
            found = await connection.execute(_SUMS, {"start": start, "end": end})
            return [LedgerSum(*row) for row in found]

    async def figures(self, org_id: UUID, hour: datetime, price_version: str) -> AsyncIterator[Sequence[LedgerFigure]]:
        """List the generations of a sum, page by page, in the order of their events."""
        after = UUID(int=0)
        values = {"org_id": org_id, "start": hour, "end": hour + _HOUR, "price_version": price_version, "limit": _PAGE}
        while True:
            async with self._database.transaction(org_id) as connection:
                rows = list(await connection.execute(_FIGURES, {**values, "after": after}))
            if not rows:
                return
            yield [LedgerFigure(*row) for row in rows]
            after = rows[-1].event_id
