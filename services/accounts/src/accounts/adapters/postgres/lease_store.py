"""Leases in PostgreSQL: everything that is asked for at the same time, of many organisations, is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres import lease_sql as sql
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_spend import keys_from_rows
from accounts.adapters.postgres.lease_rows import account_columns, lease_columns, lease_from_row
from accounts.adapters.postgres.rows import guardrail_from_row, org_from_row
from accounts.domain.accounts import ApiKey
from accounts.domain.errors import NotFoundError
from accounts.domain.lease_book import LeaseBook, Outcome
from accounts.domain.lease_bounds import CreditBounds, guardrail_ids, kept_account
from accounts.domain.leases import Account, Acquire, Ask, Lease, LeaseTerms
from contracts.guardrails import Guardrail

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

    async def answer(
        self, asks: Mapping[UUID, Sequence[Ask]], now: datetime | None = None, *, may_wait: bool
    ) -> Mapping[UUID, Sequence[Outcome]]:
        """Do what is asked for of each organisation, in order, in one transaction; one outcome for each.

        Args:
            asks: by organisation.
            now: the moment; None for that of PostgreSQL's clock, by which windows are the same whichever process lends.
            may_wait: whether to wait for organisations at which somebody else is, such as settlement.

        Returns:
            The outcomes by organisation, without those that do not exist or, unless it may wait, that somebody else is at.

        Raises:
            StoreUnavailableError: nothing is known to have been done; asking again is safe.
        """
        # What is asked of one organisation sees the rows of no other.
        (only,) = asks if len(asks) == 1 else (None,)
        scope = self._database.installation_transaction() if only is None else self._database.transaction(only)
        async with scope as connection:
            lock = sql.LOCK_ORGS if may_wait else sql.LOCK_IDLE_ORGS
            locked = (await connection.execute(lock, {"org_ids": list(asks)})).all()
            if not locked:
                return {}
            moment = now or max(row.now for row in locked)
            books = await self._open(connection, {row.org_id: asks[row.org_id] for row in locked}, moment)
            outcomes = {org_id: [book.answer(ask) for ask in asks[org_id]] for org_id, book in books.items()}
            await self._write(connection, books, moment)
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
            bounds = await self._bounds(connection, {org_id: ()}, now)
            names = {name for each in leases for name in each.accounts}
            accounts = await self._accounts(connection, {org_id: {}}, {org_id: names})
            book = LeaseBook(bounds[org_id], leases, accounts[org_id], {}, edges=1, terms=self._terms, now=now)
            freed = sum(book.close(lease) for lease in leases if not lease.is_windowed)
            windowed = [lease for lease in leases if lease.is_windowed]
            for lease in windowed:
                book.close(lease)
            await self._write(connection, {org_id: book}, now)
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

    async def _open(
        self, connection: AsyncConnection, asks: Mapping[UUID, Sequence[Ask]], now: datetime
    ) -> Mapping[UUID, LeaseBook]:
        named = _columns({org_id: {ask.lease_id for ask in each} for org_id, each in asks.items()}, "lease_ids")
        leases: Mapping[UUID, list[Lease]] = {org_id: [] for org_id in asks}
        for row in await connection.execute(sql.LEASES, named):
            leases[row.org_id].append(lease_from_row(row))
        bounds = await self._bounds(
            connection, {org_id: _key_ids(each, leases[org_id]) for org_id, each in asks.items()}, now
        )
        edge_ids = {ask.borrower.edge_id for each in asks.values() for ask in each}
        fences = {row.edge_id: row.epoch for row in await connection.execute(sql.FENCES, {"edge_ids": list(edge_ids)})}
        edges = {org_id: {ask.borrower.edge_id for ask in each} for org_id, each in asks.items()}
        for row in await connection.execute(sql.EDGES, {"org_ids": list(asks), "now": now}):
            edges[row.org_id].add(row.edge_id)
        accounts = await self._accounts(
            connection,
            {
                org_id: {account.name: account for account in _bounding(bounds[org_id], each, leases[org_id])}
                for org_id, each in asks.items()
            },
            {org_id: {name for lease in each for name in lease.accounts} for org_id, each in leases.items()},
        )
        return {
            org_id: LeaseBook(
                bounds[org_id],
                leases[org_id],
                accounts[org_id],
                fences,
                edges=len(edges[org_id]),
                terms=self._terms,
                now=now,
            )
            for org_id in asks
        }

    async def _bounds(
        self, connection: AsyncConnection, key_ids: Mapping[UUID, Collection[UUID]], now: datetime
    ) -> Mapping[UUID, CreditBounds]:
        """What bounds organisations and these keys of theirs."""
        orgs = [org_from_row(row) for row in await connection.execute(sql.ORGS, {"org_ids": list(key_ids)})]
        keys: list[ApiKey] = []
        deleted: set[UUID] = set()
        guardrails: list[Guardrail] = []
        if any(key_ids.values()):
            rows = (await connection.execute(sql.KEYS, _columns(key_ids, "key_ids"))).all()
            keys = await keys_from_rows(connection, rows, now.date())
            deleted = {row.key_id for row in rows if row.deleted_at is not None}
            named = {org_id: guardrail_ids([key for key in keys if key.org_id == org_id]) for org_id in key_ids}
            found = await connection.execute(sql.GUARDRAILS, _columns(named, "guardrail_ids"))
            guardrails = [guardrail_from_row(row) for row in found]
        return {
            org.org_id: CreditBounds(
                org,
                {key.key_id: key for key in keys if key.org_id == org.org_id},
                deleted,
                {each.guardrail_id: each for each in guardrails if each.org_id == str(org.org_id)},
                now,
            )
            for org in orgs
        }

    async def _accounts(
        self,
        connection: AsyncConnection,
        bounding: Mapping[UUID, dict[str, Account]],
        kept: Mapping[UUID, Collection[str]],
    ) -> Mapping[UUID, Mapping[str, Account]]:
        """Accounts with what is held on them: those that bound what is asked for, and those that leases hold on."""
        names = {org_id: accounts.keys() | set(kept[org_id]) for org_id, accounts in bounding.items()}
        for row in await connection.execute(sql.ACCOUNTS, _columns(names, "names")):
            account = bounding[row.org_id].setdefault(row.name, kept_account(row.name, row.amount, row.ends_at))
            account.held = row.held
            if row.ends_at is not None:
                account.spent = row.spent
        return bounding

    async def _write(self, connection: AsyncConnection, books: Mapping[UUID, LeaseBook], now: datetime) -> None:
        leases = [(org_id, book.leases[lease_id]) for org_id, book in books.items() for lease_id in book.changed]
        if leases:
            await connection.execute(sql.WRITE_LEASES, lease_columns(leases, now))
        accounts = [(org_id, book.accounts[name]) for org_id, book in books.items() for name in book.changed_accounts]
        if accounts:
            await connection.execute(sql.WRITE_ACCOUNTS, account_columns(accounts))
        fences: dict[str, int] = {}
        for book in books.values():
            for edge_id, epoch in book.new_fences.items():
                fences[edge_id] = max(epoch, fences.get(edge_id, 0))
        if fences:
            values = {"edge_ids": list(fences), "epochs": list(fences.values()), "now": now}
            await connection.execute(sql.WRITE_FENCES, values)


def _columns(named: Mapping[UUID, Collection[Any]], column: str) -> dict[str, list[Any]]:
    """Pairs of an organisation and something of its own, as two columns."""
    pairs = [(org_id, each) for org_id, names in named.items() for each in names]
    return {"org_ids": [org_id for org_id, _ in pairs], column: [each for _, each in pairs]}


def _key_ids(asks: Sequence[Ask], leases: Sequence[Lease]) -> set[UUID]:
    named = {ask.key_id for ask in asks if isinstance(ask, Acquire)} | {lease.key_id for lease in leases}
    return {key_id for key_id in named if key_id is not None}


def _bounding(bounds: CreditBounds, asks: Sequence[Ask], leases: Sequence[Lease]) -> Iterable[Account]:
    for ask in asks:
        if isinstance(ask, Acquire):
            # The book says so, to the one who asked.
            with suppress(NotFoundError):
                yield from bounds.of(ask)
    for lease in leases:
        yield from bounds.of_lease(lease)
