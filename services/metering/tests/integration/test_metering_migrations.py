"""The tables, from an empty database to the newest version, on a real engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_schema import Migration, in_order, migrate, packaged_migrations, verify
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.convert import usage_row_from_proto
from metering.domain.batch import BatchPlan, Span
from metering.domain.errors import SchemaError
from metering.domain.usage import UnixMs, UsageRow
from metering.testing.usage_events import EventFactory
from servicekit.clock import SystemClock
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

NAMES = [migration.name for migration in packaged_migrations()]
LATER_COLUMNS = (
    "hedge_cost_nano_usd", "image_pico_usd", "second_pico_usd", "character_pico_usd", "search_unit_pico_usd", "images",
    "audio_ms", "characters", "search_units",
)  # fmt: skip


@pytest.fixture
def client(engine: Any, database: str) -> Iterator[Client]:
    opened = clickhouse_connect.get_client(dsn=engine.dsn(database))
    yield opened
    opened.close()


def tables(client: Client) -> dict[str, str]:
    rows = client.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    ).result_rows
    return {str(name): str(text) for name, text in rows}


def test_migrations_make_an_empty_database_usable_and_change_nothing_again(client: Client) -> None:
    assert migrate(client, packaged_migrations(), None) == NAMES
    made = tables(client)
    assert set(made) == {
        "app_days", "category_days", "endpoint_minutes", "ingest_batches", "key_days", "kind_days", "model_days", "provider_days",
        "rollup_progress", "schema_migrations", "session_days", "usage_days", "usage_events", "usage_events_by_month", "usage_hours",
        "user_days",
    }  # fmt: skip
    assert migrate(client, packaged_migrations(), None) == []
    assert tables(client) == made
    verify(client, packaged_migrations())


def test_a_migration_that_was_interrupted_runs_again_as_a_whole(client: Client) -> None:
    migrations = packaged_migrations()
    for at, interrupted in enumerate(migrations[1:], start=1):
        migrate(client, migrations[:at], None)
        for statement in interrupted.statements(None):
            statement.run(client, None)
        assert migrate(client, migrations[: at + 1], None) == [interrupted.name]
    verify(client, migrations)


async def test_rows_of_before_copies_and_operations_were_known_say_that_there_were_none(
    client: Client, engine: Any, database: str, example_events: dict[str, UsageEvent]
) -> None:
    before = usage_row_from_proto(example_events["completed_after_failover"])
    after = usage_row_from_proto(example_events["completed_after_hedge"])
    at_first = UsageRow._fields[: UsageRow._fields.index("error_type") + 1]
    old = {name: value for name, value in before._asdict().items() if name in at_first}
    for name in LATER_COLUMNS:
        del old[name]
    migrate(client, packaged_migrations()[:2], None)
    client.insert("usage_events", [tuple(old.values())], column_names=list(old))

    log = ClickHouseUsageLog(engine.dsn(database), SystemClock(), CallLimits(), cluster=None, may_migrate=True)
    await log.start()
    await log.append(BatchPlan("c", "turnpike.usage.v1", (Span(0, 1, 1),), UnixMs(1)), [after])
    assert await log.find(before.org_id, before.generation_id) == before._replace(app_id=0, app="")
    assert await log.find(after.org_id, after.generation_id) == after
    assert (before.hedge_cost_nano_usd, after.hedge_cost_nano_usd) == (0, 22_410)
    assert before.operation == "completion"
    await log.stop(timedelta(seconds=1))


def test_a_migration_that_changed_after_it_ran_is_refused_by_name(client: Client) -> None:
    first, *others = packaged_migrations()
    migrate(client, [first, *others], None)
    changed = dataclasses.replace(first, text=first.text + "-- changed\n")
    for run in (lambda: migrate(client, [changed, *others], None), lambda: verify(client, [changed, *others])):
        with pytest.raises(SchemaError, match=r"0001_usage_events\.sql was changed"):
            run()


def test_pending_migrations_are_refused_where_nobody_may_run_them(client: Client) -> None:
    migrations = packaged_migrations()
    with pytest.raises(SchemaError, match=r"0001_usage_events.sql has not run"):
        verify(client, migrations)
    migrate(client, migrations[:1], None)
    with pytest.raises(SchemaError, match=r"0002_ingest_batches.sql has not run"):
        verify(client, migrations)


def test_an_older_instance_leaves_the_migrations_of_a_later_one_alone(client: Client) -> None:
    migrations = packaged_migrations()
    migrate(
        client,
        [*migrations, Migration(len(migrations) + 1, "later.sql", "CREATE TABLE later (x Int8) ENGINE = Memory;\n")],
        None,
    )
    assert migrate(client, migrations, None) == []
    verify(client, migrations)


def test_a_migration_that_never_ran_before_a_later_one_is_refused(client: Client) -> None:
    migrate(client, packaged_migrations(), None)
    client.command("ALTER TABLE schema_migrations DELETE WHERE version = 1 SETTINGS mutations_sync = 2")
    with pytest.raises(SchemaError, match="migration 0001 never ran"):
        migrate(client, packaged_migrations(), None)


def test_numbers_follow_each_other() -> None:
    first, second, third, *_ = packaged_migrations()
    assert in_order([second, third, first]) == [first, second, third]
    with pytest.raises(SchemaError, match="migration 0001 is missing"):
        in_order([second])


async def test_events_of_before_there_were_days_are_all_there_and_each_once(
    client: Client, engine: Any, database: str, new_event: EventFactory
) -> None:
    rows = [usage_row_from_proto(new_event()) for _ in range(50)]
    migrations = packaged_migrations()
    migrate(client, migrations[:6], None)
    types = {name: kind for name, kind, *_ in client.query("DESCRIBE TABLE usage_events").result_rows}
    known = [name for name in UsageRow._fields if name in types]
    values = [[getattr(row, name) for name in known] for row in rows]
    client.insert("usage_events", values, known, column_type_names=[types[name] for name in known])
    by_day = migrations[6]
    # Interrupted before the tables change places, and after.
    for count in (1, 2, 3, 4):
        for statement in by_day.statements(None)[:count]:
            statement.run(client, None)
    migrate(client, migrations, None)
    assert "PARTITION BY toYYYYMMDD(started_at)" in tables(client)["usage_events"]
    assert "PARTITION BY toYYYYMM(started_at)" in tables(client)["usage_events_by_month"]
    log = ClickHouseUsageLog(engine.dsn(database), SystemClock(), CallLimits(), cluster=None, may_migrate=False)
    await log.start()
    for row in rows:
        assert await log.find(row.org_id, row.generation_id) == row._replace(country="")
    await log.stop(timedelta(seconds=1))
    assert client.query("SELECT count() FROM usage_events FINAL").result_rows == [(50,)]
