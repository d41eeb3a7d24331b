"""Organisations with credit and keys, as many as an edge in service knows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import asyncpg

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.key_store import PostgresKeyStore
from accounts.adapters.postgres.org_store import PostgresOrgStore
from accounts.domain.accounts import KeyKind
from accounts.identity import Identity
from contracts import api_keys
from contracts.api_keys import ApiKeyKind
from servicekit.clock import SystemClock
from turnpike_bench.postgres import RunningPostgres

PEPPER = "a pepper of at least thirty-two bytes"
CREDIT = 10**14
_TOGETHER = 4
_COLUMNS = (
    "key_id", "org_id", "workspace_id", "digest", "name", "label", "kind", "limit_nano", "created_at", "updated_at",
)  # fmt: skip


async def make_customers(server: RunningPostgres, orgs: int, keys: int, limited: float, seed: int) -> list[str]:
    """Make them; returns the keys.

    Organisations are made as accounts makes them. Keys are written beside it, because making one takes milliseconds; accounts finds
    them when it starts, and publishes them like all others.

    Args:
        server: with the books.
        orgs: how many.
        keys: how many of all of them together.
        limited: share of keys that have a limit, and so are lent to by themselves.
        seed: of the keys.
    """
    database, random = server.database(_TOGETHER), Random(seed)
    await database.start()
    try:
        audit = PostgresAuditLog(database, PEPPER.encode())
        identity = Identity(
            PostgresKeyStore(database, audit), PostgresOrgStore(database, audit), SystemClock(), random, PEPPER.encode()
        )
        places = asyncio.Semaphore(_TOGETHER)

        async def make() -> UUID:
            async with places:
                org = await identity.create_org("Bench")
                await identity.grant_credit(str(org.org_id), CREDIT, "first", "bench")
                return org.org_id

        org_ids = await asyncio.gather(*(make() for _ in range(orgs)))
    finally:
        await database.stop(timedelta(seconds=5))
    secrets = [api_keys.generate(ApiKeyKind.INFERENCE, random) for _ in range(keys)]
    now = datetime.now(UTC)
    rows = [
        (
            UUID(int=random.getrandbits(128), version=4),
            org_ids[number % orgs],
            org_ids[number % orgs],
            api_keys.digest(secret, PEPPER.encode()),
            f"key {number}",
            api_keys.label(secret),
            int(KeyKind.INFERENCE),
            CREDIT if number % 100 < limited * 100 else None,
            now,
            now,
        )
        for number, secret in enumerate(secrets)
    ]
    sql = await asyncpg.connect(server.owner_dsn)
    try:
        await sql.execute("SELECT set_config('turnpike.org_id', '*', false)")
        await sql.copy_records_to_table("api_keys", records=rows, columns=_COLUMNS)
    finally:
        await sql.close()
    return secrets
