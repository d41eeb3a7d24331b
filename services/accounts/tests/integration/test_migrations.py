"""The schema, from an empty database to the newest version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, timedelta
from uuid import UUID, uuid4

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.settlement_store import PostgresSettlementStore
from accounts.settlement import Settlement
from accounts.testing.books import account_balances, check_books
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.topics import USAGE
from servicekit.clock import SystemClock
from servicekit.failpoints import Failpoints
from servicekit.kafka import TopicPartition
from servicekit.testing import RecordingTelemetry
from turnpike.usage.v1.usage_event_pb2 import USAGE_RANK_EDGE_ESTIMATE, UsageEvent

GRACE = timedelta(seconds=5)
TABLES = {
    "alembic_version",
    "api_keys",
    "audit_entries",
    "audit_heads",
    "auth_codes",
    "byok_keys",
    "consumer_offsets",
    "destination_deliveries",
    "destination_revision",
    "destinations",
    "generation_contents",
    "generation_feedback",
    "grants",
    "guardrail_keys",
    "guardrail_members",
    "guardrails",
    "invitations",
    "invoice_numbers",
    "key_spend_daily",
    "lease_accounts",
    "lease_edges",
    "leases",
    "ledger_entries",
    "members",
    "notices",
    "oidc_flows",
    "orgs",
    "outbox",
    "payment_statements",
    "preset_versions",
    "presets",
    "publication",
    "purchases",
    "quarantine",
    "sessions",
    "settled_events",
    "sign_in_failures",
    "top_ups",
    "usage_refunds",
    "user_identities",
    "users",
    "workspace_budgets",
    "workspace_members",
    "workspace_spend_daily",
    "workspaces",
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
    empty_dsn: str, open_database: Callable[..., Database]
) -> None:
    sql = await asyncpg.connect(empty_dsn)
    shapes: list[list[tuple[str, str, str]]] = []
    try:
        for _ in range(2):
            database = open_database(empty_dsn)
            assert not is_ready(database)
            await database.start()
            assert is_ready(database)
            await database.stop(GRACE)
            shapes.append(await shape(sql))
    finally:
        await sql.close()
    assert {table for table, _, _ in shapes[0]} >= TABLES
    assert shapes[0] == shapes[1]


def upgrade_to_0001(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "accounts:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")


async def post_as_0001(sql: asyncpg.Connection, event: UsageEvent) -> None:
    """What the code of that version wrote of an event, of an organisation without credit."""
    org_id, key_id, cost = UUID(event.org_id), UUID(event.key_id), event.cost_nano_usd
    await sql.execute(
        "INSERT INTO orgs (org_id, name, status, balance_nano, usage_nano, created_at) VALUES ($1, 'Old', 1, $2, $3, now())",
        org_id,
        -cost,
        cost,
    )
    await sql.execute(
        """
        INSERT INTO settled_events
        VALUES ($1, $2, $3, $4, $5, 'a/model', $6, '', 'pv_test', 10, 20, $7, $7, $8, now())
        """,
        UUID(event.event_id),
        event.rank,
        event.generation_id,
        org_id,
        key_id,
        event.provider,
        cost,
        event.ended_at.ToDatetime(UTC),
    )
    await sql.execute(
        "INSERT INTO key_spend_daily VALUES ($1, $2, $3)", key_id, event.ended_at.ToDatetime(UTC).date(), cost
    )
    for debit, credit in (
        (f"customer:{org_id}", "revenue:usage"),
        ("provider_cost", f"provider_payable:{event.provider}"),
    ):
        await sql.execute(
            """
            INSERT INTO ledger_entries (cause_id, org_id, debit, credit, nano, reason, posted_at)
            VALUES ($1, $2, $3, $4, $5, 'usage', now())
            """,
            UUID(event.event_id),
            org_id,
            debit,
            credit,
            cost,
        )


async def test_events_that_were_settled_before_copies_were_known_have_none_and_can_be_corrected(
    empty_dsn: str, open_database: Callable[..., Database], usage_event: UsageEvents, telemetry: RecordingTelemetry
) -> None:
    estimate = usage_event(uuid4(), uuid4(), rank=USAGE_RANK_EDGE_ESTIMATE)
    final = usage_event(
        estimate.org_id, estimate.key_id, generation_id=estimate.generation_id, copies=[("local-b", 3), ("local-a", 0)]
    )
    database = open_database(empty_dsn)
    sql = await asyncpg.connect(empty_dsn)
    try:
        engine = create_async_engine(empty_dsn.replace("postgresql://", "postgresql+asyncpg://"))
        async with engine.begin() as connection:
            await connection.run_sync(upgrade_to_0001)
        await engine.dispose()
        await post_as_0001(sql, estimate)
        await database.start()
        assert await sql.fetchval("SELECT hedges::text FROM settled_events") == "{}"
        await check_books(sql)

        store = PostgresSettlementStore(database, Failpoints())
        settlement = Settlement(store, SystemClock(), telemetry.tracer, telemetry.meter, Failpoints())
        await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records([final]))
        accounts = await account_balances(sql)
        assert accounts["provider_payable:local-b"] == 10 * 90 + 3 * 270
        assert accounts["provider_payable:local-a"] == estimate.provider_cost_nano_usd + 10 * 90
        await check_books(sql)
    finally:
        await sql.close()
        await database.stop(GRACE)


async def test_instances_that_start_together_migrate_once(
    empty_dsn: str, open_database: Callable[..., Database]
) -> None:
    databases = [open_database(empty_dsn) for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        for database in databases:
            group.create_task(database.start())
    assert is_ready(*databases)
    for database in databases:
        await database.stop(GRACE)


async def test_an_instance_that_may_not_migrate_waits_for_one_that_may(
    empty_dsn: str, open_database: Callable[..., Database]
) -> None:
    waiting, migrating = open_database(empty_dsn, may_migrate=False), open_database(empty_dsn)
    sql = await asyncpg.connect(empty_dsn)
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
