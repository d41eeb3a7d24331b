"""The part of a settlement that leases have in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres.lease_sql import CHARGE
from accounts.domain.lease_charges import lease_charges
from accounts.domain.postings import Posted, UsageFact


async def charge_leases(
    connection: AsyncConnection, facts: Sequence[UsageFact], posted: Mapping[UUID, Posted], now: datetime
) -> None:
    """Take what was settled from the leases that it was lent by, and from what accounts hold for them.

    A lease that is closed, or that nobody knows, holds nothing, so nothing is taken.

    Args:
        connection: of a transaction that has locked the organisations, before anything else of them.
        facts: events that are posted in it, each once.
        posted: what the books held of them before.
        now: the moment.
    """
    charges = lease_charges(facts, posted)
    if charges:
        await connection.execute(
            CHARGE,
            {
                "org_ids": [org_id for org_id, _ in charges],
                "lease_ids": [lease_id for _, lease_id in charges],
                "nanos": list(charges.values()),
                "now": now,
            },
        )
