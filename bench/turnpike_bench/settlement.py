"""`python -m turnpike_bench.settlement`: what settling a usage event costs, from the bytes in Kafka to the commit."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider
from sqlalchemy import text

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_store import PostgresKeyStore
from accounts.adapters.postgres.org_store import PostgresOrgStore
from accounts.adapters.postgres.settlement_store import PostgresSettlementStore
from accounts.domain.accounts import KeyKind
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.topics import USAGE
from servicekit.clock import SystemClock
from servicekit.failpoints import Failpoints
from servicekit.kafka import Record, TopicPartition
from turnpike_bench.postgres import RunningPostgres, running_postgres

PEPPER = b"a pepper of at least thirty-two bytes"
CREDIT = 10**15
WANTED_PER_S = 20_000
"""Events a second on one core."""


@dataclass(frozen=True)
class SettlementCost:
    """What a batch size costs: events, and microseconds an event of wall time and of CPU here and in PostgreSQL."""

    orgs: int
    batch: int
    events: int
    wall_us: float
    accounts_us: float
    postgres_us: float

    @property
    def per_core(self) -> float:
        """Events a second that one core of accounts settles."""
        return 1e6 / self.accounts_us


async def _customers(database: Database, orgs: int, random: Random) -> list[tuple[UUID, UUID]]:
    audit = PostgresAuditLog(database, PEPPER)
    identity = Identity(
        PostgresKeyStore(database, audit), PostgresOrgStore(database, audit), SystemClock(), random, PEPPER
    )
    made = []
    for _ in range(orgs):
        org = await identity.create_org("Bench")
        await identity.grant_credit(str(org.org_id), CREDIT, "first", "bench")
        # With a limit, so that what it spent is published: the dearer case.
        key, _ = await identity.create_key(str(org.org_id), "key", KeyKind.INFERENCE, CREDIT, None, "")
        made.append((org.org_id, key.key_id))
    return made


def _records(customers: Sequence[tuple[UUID, UUID]], count: int, random: Random) -> list[Record]:
    make = UsageEvents(random)
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    events = [
        make(
            *random.choice(customers),
            prompt=random.randint(1, 4_000),
            completion=random.randint(1, 2_000),
            provider=random.choice(("local-a", "local-b", "local-c")),
            ended_at=noon + timedelta(milliseconds=number),
        )
        for number in range(count)
    ]
    return usage_records(events, headers={"ce_id": "x", "ce_type": "turnpike.usage.v1"})


async def measure(server: RunningPostgres, *, orgs: int, batch: int, events: int) -> SettlementCost:
    """Settle made-up events in batches of one size, one after the other, as one consumer of one partition does."""
    database = server.database()
    await database.start()
    try:
        random = Random(batch)
        customers = await _customers(database, orgs, random)
        settlement = Settlement(
            PostgresSettlementStore(database, Failpoints()),
            SystemClock(),
            NoOpTracerProvider().get_tracer("bench"),
            NoOpMeterProvider().get_meter("bench"),
            Failpoints(),
        )
        partition = TopicPartition(USAGE.name, 0)
        await settlement.handle("warm", partition, _records(customers, batch, random))
        records = _records(customers, events, random)
        postgres, cpu, wall = server.cpu_seconds(), time.process_time(), time.perf_counter()
        for at in range(0, events, batch):
            await settlement.handle("bench", partition, records[at : at + batch])
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        postgres = server.cpu_seconds() - postgres
        await _check(database, events + batch)
        return SettlementCost(orgs, batch, events, *(each / events * 1e6 for each in (wall, cpu, postgres)))
    finally:
        await database.stop(timedelta(seconds=5))


async def _check(database: Database, events: int) -> None:
    async with database.installation_transaction() as connection:
        settled = (await connection.execute(text("SELECT count(*) FROM settled_events"))).scalar_one()
    if settled < events:
        raise RuntimeError(f"{settled} events are settled, and not {events}")


def table(costs: Sequence[SettlementCost]) -> str:
    """Show the costs."""
    lines = [f"{'orgs':>7}{'batch':>8}{'wall µs':>10}{'accounts µs':>13}{'PostgreSQL µs':>15}{'events/s a core':>17}"]
    lines += [
        f"{each.orgs:>7}{each.batch:>8}{each.wall_us:>10.1f}{each.accounts_us:>13.1f}{each.postgres_us:>15.1f}"
        f"{each.per_core:>17,.0f}"
        for each in costs
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m turnpike_bench.settlement", description=__doc__)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--batch", type=int, action="append", help="events in a transaction; may be repeated")
    parser.add_argument("--orgs", type=int, default=200)
    arguments = parser.parse_args()
    with running_postgres() as server:
        costs = [
            asyncio.run(measure(server, orgs=arguments.orgs, batch=batch, events=arguments.events))
            for batch in arguments.batch or (500, 2_000)
        ]
    print(table(costs))
    return 0 if max(cost.per_core for cost in costs) >= WANTED_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
