"""Brings the tables to the version that this code needs, one numbered file after the other.

Every statement can be repeated (`IF NOT EXISTS`), or says in a comment `-- unless: SELECT …` when it has been done: ClickHouse
has no transaction around DDL, so a file that was interrupted runs again as a whole. Instances take turns (`clickhouse_turn`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client

from metering.adapters.clickhouse_layout import (
    CLUSTER_SETTINGS,
    copies_rows,
    distributed_tables,
    filled,
    moved_tables,
)
from metering.domain.errors import SchemaError

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_UNLESS: Final = "-- unless:"
_CREATE_LOG: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations {on_cluster}
(
    version UInt32,
    name String,
    checksum String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {engine_prefix}ReplacingMergeTree(applied_at)
ORDER BY version
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""


class Statement(NamedTuple):
    """A statement; where `unless` gives a row that is not 0, it has been done."""

    text: str
    unless: str = ""

    def run(self, client: Client, cluster: str | None) -> None:
        """Run it, unless it has been done."""
        if self.unless and client.query(self.unless).result_rows[0][0]:
            return
        if cluster is None or not copies_rows(self.text):
            client.command(self.text)
            return
        # Through the tables over all shards, which may not be there yet, or have the columns of before.
        for text in distributed_tables(client, cluster, self.text):
            client.command(text)
        client.command(self.text, settings=CLUSTER_SETTINGS)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. The checksum is that of the file, before `{engine_prefix}` and `{on_cluster}` are filled in."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Recognises a file that was changed after it ran."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, cluster: str | None) -> list[Statement]:
        """The statements, which end in a semicolon at the end of a line, for one server or for a cluster."""
        lines = [line for line in self.text.splitlines() if not line.startswith("--") or line.startswith(_UNLESS)]
        parts = [part.strip().removesuffix(";") for part in "\n".join(lines).split(";\n")]
        return [_statement(part, cluster) for part in parts if part]


def packaged_migrations() -> list[Migration]:
    """Read the migrations that come with this version, in order.

    Raises:
        SchemaError: the numbers are not 1, 2, 3, ….
    """
    found = []
    for entry in resources.files("metering.migrations").iterdir():
        match = _NAME.fullmatch(entry.name)
        if match is not None:
            found.append(Migration(int(match[1]), entry.name, entry.read_text(encoding="utf-8")))
    return in_order(found)


def in_order(migrations: Sequence[Migration]) -> list[Migration]:
    """Sort migrations by number.

    Raises:
        SchemaError: the numbers are not 1, 2, 3, ….
    """
    ordered = sorted(migrations, key=lambda migration: migration.version)
    for expected, migration in enumerate(ordered, start=1):
        if migration.version != expected:
            raise SchemaError(f"migration {expected:04d} is missing: the next one is {migration.name}")
    return ordered


def migrate(client: Client, migrations: Sequence[Migration], cluster: str | None) -> list[str]:
    """Run what has not run yet, and give the names.

    Args:
        client: of the database that holds, or will hold, the tables.
        migrations: all of them, in order.
        cluster: name of the ClickHouse cluster on which tables are replicated; None for a single server.

    Raises:
        SchemaError: a migration was changed after it ran, or one before it never ran.
    """
    for text in moved_tables(client, cluster):
        client.command(text)
    client.command(filled(_CREATE_LOG, cluster))
    applied = []
    for migration in pending(client, migrations):
        for statement in migration.statements(cluster):
            statement.run(client, cluster)
        client.insert(
            "schema_migrations",
            [(migration.version, migration.name, migration.checksum)],
            column_names=["version", "name", "checksum"],
            settings={"async_insert": 0},
        )
        applied.append(migration.name)
    if applied:
        for text in distributed_tables(client, cluster):
            client.command(text)
    return applied


def is_behind(client: Client, migrations: Sequence[Migration], cluster: str | None) -> bool:
    """Whether `migrate` has something to do.

    Raises:
        SchemaError: a migration was changed after it ran, or one before it never ran.
    """
    return bool(moved_tables(client, cluster) or _waiting(client, migrations))


def verify(client: Client, migrations: Sequence[Migration]) -> None:
    """Check that the tables are those that this version needs, and change nothing.

    Raises:
        SchemaError: migrations are pending, were changed, or are missing.
    """
    waiting = _waiting(client, migrations)
    if waiting:
        raise SchemaError(f"{waiting[0].name} has not run: run `python -m metering.migrate` first")


def pending(client: Client, migrations: Sequence[Migration]) -> list[Migration]:
    """Compare what ran with what is known, and give what is left to run.

    Versions beyond the last known one are left alone: this is an older instance during an update.

    Raises:
        SchemaError: a migration was changed after it ran, or one before it never ran.
    """
    rows = client.query("SELECT version, name, checksum FROM schema_migrations FINAL ORDER BY version").result_rows
    ran = {version: (name, checksum) for version, name, checksum in rows}
    for expected, version in enumerate(sorted(ran), start=1):
        if version != expected:
            raise SchemaError(f"migration {expected:04d} never ran on this database, but {ran[version][0]} did")
    for migration in migrations:
        if migration.version in ran and ran[migration.version][1] != migration.checksum:
            raise SchemaError(
                f"{migration.name} was changed after it ran on this database: restore it and add a new migration instead"
            )
    return [migration for migration in migrations if migration.version not in ran]


def _waiting(client: Client, migrations: Sequence[Migration]) -> list[Migration]:
    """What is pending, also where no migration ever ran."""
    exists = client.query(
        "SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"
    )
    return pending(client, migrations) if exists.result_rows else list(migrations)


def _statement(part: str, cluster: str | None) -> Statement:
    if not part.startswith(_UNLESS):
        return Statement(filled(part, cluster))
    condition, _, text = part.partition("\n")
    return Statement(filled(text, cluster), filled(condition.removeprefix(_UNLESS).strip(), cluster))
