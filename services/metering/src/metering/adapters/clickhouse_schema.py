"""Brings the tables to the version that this code needs, one numbered file after the other.

Every statement can be repeated (`IF NOT EXISTS`): ClickHouse has no transaction around DDL, so a file that was
interrupted, or that two instances run at once, runs again as a whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from clickhouse_connect.driver.client import Client

from metering.domain.errors import SchemaError

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_CREATE_LOG = """
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

    def statements(self, cluster: str | None) -> list[str]:
        """The statements, which end in a semicolon at the end of a line, for one server or for a cluster."""
        lines = [line for line in self.text.splitlines() if not line.lstrip().startswith("--")]
        parts = "\n".join(lines).split(";\n")
        return [_fill(part.strip().removesuffix(";"), cluster) for part in parts if part.strip()]


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
    client.command(_fill(_CREATE_LOG, cluster))
    applied = []
    for migration in pending(client, migrations):
        for statement in migration.statements(cluster):
            client.command(statement)
        client.insert(
            "schema_migrations",
            [(migration.version, migration.name, migration.checksum)],
            column_names=["version", "name", "checksum"],
            settings={"async_insert": 0},
        )
        applied.append(migration.name)
    return applied


def verify(client: Client, migrations: Sequence[Migration]) -> None:
    """Check that the tables are those that this version needs, and change nothing.

    Raises:
        SchemaError: migrations are pending, were changed, or are missing.
    """
    exists = client.query(
        "SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"
    )
    waiting = pending(client, migrations) if exists.result_rows else list(migrations)
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


def _fill(statement: str, cluster: str | None) -> str:
    on_cluster = "ON CLUSTER " + _quoted(cluster) if cluster else ""
    return statement.replace("{on_cluster}", on_cluster).replace("{engine_prefix}", "Replicated" if cluster else "")


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
