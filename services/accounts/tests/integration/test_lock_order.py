"""Who waits for whom in PostgreSQL: what is managed never waits for money that moves, so that neither waits for the other."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import TextClause

from accounts.adapters.postgres import lease_sql, payment_sql, settlement_sql
from accounts.adapters.postgres.database import Database
from accounts.domain.accounts import KeyChanges, KeyKind
from accounts.identity import Identity
from accounts.testing import NewCustomer

_LIMIT_S = 5.0  # half of what a statement may take


@pytest.mark.parametrize(
    "lock",
    [settlement_sql.LOCK_ORGS, lease_sql.LOCK_ORGS, payment_sql.LOCK_ORG],
    ids=["settlement", "leases", "payments"],
)
async def test_keys_are_made_and_changed_while_money_of_their_organisation_moves(
    lock: TextClause, identity: Identity, database: Database, new_customer: NewCustomer
) -> None:
    org_id, _ = await new_customer()
    async with database.transaction(org_id) as moving:
        await moving.execute(lock, {"org_id": org_id, "org_ids": [org_id]})
        async with asyncio.timeout(_LIMIT_S):
            key, _ = await identity.create_key(str(org_id), "made meanwhile", KeyKind.INFERENCE, None, None, "")
            changed = await identity.update_key(str(org_id), key.digest, KeyChanges(name="changed meanwhile"))
    assert changed.name == "changed meanwhile"


async def test_settlement_keeps_others_from_an_organisation_until_its_end(
    database: Database, new_customer: NewCustomer
) -> None:
    org_id, _ = await new_customer()
    async with database.installation_transaction() as settling:
        await settling.execute(settlement_sql.LOCK_ORGS, {"org_ids": [org_id]})
        async with database.installation_transaction() as lending:
            free = (await lending.execute(lease_sql.LOCK_IDLE_ORGS, {"org_ids": [org_id]})).all()
    assert free == []
