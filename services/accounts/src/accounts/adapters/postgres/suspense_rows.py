"""Suspended usage in PostgreSQL, within transactions that have locked its organisations."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres import settlement_sql as sql
from accounts.adapters.postgres.array_literals import names, numbers, texts
from accounts.domain.postings import Entry, Posted, UsageFact
from accounts.domain.suspense import SuspendedStatement, Suspense, SuspenseState, give_way, suspend

COLUMNS: Final = (
    "suspense_id, org_id, event_id, generation_id, rank, price_version, reason, CAST(estimate AS text) AS estimate, "
    "CAST(held AS text) AS held, state, record_value, suspended_at, resolved_at, resolved_by, note"
)
_LOCK = text(
    f"""
    SELECT {COLUMNS} FROM suspended_usage WHERE suspense_id = ANY(CAST(:ids AS uuid[])) ORDER BY suspense_id FOR UPDATE
    """  # noqa: S608 - constant columns
)
# Nearly always of nobody, so it is asked before the events of anybody are looked for.
_SUSPENDED_ORGS = text(
    """
    SELECT org_id FROM unnest(CAST(:org_ids AS uuid[])) AS org (org_id)
    WHERE EXISTS (SELECT FROM suspended_usage AS suspended WHERE suspended.org_id = org.org_id AND state IN (1, 3))
    """
)
_OF_EVENTS = text(
    f"""
    SELECT {COLUMNS} FROM suspended_usage
    WHERE org_id = ANY(CAST(:org_ids AS uuid[])) AND event_id = ANY(CAST(:event_ids AS uuid[])) AND state IN (1, 3)
    ORDER BY suspense_id FOR UPDATE
    """  # noqa: S608 - constant columns
)
_PUT = text(
    """
    INSERT INTO suspended_usage (suspense_id, org_id, event_id, generation_id, rank, price_version, reason, estimate, held, state,
                                 record_value, suspended_at, resolved_at, resolved_by, note)
    VALUES (:suspense_id, :org_id, :event_id, :generation_id, :rank, :price_version, :reason, CAST(:estimate AS jsonb),
            CAST(:held AS jsonb), :state, :record_value, :now, CAST(:resolved_at AS timestamptz), :resolved_by, :note)
    ON CONFLICT (suspense_id) DO UPDATE SET rank = excluded.rank, price_version = excluded.price_version,
        reason = excluded.reason, estimate = excluded.estimate, held = excluded.held, state = excluded.state,
        record_value = excluded.record_value, resolved_at = excluded.resolved_at, resolved_by = excluded.resolved_by,
        note = excluded.note
    """
)


def suspense_from_row(row: Any) -> Suspense:
    """Read a row of COLUMNS."""
    statement = SuspendedStatement(
        suspense_id=row.suspense_id,
        org_id=row.org_id,
        event_id=row.event_id,
        generation_id=row.generation_id,
        rank=row.rank,
        price_version=row.price_version,
        reason=row.reason,
        estimate=json.loads(row.estimate),
        value=row.record_value,
    )
    return Suspense(statement, SuspenseState(row.state), json.loads(row.held))


async def suspend_all(
    connection: AsyncConnection,
    statements: Collection[SuspendedStatement],
    settled: Mapping[UUID, Posted],
    now: datetime,
) -> int:
    """Put what was set aside into suspense, each generation once.

    Args:
        connection: see above; what the same batch settles is written already.
        statements: of organisations that are locked, or of none.
        settled: what the books hold of their events now.
        now: the moment.

    Returns:
        What the ledger has in suspense more than before, in nano-dollars.
    """
    ids = {statement.suspense_id for statement in statements}
    if not ids:
        return 0
    known = {row.suspense_id: suspense_from_row(row) for row in await connection.execute(_LOCK, {"ids": list(ids)})}
    changed: dict[UUID, Suspense] = {}
    entries: list[Entry] = []
    for statement in statements:
        name = statement.suspense_id
        posted = None if statement.event_id is None else settled.get(statement.event_id)
        if posted is not None and posted.org_id != statement.org_id:
            posted = None
        change = suspend(statement, changed.get(name) or known.get(name), posted)
        if change is not None:
            changed[name] = change[0]
            entries += change[1]
    await put(connection, list(changed.values()), now)
    await insert_entries(connection, entries, now)
    was = sum(each.nano for name, each in known.items() if name in changed and each.state is SuspenseState.OPEN)
    return sum(each.nano for each in changed.values()) - was


async def give_way_to(connection: AsyncConnection, facts: Sequence[UsageFact], now: datetime) -> None:
    """Take back from suspense what was settled after all."""
    org_ids = {fact.org_id for fact in facts}
    found = await connection.execute(_SUSPENDED_ORGS, {"org_ids": list(org_ids)})
    suspended = set(found.scalars())
    if not suspended:
        return
    of_event = {fact.event_id: fact for fact in facts if fact.org_id in suspended}
    rows = await connection.execute(_OF_EVENTS, {"org_ids": list(suspended), "event_ids": list(of_event)})
    changed: list[Suspense] = []
    entries: list[Entry] = []
    for suspense in map(suspense_from_row, rows):
        event_id = suspense.statement.event_id
        fact = None if event_id is None else of_event.get(event_id)
        if fact is not None and fact.org_id == suspense.statement.org_id:
            after, more = give_way(suspense, fact)
            changed.append(after)
            entries += more
    await put(connection, changed, now)
    await insert_entries(connection, entries, now)


async def put(
    connection: AsyncConnection, changed: Sequence[Suspense], now: datetime, *, by: str = "", note: str = ""
) -> None:
    """Write down what suspended usage is now; what is open again was resolved by nobody."""
    rows = [
        {
            "suspense_id": each.statement.suspense_id,
            "org_id": each.statement.org_id,
            "event_id": each.statement.event_id,
            "generation_id": each.statement.generation_id,
            "rank": each.statement.rank,
            "price_version": each.statement.price_version,
            "reason": each.statement.reason,
            "estimate": json.dumps(dict(each.statement.estimate)),
            "held": json.dumps(dict(each.held)),
            "state": int(each.state),
            "record_value": each.statement.value,
            "now": now,
            "resolved_at": None if each.state is SuspenseState.OPEN else now,
            "resolved_by": by,
            "note": note,
        }
        for each in changed
    ]
    if rows:
        await connection.execute(_PUT, rows)


async def insert_entries(connection: AsyncConnection, entries: Sequence[Entry], now: datetime) -> None:
    """Post entries."""
    if entries:
        await connection.execute(
            sql.INSERT_ENTRIES,
            {
                "cause_ids": [entry.event_id for entry in entries],
                "org_ids": names([entry.org_id for entry in entries]),
                "debits": texts([entry.debit for entry in entries]),
                "credits": texts([entry.credit for entry in entries]),
                "nanos": numbers([entry.nano for entry in entries]),
                "price_versions": texts([entry.price_version for entry in entries]),
                "reasons": texts([entry.reason for entry in entries]),
                "now": now,
            },
        )
