"""The tables, from an empty database to the newest version, on a real engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from metering.adapters.clickhouse_schema import Migration, in_order, migrate, packaged_migrations, verify
from metering.domain.errors import SchemaError

NAMES = ["0001_usage_events.sql", "0002_ingest_batches.sql"]


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
    assert set(made) == {"ingest_batches", "schema_migrations", "usage_events"}
    assert migrate(client, packaged_migrations(), None) == []
    assert tables(client) == made
    verify(client, packaged_migrations())


def test_a_migration_that_was_interrupted_runs_again_as_a_whole(client: Client) -> None:
    first, second = packaged_migrations()
    migrate(client, [first], None)
    for statement in second.statements(None):
        client.command(statement)
    assert migrate(client, [first, second], None) == [second.name]


def test_a_migration_that_changed_after_it_ran_is_refused_by_name(client: Client) -> None:
    first, second = packaged_migrations()
    migrate(client, [first, second], None)
    changed = dataclasses.replace(first, text=first.text + "-- changed\n")
    for run in (lambda: migrate(client, [changed, second], None), lambda: verify(client, [changed, second])):
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
        client, [*migrations, Migration(3, "0003_later.sql", "CREATE TABLE later (x Int8) ENGINE = Memory;\n")], None
    )
    assert migrate(client, migrations, None) == []
    verify(client, migrations)


def test_a_migration_that_never_ran_before_a_later_one_is_refused(client: Client) -> None:
    migrate(client, packaged_migrations(), None)
    client.command("ALTER TABLE schema_migrations DELETE WHERE version = 1 SETTINGS mutations_sync = 2")
    with pytest.raises(SchemaError, match="migration 0001 never ran"):
        migrate(client, packaged_migrations(), None)


def test_numbers_follow_each_other() -> None:
    first, second = packaged_migrations()
    assert in_order([second, first]) == [first, second]
    with pytest.raises(SchemaError, match="migration 0001 is missing"):
        in_order([second])


def test_on_a_cluster_tables_are_made_everywhere_and_replicated() -> None:
    for migration in packaged_migrations():
        for alone, replicated in zip(migration.statements(None), migration.statements("main`; x"), strict=True):
            assert "ENGINE = ReplacingMergeTree" in alone
            assert "ON CLUSTER" not in alone
            assert "ENGINE = ReplicatedReplacingMergeTree" in replicated
            assert r"ON CLUSTER `main\`; x`" in replicated
