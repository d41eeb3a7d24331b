"""Suspended usage in PostgreSQL, as operators look at it and resolve it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.outbox import enqueue
from accounts.adapters.postgres.price_store import learn_prices
from accounts.adapters.postgres.settlement_sql import LOCK_ORGS
from accounts.adapters.postgres.settlement_store import PostgresSettlementStore
from accounts.adapters.postgres.suspense_rows import COLUMNS, insert_entries, put, suspense_from_row
from accounts.domain.audit import AuditEvent
from accounts.domain.errors import AlreadyExistsError, NotFoundError
from accounts.domain.people import Actor
from accounts.domain.suspense import Decide, ListedSuspense, Resolution, Suspense, SuspenseState, give_way

_PAGE: Final = 500
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LIST = text(
    f"""
    SELECT {COLUMNS} FROM suspended_usage
    WHERE (suspended_at, suspense_id) > (CAST(:at AS timestamptz), CAST(:after AS uuid))
      AND (CAST(:org_id AS uuid) IS NULL OR org_id = :org_id) AND (:resolved OR state = 1)
    ORDER BY suspended_at, suspense_id LIMIT :limit
    """  # noqa: S608 - constant columns
)
_FIND = text("SELECT org_id FROM suspended_usage WHERE suspense_id = :id")
_LOCK = text(f"SELECT {COLUMNS} FROM suspended_usage WHERE suspense_id = :id FOR UPDATE")  # noqa: S608 - constant columns
_PRICED = text(
    """
    SELECT suspense_id FROM suspended_usage AS suspended
    WHERE state = 1 AND org_id IS NOT NULL AND reason = :reason AND suspense_id > :after
      AND EXISTS (SELECT FROM price_versions AS known WHERE known.version = suspended.price_version)
    ORDER BY suspense_id LIMIT :limit
    """
)
_CHARGED = text("SELECT cost_nano FROM settled_events WHERE event_id = :event_id AND org_id = :org_id")


class PostgresSuspenseStore:
    """The SuspenseStore in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog, settlement: PostgresSettlementStore) -> None:
        self._database = database
        self._audit = audit
        self._settlement = settlement

    async def pages(self, org_id: UUID | None, *, resolved: bool) -> AsyncIterator[Sequence[ListedSuspense]]:
        """List suspended usage, oldest first."""
        at, after = _FIRST, UUID(int=0)
        values = {"org_id": org_id, "resolved": resolved, "limit": _PAGE}
        while True:
            async with self._database.installation_transaction() as connection:
                rows = list(await connection.execute(_LIST, {**values, "at": at, "after": after}))
            if not rows:
                return
            yield [_listed(row) for row in rows]
            at, after = rows[-1].suspended_at, rows[-1].suspense_id

    async def priced(self, reason: str, after: UUID, limit: int) -> Sequence[UUID]:
        """Find what waits for nothing any more."""
        async with self._database.installation_transaction() as connection:
            found = await connection.execute(_PRICED, {"reason": reason, "after": after, "limit": limit})
            return list(found.scalars())

    async def resolve(
        self, suspense_id: UUID, decide: Decide, actor: Actor, note: str, now: datetime
    ) -> tuple[ListedSuspense, int]:
        """Do what is decided. The organisation is locked first, as settlement does."""
        async with self._database.installation_transaction() as connection:
            found = (await connection.execute(_FIND, {"id": suspense_id})).one_or_none()
            if found is None:
                raise NotFoundError("there is no such suspended usage")
            if found.org_id is not None:
                await connection.execute(LOCK_ORGS, {"org_ids": [found.org_id]})
            before = suspense_from_row((await connection.execute(_LOCK, {"id": suspense_id})).one())
            resolution = decide(before)
            if resolution is not None:
                await self._carry_out(connection, before, resolution, actor, note, now)
            row = (await connection.execute(_LOCK, {"id": suspense_id})).one()
            return _listed(row), await _charged(connection, row)

    async def _carry_out(
        self,
        connection: AsyncConnection,
        before: Suspense,
        resolution: Resolution,
        actor: Actor,
        note: str,
        now: datetime,
    ) -> None:
        after, fact = resolution.after, resolution.fact
        if fact is not None:
            # Settling it takes it out of suspense, as any other statement of its rank would.
            if not await self._settlement.settle_one(connection, fact, now):
                raise AlreadyExistsError("a statement of the same rank was settled meanwhile")
            if before.statement.event_id != fact.event_id:
                # But settlement does not find what did not name its event soundly.
                await insert_entries(connection, give_way(before, fact)[1], now)
            after = replace(after, held={})
        await learn_prices(connection, resolution.prices, now)
        if resolution.message is not None:
            await enqueue(connection, [resolution.message])
        await insert_entries(connection, resolution.entries, now)
        is_cleared = after.state is not before.state
        by = f"{actor.kind.name.lower()}/{actor.id}" if is_cleared else ""
        await put(connection, [after], now, by=by, note=note if is_cleared else "")
        org_id = after.statement.org_id
        if org_id is not None and is_cleared:
            event = AuditEvent(
                actor,
                f"suspense.{after.state.name.lower()}",
                f"suspense/{after.statement.suspense_id}",
                {"state": before.state.name.lower(), "held_nano_usd": dict(before.held)},
                {
                    "state": after.state.name.lower(),
                    "generation_id": after.statement.generation_id,
                    "charged_nano_usd": 0 if fact is None else fact.cost,
                    "price_version": "" if fact is None else fact.price_version,
                    "note": note,
                },
            )
            await self._audit.append(connection, org_id, event, now)


async def _charged(connection: AsyncConnection, row: Any) -> int:
    if row.state != SuspenseState.ACCEPTED:
        return 0
    values = {"event_id": row.event_id, "org_id": row.org_id}
    return int((await connection.execute(_CHARGED, values)).scalar_one())


def _listed(row: Any) -> ListedSuspense:
    return ListedSuspense(suspense_from_row(row), row.suspended_at, row.resolved_at, row.note)
