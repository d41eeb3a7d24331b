"""`python -m turnpike_bench.settlement`: what settling a usage event costs, from the bytes in Kafka to the commit."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import yaml
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider
from sqlalchemy import text

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_store import PostgresKeyStore
from accounts.adapters.postgres.org_store import PostgresOrgStore
from accounts.adapters.postgres.price_store import PostgresPriceStore
from accounts.adapters.postgres.settlement_store import PostgresSettlementStore
from accounts.adapters.postgres.suspense_store import PostgresSuspenseStore
from accounts.domain.accounts import KeyKind
from accounts.identity import Identity
from accounts.price_book import PriceBook
from accounts.settlement import Settlement
from accounts.suspended_usage import SuspendedUsage
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.catalog import Catalog, parse_catalog
from contracts.topics import USAGE
from servicekit.clock import SystemClock
from servicekit.failpoints import Failpoints
from servicekit.garbage import collect_rarely
from servicekit.kafka import Record, TopicPartition
from servicekit.watched_files import WatchedFiles
from turnpike_bench.postgres import RunningPostgres, running_postgres

PROVIDERS = ("local-a", "local-b", "local-c")
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


def _catalog() -> dict[str, Any]:
    """A model at three providers: what accounts prices by, as it does where it serves."""
    price = {"prompt": "0.0000001", "completion": "0.0000003", "cached": "0.000000025"}
    endpoints = [
        {"provider": slug, "upstream_model": "m", "context_length": 8192, "price": price} for slug in PROVIDERS
    ]
    model = {
        "id": "a/model", "name": "Model", "description": "A model.", "created": date(2026, 1, 1), "tokenizer": "Other",
        "input_modalities": ["text"], "output_modalities": ["text"], "endpoints": endpoints,
    }  # fmt: skip
    return {
        "providers": [{"slug": slug, "name": slug.title(), "base_url": "http://127.0.0.1:9"} for slug in PROVIDERS],
        "models": [model],
    }


@asynccontextmanager
async def _price_book(
    database: Database, store: PostgresSettlementStore, audit: PostgresAuditLog
) -> AsyncIterator[PriceBook]:
    clock, meter = SystemClock(), NoOpMeterProvider().get_meter("bench")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "catalog.yaml"
        file.write_text(yaml.safe_dump(_catalog()))
        catalog = WatchedFiles[Catalog]("catalog", [file], suffix=".yaml", parse=parse_catalog, clock=clock)
        await catalog.start()
        suspended = SuspendedUsage(PostgresSuspenseStore(database, audit, store), clock)
        prices = PostgresPriceStore(database)
        book = PriceBook(prices, catalog, suspended, clock, meter, interval=timedelta(seconds=1))
        await book.start()
        yield book


def _records(customers: Sequence[tuple[UUID, UUID]], count: int, random: Random) -> list[Record]:
    make = UsageEvents(random)
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    catalog = parse_catalog([("catalog.yaml", yaml.safe_dump(_catalog()))])
    prices = {endpoint.provider.slug: endpoint.price for endpoint in catalog.endpoints.values()}
    events = [
        make(
            *random.choice(customers),
            prompt=random.randint(1, 4_000),
            completion=random.randint(1, 2_000),
            provider=(provider := random.choice(PROVIDERS)),
            price=prices[provider],
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
        store = PostgresSettlementStore(database, Failpoints())
        async with _price_book(database, store, PostgresAuditLog(database, PEPPER)) as book:
            settlement = Settlement(
                store,
                SystemClock(),
                NoOpTracerProvider().get_tracer("bench"),
                NoOpMeterProvider().get_meter("bench"),
                Failpoints(),
                book,
            )
            partition = TopicPartition(USAGE.name, 0)
            await settlement.handle("warm", partition, _records(customers, batch, random))
            records = _records(customers, events, random)
            # As accounts does when it starts.
            collect_rarely()
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
