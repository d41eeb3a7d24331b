"""An edge that borrows, as the store sees one, and what always holds of leases."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from accounts.domain.errors import AccountsError, NotFoundError
from accounts.domain.lease_ports import LeaseStore
from accounts.domain.leases import Acquire, Ask, Borrower, Grant, LeaseResource, LeaseTerms, LimitName, Release, Renew

TERMS = LeaseTerms(ttl=timedelta(minutes=1), grace=timedelta(minutes=15))


@dataclass
class BorrowingEdge:
    """Borrows for one organisation, one call at a time. Amounts in nano-dollars unless a resource says otherwise."""

    store: LeaseStore
    org_id: UUID
    borrower: Borrower = field(default=Borrower("edge-1", 1))
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def acquire(
        self,
        needed: int,
        wanted: int = 0,
        *,
        lease_id: UUID | None = None,
        key_id: UUID | None = None,
        resource: LeaseResource = LeaseResource.MONEY,
        limit: LimitName | None = None,
    ) -> tuple[UUID, Grant]:
        """Borrow: the lease and the answer. Raises what the store answers as an error."""
        name = lease_id or uuid4()
        ask = Acquire(self.borrower, name, self.org_id, key_id, resource, needed, wanted or needed, limit)
        return name, await self.ask(ask)

    async def renew(
        self, lease_id: UUID, needed: int = 0, wanted: int = 0, *, spent: int = 0, in_flight: int = 0, returned: int = 0
    ) -> Grant:
        """Extend a lease. Raises what the store answers as an error."""
        return await self.ask(
            Renew(self.borrower, lease_id, self.org_id, needed, wanted or needed, spent, in_flight, returned)
        )

    async def release(self, lease_id: UUID, *, spent: int = 0, in_flight: int = 0) -> int:
        """End a lease: what became free. Raises what the store answers as an error."""
        return (await self.ask(Release(self.borrower, lease_id, self.org_id, spent, in_flight))).returned

    async def ask(self, ask: Ask) -> Grant:
        """Ask. Raises what the store answers as an error."""
        answered = await self.store.answer({self.org_id: [ask]}, self.now, may_wait=True)
        if self.org_id not in answered:
            raise NotFoundError("no such organisation")
        (outcome,) = answered[self.org_id]
        if isinstance(outcome, AccountsError):
            raise outcome
        return outcome


async def held_accounts(sql: asyncpg.Connection, org_id: UUID) -> dict[str, int]:
    """What the accounts of an organisation hold, where that is not nothing."""
    rows = await sql.fetch("SELECT name, held FROM lease_accounts WHERE org_id = $1 AND held <> 0", org_id)
    return {row["name"]: row["held"] for row in rows}


async def check_leases(sql: asyncpg.Connection, org_id: UUID | None = None) -> None:
    """Check B6: what each account holds is the sum over its open leases of what was granted, not returned and not spent.

    Args:
        sql: a connection that sees everything, while nobody else changes it.
        org_id: of one organisation; None of all.

    Raises:
        AssertionError: it does not hold.
    """
    lent: dict[tuple[Any, str], int] = defaultdict(int)
    for lease in await sql.fetch(
        "SELECT * FROM leases WHERE closed_at IS NULL AND org_id = coalesce($1, org_id)", org_id
    ):
        for name in lease["accounts"]:
            lent[lease["org_id"], name] += max(lease["granted"] - lease["returned"] - lease["spent"], 0)
    rows = await sql.fetch("SELECT * FROM lease_accounts WHERE org_id = coalesce($1, org_id)", org_id)
    held = {(row["org_id"], row["name"]): row["held"] for row in rows}
    assert min(held.values(), default=0) >= 0, "B6: an account holds less than nothing"
    assert {name: nano for name, nano in held.items() if nano} == {name: nano for name, nano in lent.items() if nano}, (
        "B6: what accounts hold is not what is lent"
    )
