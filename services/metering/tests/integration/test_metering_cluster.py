"""The tables of a cluster: every statement is one, and answers through tables over shards are those of one server."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from metering.adapters.clickhouse_layout import SHARDED, distributed_table
from metering.adapters.clickhouse_schema import packaged_migrations

ODD_NAME = "main`; x"
PROGRAM = Path(__file__).with_name("cluster_program.py")
# A cluster of this process: it takes the port for its own, so that nothing is connected to.
CONFIG = """
<clickhouse>
  <tcp_port>9000</tcp_port>
  <remote_servers><default><shard>
    <internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>9000</port></replica>
  </shard></default></remote_servers>
</clickhouse>
"""


def test_every_statement_of_a_cluster_is_one_that_the_engine_reads(engine: Any) -> None:
    texts = [statement.text for each in packaged_migrations() for statement in each.statements(ODD_NAME)]
    texts += [distributed_table(name, ODD_NAME, "it's") for name in SHARDED]
    for text in texts:
        assert engine.client.query("EXPLAIN AST " + text).result_rows, text


def test_on_a_cluster_tables_are_made_everywhere_and_replicated() -> None:
    for migration in packaged_migrations():
        for alone, replicated in zip(migration.statements(None), migration.statements(ODD_NAME), strict=True):
            assert "ON CLUSTER" not in alone.text
            assert "Replicated" not in alone.text
            assert "_local" not in alone.text + alone.unless
            if alone.text.startswith("INSERT"):
                assert replicated.text == alone.text  # from all shards to all shards
                continue
            assert r"ON CLUSTER `main\`; x`" in replicated.text
            if "CREATE TABLE" not in alone.text:
                continue
            name = alone.text.split()[5]
            if name in SHARDED:
                # Its own place for each shard, by default.
                assert f"CREATE TABLE IF NOT EXISTS {name}_local " in replicated.text
                assert "ENGINE = ReplicatedReplacingMergeTree(" in replicated.text
                assert "/all" not in replicated.text
            else:
                assert f"CREATE TABLE IF NOT EXISTS {name} " in replicated.text
                assert (
                    "ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/all', '{shard}-{replica}', "
                    in replicated.text
                )


async def run(folder: Path, *config: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        str(folder),
        *config,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-2_000:]
    document: dict[str, Any] = json.loads(out)
    return document


@pytest.mark.timeout(300)
async def test_answers_through_tables_over_shards_are_those_of_one_server(tmp_path: Path) -> None:
    config = tmp_path / "engine.xml"
    config.write_text(CONFIG)
    alone, cluster = await run(tmp_path / "alone"), await run(tmp_path / "cluster", str(config))
    for name in SHARDED:
        assert alone["engines"][name] == "ReplacingMergeTree"
        if name != "usage_events_by_month":
            assert (cluster["engines"][name], cluster["engines"][name + "_local"]) == (
                "Distributed",
                "ReplacingMergeTree",
            )
    assert alone["kept"] == cluster["kept"] == 40
    assert all(alone["answers"].values())
    assert cluster["answers"] == alone["answers"]
