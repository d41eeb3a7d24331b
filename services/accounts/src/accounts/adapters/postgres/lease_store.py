"""Leases in PostgreSQL: everything that is asked for of one organisation at the same time is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres import lease_sql as sql
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_spend import keys_from_rows
from accounts.adapters.postgres.lease_rows import account_columns, lease_columns, lease_from_row
from accounts.adapters.postgres.rows import guardrail_from_row, org_from_row
from accounts.domain.errors import NotFoundError
from accounts.domain.lease_book import LeaseBook, Outcome
from accounts.domain.lease_bounds import CreditBounds, guardrail_ids, kept_account
from accounts.domain.leases import Account, Acquire, Ask, Lease, LeaseTerms

_MOST_DUE: Final = 1_000
# An edge asks again for a lease whose answer it lost within seconds.
_KEPT: Final = timedelta(hours=1)
# Far longer than a process that was given up for dead could still be there.
_EDGES_KEPT: Final = timedelta(days=30)


class PostgresLeaseStore:
    """The LeaseStore in PostgreSQL.

    Whoever changes leases or what accounts hold has locked the row of the organisation, and settlement has too. So a
    transaction can read what it needs, work it out, and write it down, and nobody waits for anybody in a circle.
    """

    def __init__(self, database: Database, terms: LeaseTerms) -> None:
        self._database = database
        self._terms = terms

    async def answer(self, org_id: UUID, asks: Sequence[Ask], now: datetime | None = None) -> Sequence[Outcome]:
        """Do what is asked for of one organisation, in order, in one transaction; one outcome for each.

        Args:
            org_id: the organisation.
            asks: what is asked for.
            now: the moment; None for that of PostgreSQL's clock, by which windows are the same whichever process lends.

        Raises:
            NotFoundError: there is no such organisation; nothing was done.
            StoreUnavailableError: nothing is known to have been done; asking again is safe.
        """
        async with self._database.transaction(org_id) as connection:
            locked = (await connection.execute(sql.LOCK_ORG, {"org_id": org_id})).one_or_none()
            if locked is None:
                raise NotFoundError("no such organisation")
            moment = now or locked.now
            book = await self._open(connection, org_id, asks, moment)
            outcomes = [book.answer(ask) for ask in asks]
            await self._write(connection, org_id, book, moment)
        return outcomes

    async def due(self, now: datetime) -> Sequence[UUID]:
        """Organisations with leases that nothing can settle any more, the longest due first; some of them, if many."""
        async with self._database.installation_transaction() as connection:
            return list((await connection.execute(sql.DUE_ORGS, {"now": now, "most": _MOST_DUE})).scalars())

    async def close_due(self, org_id: UUID, now: datetime) -> tuple[int, int]:
        """Close such leases of one organisation: how many, and the nano-dollars that became free.

        None while somebody else is at the organisation: it is left for the next time.
        """
        async with self._database.transaction(org_id) as connection:
            if (await connection.execute(sql.LOCK_IDLE_ORG, {"org_id": org_id})).one_or_none() is None:
                return 0, 0
            found = await connection.execute(sql.DUE, {"org_id": org_id, "now": now, "most": _MOST_DUE})
            leases = [lease_from_row(row) for row in found]
            bounds = await self._bounds(connection, org_id, (), now)
            accounts = await self._accounts(connection, org_id, (), {name for each in leases for name in each.accounts})
            book = LeaseBook(bounds, leases, accounts, {}, edges=1, terms=self._terms, now=now)
            freed = sum(book.close(lease) for lease in leases if not lease.is_windowed)
            windowed = [lease for lease in leases if lease.is_windowed]
            for lease in windowed:
                book.close(lease)
            await self._write(connection, org_id, book, now)
            if windowed:
                values = {"org_id": org_id, "lease_ids": [lease.lease_id for lease in windowed]}
                await connection.execute(sql.FORGET_ENDED, values)
        return len(leases), freed

    async def forget(self, now: datetime) -> int:
        """Delete leases that were closed long ago, what only they needed, and windows that are over; how many of the first."""
        async with self._database.installation_transaction() as connection:
            before = now - _KEPT
            found = await connection.execute(sql.FORGET_LEASES, {"before": before, "most": 10 * _MOST_DUE})
            await connection.execute(sql.FORGET_WINDOWS, {"most": 10 * _MOST_DUE})
            await connection.execute(sql.FORGET_EDGES, {"before": now - _EDGES_KEPT})
        return found.rowcount

    async def mismatches(self) -> int:
        """How many accounts hold anything but the sum of their open leases (B6): 0."""
        async with self._database.installation_transaction() as connection:
            return int((await connection.execute(sql.MISMATCHES)).scalar_one())

    async def _open(self, connection: AsyncConnection, org_id: UUID, asks: Sequence[Ask], now: datetime) -> LeaseBook:
        found = await connection.execute(
            sql.LEASES, {"org_id": org_id, "lease_ids": list({ask.lease_id for ask in asks})}
        )
        leases = [lease_from_row(row) for row in found]
        key_ids = {ask.key_id for ask in asks if isinstance(ask, Acquire)} | {lease.key_id for lease in leases}
        bounds = await self._bounds(connection, org_id, {key_id for key_id in key_ids if key_id is not None}, now)
        edge_ids = {ask.borrower.edge_id for ask in asks}
        fences = await connection.execute(sql.FENCES, {"edge_ids": list(edge_ids)})
        borrowing = await connection.execute(sql.EDGES, {"org_id": org_id, "now": now})
        return LeaseBook(
            bounds,
            leases,
            await self._accounts(
                connection,
                org_id,
                _bounding(bounds, asks, leases),
                {name for lease in leases for name in lease.accounts},
            ),
            {row.edge_id: row.epoch for row in fences},
            edges=len(edge_ids.union(borrowing.scalars())),
            terms=self._terms,
            now=now,
        )

    async def _bounds(
        self, connection: AsyncConnection, org_id: UUID, key_ids: Collection[UUID], now: datetime
    ) -> CreditBounds:
        org = org_from_row((await connection.execute(sql.ORG, {"org_id": org_id})).one())
        if not key_ids:
            return CreditBounds(org, {}, (), {}, now)
        rows = (await connection.execute(sql.KEYS, {"org_id": org_id, "key_ids": list(key_ids)})).all()
        keys = await keys_from_rows(connection, rows, now.date())
        values = {"org_id": org_id, "guardrail_ids": list(guardrail_ids(keys))}
        guardrails = [guardrail_from_row(row) for row in await connection.execute(sql.GUARDRAILS, values)]
        return CreditBounds(
            org,
            {key.key_id: key for key in keys},
            {row.key_id for row in rows if row.deleted_at is not None},
            {guardrail.guardrail_id: guardrail for guardrail in guardrails},
            now,
        )

    async def _accounts(
        self, connection: AsyncConnection, org_id: UUID, bounding: Iterable[Account], kept: Collection[str]
    ) -> Mapping[str, Account]:
        """Accounts with what is held on them: those that bound what is asked for, and those that leases hold on."""
        accounts = {account.name: account for account in bounding}
        names = list(kept | accounts.keys())
        for row in await connection.execute(sql.ACCOUNTS, {"org_id": org_id, "names": names}):
            account = accounts.setdefault(row.name, kept_account(row.name, row.amount, row.ends_at))
            account.held = row.held
            if row.ends_at is not None:
                account.spent = row.spent
        return accounts

    async def _write(self, connection: AsyncConnection, org_id: UUID, book: LeaseBook, now: datetime) -> None:
        if book.changed:
            leases = [book.leases[lease_id] for lease_id in book.changed]
            await connection.execute(sql.WRITE_LEASES, lease_columns(org_id, leases, now))
        if book.changed_accounts:
            accounts = [book.accounts[name] for name in book.changed_accounts]
            await connection.execute(sql.WRITE_ACCOUNTS, account_columns(org_id, accounts))
        if book.new_fences:
            values = {"edge_ids": list(book.new_fences), "epochs": list(book.new_fences.values()), "now": now}
            await connection.execute(sql.WRITE_FENCES, values)


def _bounding(bounds: CreditBounds, asks: Sequence[Ask], leases: Sequence[Lease]) -> Iterable[Account]:
    for ask in asks:
        if isinstance(ask, Acquire):
            # The book says so, to the one who asked.
            with suppress(NotFoundError):
                yield from bounds.of(ask)
    for lease in leases:
        yield from bounds.of_lease(lease)
