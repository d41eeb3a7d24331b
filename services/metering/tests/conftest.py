"""One chDB engine for each test process, because it can have one only, and a database in it for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import uuid4

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from contracts.testing.examples import iter_examples
from metering.adapters.clickhouse_schema import migrate, packaged_migrations
from metering.testing.engine import engine_path
from metering.testing.usage_events import EventFactory
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

EXAMPLES = Path(__file__).parents[3] / "protos" / "examples"


@dataclass(frozen=True)
class Engine:
    """An engine of this process; `client` is not of any database."""

    path: Path
    client: Client

    def dsn(self, database: str) -> str:
        return f"chdb://{self.path}?database={database}"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    path = engine_path()
    client = clickhouse_connect.get_client(dsn=f"chdb://{path}")
    yield Engine(path, client)
    client.close()


@pytest.fixture
def database(engine: Engine) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    engine.client.command(f"CREATE DATABASE {name}")
    yield name
    engine.client.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture(scope="session")
def migrated(engine: Engine) -> Iterator[str]:
    """A database with the schema, made once: that takes longer than most tests."""
    name = f"migrated_{uuid4().hex}"
    engine.client.command(f"CREATE DATABASE {name}")
    migrate(clickhouse_connect.get_client(dsn=engine.dsn(name)), packaged_migrations(), None)
    yield name
    engine.client.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture
def emptied(engine: Engine, migrated: str) -> str:
    """A database with the schema and nothing in it."""
    filled = engine.client.query(
        "SELECT name FROM system.tables WHERE database = {database:String} AND total_rows > 0 AND name != 'schema_migrations'",
        {"database": migrated},
    )
    for (table,) in filled.result_rows:
        engine.client.command(f"TRUNCATE TABLE {migrated}.{table} SYNC")
    return migrated


@pytest.fixture(scope="session")
def example_events() -> dict[str, UsageEvent]:
    return dict(iter_examples(UsageEvent, EXAMPLES))


@pytest.fixture
def new_event(example_events: dict[str, UsageEvent]) -> EventFactory:
    return EventFactory(example_events["completed"], Random(1))


@pytest.fixture
def count(engine: Engine, database: str) -> Callable[..., int]:
    def rows(*, final: bool = False) -> int:
        final_word = "FINAL" if final else ""
        return int(engine.client.query(f"SELECT count() FROM {database}.usage_events {final_word}").result_rows[0][0])

    return rows
