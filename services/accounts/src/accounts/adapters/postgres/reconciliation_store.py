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

# What the entries say is added up by itself, so that an entry that is wrong, missing or too many shows. An entry of usage that was
# never settled for its organisation has no end: it counts in the hour in which it was posted.
_SUMS: Final = text(
    """
    WITH ended AS (
        SELECT event_id, org_id, date_trunc('hour', ended_at, 'UTC') AS hour, price_version, rank, cost_nano, provider_cost_nano
        FROM settled_events WHERE ended_at >= :start AND ended_at < :end
    ), entered AS (
        SELECT cause_id, org_id, sum(CASE WHEN credit = 'revenue:usage' THEN nano ELSE -nano END) AS nano
        FROM ledger_entries
        WHERE cause_id IN (SELECT event_id FROM ended) AND 'revenue:usage' IN (debit, credit)
        GROUP BY cause_id, org_id
    ), said AS (
        SELECT ended.org_id, hour, price_version, 1 AS events, cost_nano AS cost, provider_cost_nano AS provider_cost,
               coalesce(entered.nano, 0) AS ledger, CAST(rank = 1 AS integer) AS unreconciled
        FROM ended LEFT JOIN entered ON entered.cause_id = ended.event_id AND entered.org_id = ended.org_id
        UNION ALL
        SELECT org_id, date_trunc('hour', posted_at, 'UTC'), price_version, 0, 0, 0,
               CASE WHEN credit = 'revenue:usage' THEN nano ELSE -nano END, 0
        FROM ledger_entries AS entry
        WHERE posted_at >= :start AND posted_at < :end AND 'revenue:usage' IN (debit, credit)
          AND NOT EXISTS (SELECT FROM settled_events AS settled
                          WHERE settled.event_id = entry.cause_id AND settled.org_id = entry.org_id)
    )
    SELECT org_id, hour, price_version, sum(events)::bigint AS events, sum(cost)::bigint AS cost,
           sum(provider_cost)::bigint AS provider_cost, sum(ledger)::bigint AS ledger, sum(unreconciled)::bigint AS unreconciled
    FROM said GROUP BY org_id, hour, price_version ORDER BY org_id, hour, price_version
    """
)
_FIGURES: Final = text(
    """
    SELECT event_id, generation_id, rank, cost, provider_cost, ledger FROM (
        SELECT event_id, generation_id, rank, cost_nano AS cost, provider_cost_nano AS provider_cost,
               (SELECT coalesce(sum(CASE WHEN credit = 'revenue:usage' THEN nano ELSE -nano END), 0)::bigint
                FROM ledger_entries WHERE cause_id = event_id AND 'revenue:usage' IN (debit, credit)) AS ledger
        FROM settled_events
        WHERE org_id = :org_id AND ended_at >= :start AND ended_at < :end AND price_version = :price_version
        UNION ALL
        SELECT cause_id, '', 0, 0, 0, sum(CASE WHEN credit = 'revenue:usage' THEN nano ELSE -nano END)::bigint
        FROM ledger_entries AS entry
        WHERE org_id = :org_id AND posted_at >= :start AND posted_at < :end AND price_version = :price_version
          AND 'revenue:usage' IN (debit, credit)
          AND NOT EXISTS (SELECT FROM settled_events AS settled
                          WHERE settled.event_id = entry.cause_id AND settled.org_id = entry.org_id)
        GROUP BY cause_id
    ) AS figures
    WHERE event_id > :after ORDER BY event_id LIMIT :limit
    """
)


class PostgresReconciliationStore:
    """The ReconciliationStore in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sums(self, start: datetime, end: datetime) -> Sequence[LedgerSum]:
        """Add up what was settled of generations that ended in a period, by organisation, hour and price version.

        Hour by hour, so that no statement is about more than that.
        """
        sums: list[LedgerSum] = []
        async with self._database.installation_transaction() as connection:
            while start < end:
                found = await connection.execute(_SUMS, {"start": start, "end": start + _HOUR})
                sums += [LedgerSum(*row) for row in found]
                start += _HOUR
        return sums

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
