"""Everything that a run of the stack leaves behind or shows to operators, as bytes by the name of the place."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import asyncpg
from confluent_kafka import Consumer, KafkaError, TopicPartition

from e2e_support.stack import ROOT, Stack

Surfaces = dict[str, bytes]
SERVICES = ("edge", "router", "accounts", "metering", "health-prober", "broadcast")
# Where the stack keeps its secrets and those of its user: closed to others, see docs/local-stack.md.
_SAFES = frozenset({"secrets", "provider-keys", "credentials.json", "run.json"})


def metrics(stack: Stack) -> Surfaces:
    """What each service says of itself on its admin port."""
    found: Surfaces = {}
    for name in SERVICES:
        with urllib.request.urlopen(f"{stack.admin_url(name)}/metrics", timeout=10) as answer:
            found[f"metrics of {name}"] = answer.read()
    return found


def command_lines(stack: Stack) -> Surfaces:
    """How each process was started; every user of a machine can read it."""
    return {
        f"command line of {name}": Path(f"/proc/{process['pid']}/cmdline").read_bytes()
        for name, process in stack.run["processes"].items()
    }


async def tables(stack: Stack) -> Surfaces:
    """Every row of every table of PostgreSQL, and the statements that its sessions ran last."""
    database = await asyncpg.connect(stack.run["postgres_dsn"])
    found: Surfaces = {}
    try:
        await database.execute("SELECT set_config('turnpike.org_id', '*', false)")
        names = await database.fetch(
            """
            SELECT table_schema AS schema, table_name AS name FROM information_schema.tables
            WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')
            """
        )
        for row in names:
            out = io.BytesIO()
            await database.copy_from_table(row["name"], schema_name=row["schema"], output=out)
            found[f"table {row['name']}"] = out.getvalue()
        queries = await database.fetch("SELECT query FROM pg_stat_activity")
        found["statements of PostgreSQL"] = "\n".join(str(row["query"]) for row in queries).encode()
    finally:
        await database.close()
    return found


def records(bootstrap: str) -> Surfaces:
    """Every record of every topic, with its key and its headers."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "canaries", "enable.partition.eof": True, "log_level": 3}
    )
    found: Surfaces = {}
    try:
        for name, topic in consumer.list_topics(timeout=10).topics.items():
            found[f"topic {name}"] = b"\n".join(_records_of(consumer, name, list(topic.partitions)))
    finally:
        consumer.close()
    return found


def _records_of(consumer: Consumer, topic: str, partitions: list[int]) -> Iterator[bytes]:
    """What the topic has now. Kafka never tells the end of a partition that is written to all the time."""
    ends = {
        number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1] for number in partitions
    }
    left = {number for number, end in ends.items() if end > 0}
    consumer.assign([TopicPartition(topic, number, 0) for number in left])
    while left:
        message = consumer.poll(30)
        assert message is not None, f"{topic} does not end"
        error, number = message.error(), int(message.partition() or 0)
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            left.discard(number)
            continue
        if int(message.offset() or 0) + 1 >= ends[number]:
            left.discard(number)
        yield message.key() or b""
        yield message.value() or b""
        yield repr(message.headers()).encode()


def logs(stack: Stack) -> Surfaces:
    """What every process wrote, and what the stack itself showed but for the key, which it shows to whoever starts it."""
    found = {f"log {path.name}": path.read_bytes() for path in (stack.state_dir / "logs").iterdir()}
    shown = stack.state_dir.parent / f"{stack.state_dir.name}.out"
    found["what the stack shows"] = b"\n".join(
        line for line in shown.read_bytes().splitlines() if b"API key " not in line and not line.startswith(b"curl ")
    )
    return found


def files(stack: Stack) -> Surfaces:
    """Every file below the state directory but those that are there for secrets: spool, snapshots, the databases' own files.

    A node of Kafka keeps its topics there as they are, and `records` has them.
    """
    return {
        f"file {path.relative_to(stack.state_dir)}": path.read_bytes()
        for path in stack.state_dir.rglob("*")
        if path.is_file() and path.relative_to(stack.state_dir).parts[0] not in {*_SAFES, "logs", "kafka"}
    }


_SCRIPT = """
import json, sys
import clickhouse_connect
client = clickhouse_connect.get_client(dsn=json.load(sys.stdin)["dsn"])
found = {}
tables = "SELECT database, name FROM system.tables WHERE engine LIKE '%MergeTree%' OR name LIKE '%\\\\_log'"
for database, table in client.query(tables).result_rows:
    columns = client.query(
        "SELECT name FROM system.columns WHERE database = {d:String} AND table = {t:String} AND type NOT LIKE 'AggregateFunction%'",
        parameters={"d": database, "t": table},
    ).result_rows
    names = ", ".join(f"toString(`{name}`)" for name, in columns)
    rows = client.query(f"SELECT {names} FROM `{database}`.`{table}`").result_rows
    found[f"{database}.{table}"] = "\\n".join("\\t".join(str(value) for value in row) for row in rows)
json.dump(found, sys.stdout)
"""


def clickhouse(stack: Stack) -> Surfaces:
    """Every row of every table of ClickHouse. One process may have the folder open, so the stack must be down."""
    question = json.dumps({"dsn": f"chdb://{stack.state_dir / 'clickhouse'}"})
    answer = subprocess.run(
        (sys.executable, "-c", _SCRIPT),
        input=question,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=ROOT,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    rows: Mapping[str, str] = json.loads(answer.stdout)
    return {f"ClickHouse {name}": text.encode() for name, text in rows.items()}
