"""B10: closed hours say the same in the ledger and in ClickHouse, and what does not is found to the nano-dollar.

Real PostgreSQL, a real engine of ClickHouse, both services' own gRPC, and the command that people run.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import clickhouse_connect
import grpc
import pytest
from aiokafka import AIOKafkaProducer
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.key_store import PostgresKeyStore
from accounts.adapters.postgres.org_store import PostgresOrgStore
from accounts.adapters.postgres.reconciliation_store import PostgresReconciliationStore
from accounts.adapters.postgres.settlement_store import PostgresSettlementStore
from accounts.adapters.postgres.suspense_store import PostgresSuspenseStore
from accounts.api.reconciliation_service import ReconciliationServicer as LedgerServicer
from accounts.api.suspense_service import SuspenseServicer
from accounts.domain.accounts import KeyKind
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.suspended_usage import SuspendedUsage
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.topics import USAGE
from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_reconciliation import ClickHouseReconciliation
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.adapters.ledger_client import GrpcLedger
from metering.api.reconciliation_service import ReconciliationServicer as UsageServicer
from metering.convert import usage_row_from_proto
from metering.domain.batch import BatchPlan, Span
from metering.domain.usage import UnixMs
from metering.reconciler import Reconciler, Schedule
from metering.testing.engine import engine_path
from servicekit.clock import SystemClock
from servicekit.failpoints import Failpoints
from servicekit.grpc_client import open_channel
from servicekit.grpc_server import GrpcServer
from servicekit.kafka import TopicPartition
from servicekit.settings import GrpcServerSettings
from servicekit.testing import ManualClock, RecordingTelemetry, kafka_broker, make_runtime, running
from turnpike.accounts.v1.reconciliation_service_pb2_grpc import (
    add_ReconciliationServiceServicer_to_server as add_ledger,
)
from turnpike.accounts.v1.suspense_service_pb2_grpc import add_SuspenseServiceServicer_to_server
from turnpike.metering.v1.reconciliation_service_pb2_grpc import (
    add_ReconciliationServiceServicer_to_server as add_usage,
)
from turnpike.usage.v1 import usage_event_pb2 as usage_pb
from turnpike_bench.postgres import RunningPostgres, running_postgres

PARTITION = TopicPartition(USAGE.name, 0)
# The ledger cannot be emptied: each test has a day of its own.
DAYS = itertools.count(1)
SCHEDULE = Schedule(interval=timedelta(hours=1), period=timedelta(hours=6), settling=timedelta(minutes=15))


@dataclass
class Books:
    """Both books, and ways to write to them."""

    ledger_at: str
    usage_at: str
    reconciler: Reconciler
    telemetry: RecordingTelemetry
    sql: asyncpg.Connection
    clickhouse: Any
    customers: list[tuple[UUID, UUID]]
    settlement: Settlement
    log: ClickHouseUsageLog
    noon: datetime
    offset: int = 0

    @property
    def end(self) -> datetime:
        """Of the period that is compared, six hours long."""
        return self.noon + timedelta(hours=2)

    async def settle(self, *events: usage_pb.UsageEvent) -> None:
        """Settle events, as from Kafka."""
        await self.settlement.handle("c1", PARTITION, usage_records(events, first=self.offset))
        self.offset += len(events)

    async def store(self, *events: usage_pb.UsageEvent) -> None:
        """Insert events into ClickHouse."""
        plan = BatchPlan("c1", USAGE.name, (Span(0, self.offset, self.offset + len(events)),), UnixMs(self.offset))
        await self.log.append(plan, [usage_row_from_proto(event) for event in events])
        self.offset += len(events) + 1

    async def reconcile(self, *arguments: str) -> tuple[int, Any]:
        """Run the command: its exit code and document."""
        code, output = await self.turnpike(
            "reconcile", "--json", "--metering", self.usage_at, "--hours", "6", "--until",
            f"{self.end:%Y-%m-%dT%H:%M:%SZ}", *arguments,
        )  # fmt: skip
        return code, json.loads(output)

    async def turnpike(self, *arguments: str) -> tuple[int, str]:
        """Run the command: its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "turnpike_cli", *arguments, "--accounts", self.ledger_at,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return int(process.returncode or 0), output.decode()


