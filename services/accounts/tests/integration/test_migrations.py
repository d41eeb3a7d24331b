"""The schema, from an empty database to the newest version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import asyncpg

from accounts.adapters.postgres.database import Database

GRACE = timedelta(seconds=5)
TABLES = {
    "alembic_version",
    "api_keys",
    "consumer_offsets",
    "grants",
    "key_spend_daily",
    "ledger_entries",
    "orgs",
    "outbox",
    "publication",
    "quarantine",
    "settled_events",
}


def is_ready(*databases: Database) -> bool:
    return all(database.is_ready for database in databases)


async def shape(sql: asyncpg.Connection) -> list[tuple[str, str, str]]:
    rows = await sql.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
        " ORDER BY 1, 2"
    )
    return [tuple(row) for row in rows]


async def test_migrations_make_an_empty_database_usable_and_change_nothing_again(
    dsn: str, open_database: Callable[..., Database]
) -> None:
    sql = await asyncpg.connect(dsn)
    shapes: list[list[tuple[str, str, str]]] = []
    try:
        for _ in range(2):
            database = open_database(dsn)
            assert not is_ready(database)
            await database.start()
            assert is_ready(database)
            await database.stop(GRACE)
            shapes.append(await shape(sql))
    finally:
        await sql.close()
    assert {table for table, _, _ in shapes[0]} == TABLES
    assert shapes[0] == shapes[1]


async def test_instances_that_start_together_migrate_once(dsn: str, open_database: Callable[..., Database]) -> None:
    databases = [open_database(dsn) for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        for database in databases:
            group.create_task(database.start())
    assert is_ready(*databases)
    for database in databases:
        await database.stop(GRACE)


async def test_an_instance_that_may_not_migrate_waits_for_one_that_may(
    dsn: str, open_database: Callable[..., Database]
) -> None:
    waiting, migrating = open_database(dsn, may_migrate=False), open_database(dsn)
    sql = await asyncpg.connect(dsn)
    async with asyncio.TaskGroup() as group:
        group.create_task(waiting.start())
        await asyncio.sleep(0.5)
        assert not is_ready(waiting)
        assert await shape(sql) == []
        await migrating.start()
    assert is_ready(waiting)
    for database in (waiting, migrating):
        await database.stop(GRACE)
    await sql.close()
