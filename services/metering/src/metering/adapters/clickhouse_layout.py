"""The same tables on one server and on a cluster.

A migration names a table once. On one server it is that table. On a cluster, rows are spread over shards by who they belong
to, so that all versions of an event are on one shard and FINAL sees them together: `<name>_local` is the part of a shard,
replicated within it, and `<name>` is all of them (`Distributed`), which is what every statement of this service reads and
writes. What is small and needed whole is on every node of the cluster, replicated to all.

Nodes need the usual macros `{shard}` and `{replica}`.
"""

from __future__ import annotations

import re
from typing import Final

from clickhouse_connect.driver.client import Client

# By table: where a row belongs.
SHARDED: Final = {
    "usage_events": "cityHash64(org_id)",
    "usage_events_by_month": "cityHash64(org_id)",
    "usage_hours": "cityHash64(org_id)",
    "usage_days": "cityHash64(org_id)",
    "key_days": "cityHash64(org_id)",
    "kind_days": "cityHash64(org_id)",
    "user_days": "cityHash64(org_id)",
    "session_days": "cityHash64(session)",
    "endpoint_minutes": "cityHash64(endpoint_id)",
}
# A write that was answered is on its shard, and a question about one organisation goes to its shard only.
CLUSTER_SETTINGS: Final = {"distributed_foreground_insert": 1, "optimize_skip_unused_shards": 1}

_SHARDED_NAME: Final = re.compile(rf"\b({'|'.join(SHARDED)})\b")
_ENGINE: Final = "{engine_prefix}ReplacingMergeTree("
_EVERYWHERE: Final = "ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/all', '{shard}-{replica}', "


def copies_rows(statement: str) -> bool:
    """Whether a statement of a migration copies rows: from all shards to all shards, where there are shards."""
    return statement.startswith("INSERT ")


def filled(statement: str, cluster: str | None) -> str:
    """Fill `{on_cluster}` and `{engine_prefix}` in, and on a cluster name the parts of shards, unless rows are copied."""
    if cluster is None:
        return statement.replace("{on_cluster}", "").replace("{engine_prefix}", "")
    if copies_rows(statement):
        return statement
    local = _SHARDED_NAME.sub(r"\1_local", statement)
    engine = "ReplicatedReplacingMergeTree(" if local != statement else _EVERYWHERE
    return local.replace(_ENGINE, engine).replace("{on_cluster}", _on(cluster))


def distributed_tables(client: Client, cluster: str | None, statement: str | None = None) -> list[str]:
    """The statements that make the tables over all shards, with the columns that their parts have now.

    Args:
        client: of the database.
        cluster: its name; without one there are no shards.
        statement: only the tables that it names.
    """
    if cluster is None:
        return []
    database = client.query("SELECT currentDatabase()").result_rows[0][0]
    rows = client.query("SELECT name FROM system.tables WHERE database = currentDatabase()").result_rows
    parts = {str(row[0]) for row in rows}
    named = SHARDED if statement is None else set(_SHARDED_NAME.findall(statement))
    return [
        distributed_table(name, cluster, database) for name in SHARDED if name in named and f"{name}_local" in parts
    ]


def distributed_table(name: str, cluster: str, database: str) -> str:
    """The statement that makes the table over all shards. It holds no rows, so it can be made anew at any time."""
    return (
        f"CREATE OR REPLACE TABLE {name} {_on(cluster)} AS {name}_local "
        f"ENGINE = Distributed({_text(cluster)}, {_text(database)}, {_text(name + '_local')}, {SHARDED[name]})"
    )


def moved_tables(client: Client, cluster: str | None) -> list[str]:
    """The statements that give tables of before there were shards the names of parts of shards."""
    if cluster is None:
        return []
    rows = client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND has({names:Array(String)}, name)"
        " AND startsWith(engine, 'Replicated')",
        {"names": list(SHARDED)},
    ).result_rows
    return [f"RENAME TABLE {name} TO {name}_local {_on(cluster)}" for name in sorted(str(row[0]) for row in rows)]


def _on(cluster: str) -> str:
    return "ON CLUSTER `" + cluster.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