@pytest.fixture(scope="module")
def clickhouse() -> Any:
    """A client of this process's engine, with a database of this module."""
    client = clickhouse_connect.get_client(dsn=f"chdb://{engine_path()}")
    client.command("CREATE DATABASE IF NOT EXISTS books")
    yield client
    client.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[RunningPostgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
async def books(clickhouse: Any, postgres: RunningPostgres) -> AsyncIterator[Books]:
    clickhouse.command("DROP DATABASE books SYNC")
    clickhouse.command("CREATE DATABASE books")
    noon = datetime(2026, 11, next(DAYS), 12, tzinfo=UTC)
    clock, telemetry = ManualClock(noon + timedelta(hours=2, minutes=20)), RecordingTelemetry()
    database = postgres.database()
    audit, settling = PostgresAuditLog(database, b"a secret of tests"), PostgresSettlementStore(database, Failpoints())
    log = ClickHouseUsageLog(
        f"chdb://{engine_path()}?database=books", SystemClock(), CallLimits(), cluster=None, may_migrate=True
    )
    usage = ClickHouseReconciliation(log.calls)

    def serve_ledger(server: grpc.aio.Server) -> list[str]:
        add_ledger(LedgerServicer(PostgresReconciliationStore(database)), server)
        suspended = SuspendedUsage(PostgresSuspenseStore(database, audit, settling), SystemClock())
        add_SuspenseServiceServicer_to_server(SuspenseServicer(suspended), server)
        return []

    def serve_usage(server: grpc.aio.Server) -> list[str]:
        add_usage(UsageServicer(usage), server)
        return []

    runtime = make_runtime()
    servers = [GrpcServer(GrpcServerSettings(), runtime, serve) for serve in (serve_ledger, serve_usage)]
    sql = await asyncpg.connect(postgres.owner_dsn)
    async with running(database, log, *servers):
        targets = [f"127.0.0.1:{server.port}" for server in servers]
        async with open_channel(targets[0], runtime) as to_ledger:
            reconciler = Reconciler(
                usage, GrpcLedger(to_ledger), clock, telemetry.meter, SCHEDULE, is_in_charge=lambda: True
            )
            settlement = Settlement(
                settling,
                SystemClock(),
                NoOpTracerProvider().get_tracer("test"),
                NoOpMeterProvider().get_meter("test"),
                Failpoints(),
            )
            identity = Identity(
                PostgresKeyStore(database, audit), PostgresOrgStore(database, audit), SystemClock(), Random(), b"p" * 32
            )
            customers = []
            for _ in range(2):
                org = await identity.create_org("Test")
                key, _ = await identity.create_key(str(org.org_id), "key", KeyKind.INFERENCE, None, None, "")
                customers.append((org.org_id, key.key_id))
            yield Books(
                targets[0], targets[1], reconciler, telemetry, sql, clickhouse, customers, settlement, log, noon
            )
    await sql.close()


def some_events(books: Books) -> list[usage_pb.UsageEvent]:
    """Usage of two organisations in three hours, with an estimate that final figures replace, and one that never ended."""
    make = UsageEvents(Random(books.noon.day))
    events = [
        make(
            *books.customers[number % 2],
            prompt=number,
            completion=3 * number,
            ended_at=books.noon + timedelta(minutes=6 * number - 50),
        )
        for number in range(1, 27)
    ]
    for number, event in enumerate(events):
        event.upstream_id = f"up-{number}"
    early = make(
        *books.customers[1], rank=2, completion=900, generation_id=events[4].generation_id, ended_at=books.noon
    )
    never = make(*books.customers[1], rank=1, ended_at=books.noon)
    never.status = usage_pb.GENERATION_STATUS_FAILED
    for member in ("price", "usage", "attempts", "provider", "endpoint_id", "cost_nano_usd", "provider_cost_nano_usd"):
        never.ClearField(member)
    early.started_at.CopyFrom(events[4].started_at)
    return [early, *events, never]


async def test_b10_closed_hours_say_the_same_in_the_ledger_and_in_clickhouse(books: Books) -> None:
    events = some_events(books)
    await books.settle(*events)
    await books.store(*events)
    await books.store(*events[5:9])  # again, in another batch: each counts once
    code, found = await books.reconcile()
    assert (code, found["agrees"], found["differences"]) == (0, True, [])
    assert (found["generations"], found["unreconciled"]) == (27, 1)
    charged = sum(event.cost_nano_usd for event in events[1:])
    assert found["charged_nano_usd"] == str(charged)
    assert (found["clearing"], found["agreed_until"]) == (1.0, books.end.isoformat())

    by_schedule = await books.reconciler.reconcile()
    assert by_schedule.agrees
    assert (by_schedule.volume, by_schedule.events) == (charged, 27)
    assert books.telemetry.metric("metering.reconciliation.clearing") == 1.0
    assert books.telemetry.metric("metering.reconciliation.explainability") == 1 - 1 / 27
    assert books.telemetry.metric("metering.reconciliation.timeliness") == 20 * 60
    assert books.telemetry.metric("metering.reconciliation.differences") == 0


async def test_b10_a_figure_that_is_wrong_by_a_nano_dollar_is_found_wherever_it_is(books: Books) -> None:
    events = some_events(books)
    await books.settle(*events)
    missing, dearer = events[7], events[20]
    wrong = usage_pb.UsageEvent.FromString(dearer.SerializeToString())
    wrong.cost_nano_usd += 1
    await books.store(*[wrong if event is dearer else event for event in events if event is not missing])
    forged = events[12]
    await books.sql.execute(
        "INSERT INTO ledger_entries (cause_id, org_id, debit, credit, nano, price_version, reason, posted_at)"
        " VALUES ($1, $2, $3, 'revenue:usage', 5, 'pv_test', 'usage', now())",
        UUID(forged.event_id), UUID(forged.org_id), f"customer:{forged.org_id}",
    )  # fmt: skip
    code, found = await books.reconcile()
    assert (code, found["agrees"]) == (1, False)
    apart = {
        (each["org_id"], each["hour"]): (
            int(each["ledger_nano_usd"]),
            int(each["settled_nano_usd"]),
            int(each["usage_nano_usd"]),
        )
        for each in found["differences"]
    }
    hours = {
        (event.org_id, event.ended_at.ToDatetime(UTC).replace(minute=0, second=0).isoformat())
        for event in (missing, dearer, forged)
    }
    assert set(apart) == hours
    assert sum(ledger - settled for ledger, settled, _ in apart.values()) == 5
    assert sum(usage - settled for _, settled, usage in apart.values()) == 1 - missing.cost_nano_usd
    listed = {row["generation_id"]: row for each in found["differences"] for row in each["generations"]}
    assert set(listed) == {missing.generation_id, dearer.generation_id, forged.generation_id}
    row = listed[forged.generation_id]
    assert row["entered_nano_usd"] - 5 == row["ledger_nano_usd"] == row["usage_nano_usd"] == forged.cost_nano_usd
    assert listed[missing.generation_id]["usage_nano_usd"] is None
    assert listed[dearer.generation_id]["usage_nano_usd"] == dearer.cost_nano_usd + 1

    by_schedule = await books.reconciler.reconcile()
    assert len(by_schedule.differences) == len(hours)
    assert by_schedule.agreed_until == min(each.group.hour for each in by_schedule.differences)
    assert 0 < by_schedule.clearing < 1
    assert books.telemetry.metric("metering.reconciliation.differences") == len(hours)


async def test_b10_an_entry_without_an_event_and_an_event_that_is_gone_are_found_and_the_topic_says_which_is_right(
    books: Books,
) -> None:
    events = some_events(books)
    await books.settle(*events)
    await books.store(*events)
    gone, cause = events[9], uuid4()
    books.clickhouse.command(f"DELETE FROM books.usage_events WHERE event_id = '{gone.event_id}'")
    await books.sql.execute(
        "INSERT INTO ledger_entries (cause_id, org_id, debit, credit, nano, price_version, reason, posted_at)"
        " VALUES ($1, $2, $3, 'revenue:usage', 5, 'pv_forged', 'fee', $4)",
        cause, UUID(gone.org_id), f"customer:{gone.org_id}", books.noon + timedelta(minutes=59),
    )  # fmt: skip
    with kafka_broker() as broker:
        await publish(broker.bootstrap, [*events, events[3], None])
        code, found = await books.reconcile("--recount", broker.bootstrap)
    assert code == 1
    by_version = {each["price_version"]: each for each in found["differences"]}
    assert set(by_version) == {"pv_test", "pv_forged"}
    forged = by_version["pv_forged"]
    assert (forged["hour"], forged["ledger_nano_usd"], forged["settled_nano_usd"]) == (books.noon.isoformat(), "5", "0")
    (row,) = forged["generations"]
    assert (row["event_id"], row["generation_id"], row["entered_nano_usd"]) == (str(cause), "", 5)
    (row,) = by_version["pv_test"]["generations"]
    assert (row["generation_id"], row["usage_nano_usd"]) == (gone.generation_id, None)
    # The topic has what ClickHouse lost, and nothing of what was forged.
    recount = found["recount"]
    assert (recount["records"], recount["set_aside"], recount["generations"]) == (len(events) + 2, 1, 27)
    assert [(each["price_version"], each["topic_generations"]) for each in recount["differences"]] == [("pv_forged", 0)]

    by_schedule = await books.reconciler.reconcile()
    assert len(by_schedule.differences) == 2


async def publish(bootstrap: str, events: Sequence[usage_pb.UsageEvent | None]) -> None:
    """Put events on the usage topic; None is a record that is none."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    for event in events:
        value = b"\xff" if event is None else event.SerializeToString()
        await producer.send_and_wait(USAGE.name, value, key=b"org")
    await producer.stop()


async def test_an_invoice_is_compared_by_the_providers_ids_within_a_tolerance(books: Books, tmp_path: Path) -> None:
    events = [event for event in some_events(books) if event.provider]
    await books.settle(*events)
    await books.store(*events)
    due = {event.upstream_id: event.provider_cost_nano_usd for event in events if event.upstream_id}
    # One line is missing, one is dearer, one is about something that nobody asked for.
    lines = {**due, "up-3": due["up-3"] * 2, "up-9": due["up-9"] + 1, "stranger": 1_000}
    del lines["up-5"]
    invoice = tmp_path / "invoice.csv"
    text = "".join(f"{name},{nano / 10**9:.9f}\n" for name, nano in lines.items())
    invoice.write_text("ID,Cost_USD,note\n".replace(",note", "") + text)
    code, found = await books.reconcile("--invoice", f"local-a={invoice}", "--tolerance", "1")
    wrong = {
        each["upstream_id"]: (each["invoiced_nano_usd"], each["booked_nano_usd"])
        for each in found["invoices"]["local-a"]
    }
    assert code == 1
    assert wrong == {
        "up-3": (str(2 * due["up-3"]), str(due["up-3"])),
        "up-5": (None, str(due["up-5"])),
        "stranger": ("1000", None),
    }
    invoice.write_text("id,cost\n" + "".join(f"{name},{nano / 10**9:.9f}\n" for name, nano in due.items()))
    code, found = await books.reconcile("--invoice", f"local-a={invoice}")
    assert (code, found["invoices"]) == (0, {"local-a": []})


async def test_what_cannot_be_priced_is_listed_and_resolved_by_the_command(books: Books) -> None:
    make = UsageEvents(Random(books.noon.day))
    bad = [make(*books.customers[0], ended_at=books.noon) for _ in range(3)]
    for event in bad:
        event.usage.MergeFromString(b"\xf8\x07\x05")
    await books.settle(*bad)
    code, found = await books.reconcile()
    assert (code, found["agrees"], found["generations"]) == (0, True, 0)
    listed = {each["generation_id"]: each for each in found["suspended"]}
    assert {name: each["held_nano_usd"] for name, each in listed.items()} == {
        event.generation_id: {"local-a": "7000"} for event in bad
    }
    accepted, borne, still = (listed[event.generation_id]["suspense_id"] for event in bad)
    note = ("--note", "the provider's letter")
    code, said = await books.turnpike(
        "suspense", "accept", accepted, "--price", "prompt=0.0000001", "--price", "request=0.000002", "--count",
        "prompt=10", *note,
    )  # fmt: skip
    assert (code, said) == (0, f"accepted: {bad[0].generation_id} is charged at $0.000003\n")
    assert await books.turnpike("suspense", "write-off", borne, *note) == (
        0,
        "written off: $0.000007 that nobody is charged\n",
    )
    code, said = await books.turnpike("suspense", "void", borne, *note)
    assert (code, said) == (1, "turnpike: the usage is no longer in suspense: it was written off\n")
    # Both count what was accepted, once metering has heard of it.
    told = usage_pb.UsageEvent.FromString(
        await books.sql.fetchval("SELECT record_value FROM outbox WHERE topic = $1", USAGE.name)
    )
    await books.store(told)
    code, found = await books.reconcile()
    assert (code, found["charged_nano_usd"]) == (0, "3000")
    assert [(each["suspense_id"], each["state"]) for each in found["suspended"]] == [(still, "open")]
