"""Statements out of the ledger in PostgreSQL."""

from __future__ import annotations

import json
from uuid import UUID

from sqlalchemy import text

from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.payment_sql import PURCHASE_COLUMNS, purchase_from_row
from accounts.domain.errors import NotFoundError
from accounts.domain.postings import customer
from accounts.domain.statements import KindSum, ModelUsage, Month, Statement

# One statement, so that all its figures are of one moment.
_FIGURES = text(
    """
    SELECT orgs.name,
        (SELECT coalesce(sum(CASE WHEN credit = :account THEN nano ELSE -nano END), 0)::bigint FROM ledger_entries
         WHERE org_id = :org_id AND :account IN (credit, debit) AND posted_at < :start) AS opening,
        (SELECT coalesce(json_agg(movement ORDER BY reason), '[]')::text FROM (
            SELECT reason, count(*) AS entries, sum(CASE WHEN credit = :account THEN nano ELSE -nano END)::bigint AS amount
            FROM ledger_entries
            WHERE org_id = :org_id AND :account IN (credit, debit) AND posted_at >= :start AND posted_at < :end
            GROUP BY reason) AS movement) AS movements,
        (SELECT coalesce(json_agg(used ORDER BY cost DESC, model), '[]')::text FROM (
            SELECT model, count(*) AS generations, sum(prompt_tokens)::bigint AS prompt_tokens,
                   sum(completion_tokens)::bigint AS completion_tokens, sum(cost_nano)::bigint AS cost
            FROM settled_events WHERE org_id = :org_id AND ended_at >= :start AND ended_at < :end
            GROUP BY model) AS used) AS usage
    FROM orgs WHERE orgs.org_id = :org_id
    """
)
_PURCHASES = text(
    f"""
    SELECT {PURCHASE_COLUMNS} FROM purchases
    WHERE org_id = :org_id AND paid_at >= :start AND paid_at < :end ORDER BY paid_at, purchase_id
    """  # noqa: S608 - constant columns
)


class PostgresStatementStore:
    """The StatementStore in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def statement(self, org_id: UUID, month: Month) -> Statement:
        """Return the statement of a month.

        Raises:
            NotFoundError: no such organisation.
        """
        values = {"org_id": org_id, "account": customer(org_id), "start": month.start, "end": month.end}
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(_FIGURES, values)).one_or_none()
            if row is None:
                raise NotFoundError("no such organisation")
            purchases = [purchase_from_row(row) for row in await connection.execute(_PURCHASES, values)]
        movements = _decode_movements(row.movements)
        closing = row.opening + sum(each.amount for each in movements)
        return Statement(row.name, row.opening, closing, movements, _decode_usage(row.usage), purchases)


def _decode_movements(document: str) -> list[KindSum]:
    return [KindSum(**each) for each in json.loads(document)]


def _decode_usage(document: str) -> list[ModelUsage]:
    return [ModelUsage(**each) for each in json.loads(document)]
