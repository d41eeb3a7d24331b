"""Usage is charged at price versions that a catalogue has or had, on a real PostgreSQL and with real files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from random import Random
from uuid import UUID

import asyncpg
import pytest

from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.price_store import PostgresPriceStore
from accounts.adapters.postgres.settlement_store import PostgresSettlementStore
from accounts.domain.people import OPERATOR
from accounts.identity import Identity
from accounts.price_book import PriceBook
from accounts.settlement import Settlement
from accounts.suspended_usage import SuspendedUsage
from accounts.testing import NewCustomer
from accounts.testing.books import check_books
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts import money
from contracts.catalog import Catalog, parse_catalog
from contracts.catalog.endpoint_prices import dearest_price, price_for
from contracts.catalog.price_schedule import KINDS
from contracts.money import TokenCounts, UnitPrice
from contracts.topics import USAGE
from servicekit.clock import SystemClock
from servicekit.failpoints import Failpoints
from servicekit.kafka import TopicPartition
from servicekit.testing import ManualClock, RecordingTelemetry
from servicekit.watched_files import WatchedFiles
from turnpike.usage.v1 import token_usage_pb2
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

PARTITION = TopicPartition(USAGE.name, 0)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
CATALOG = """
providers: [{{slug: local-a, name: A, base_url: "http://127.0.0.1:1"}}]
models:
  - id: a/model
    name: Model
    description: A model of tests.
    created: 2026-01-01
    input_modalities: [text]
    output_modalities: [text]
    tokenizer: Other
    endpoints:
      - provider: local-a
        upstream_model: m
        context_length: 300000
        price:
          prompt: "{prompt}"
          completion: "0.0000021"
          cached: "0.00000003"
          overrides: [{{min_prompt_tokens: 200000, prompt: "0.000009"}}]
"""


@dataclass
class Priced:
    """A settlement that knows prices, and the files that it learns them from."""

    file: Path
    catalog: WatchedFiles[Catalog]
    book: PriceBook
    settlement: Settlement
    clock: ManualClock
    store: PostgresPriceStore

    async def write(self, prompt: str) -> Catalog:
        """Write the catalogue with another price; returns what a router makes of it. Nobody is told."""
        text = CATALOG.format(prompt=prompt)
        self.file.write_text(text)
        # Seconds have passed since whoever prices by it looked last.
        await self.clock.advance(5)
        return parse_catalog([("catalog.yaml", text)])


@pytest.fixture
async def priced(
    tmp_path: Path,
    database: Database,
    store: PostgresSettlementStore,
    suspended: SuspendedUsage,
    telemetry: RecordingTelemetry,
) -> Priced:
    file, clock = tmp_path / "catalog.yaml", ManualClock(NOON)
    file.write_text(CATALOG.format(prompt="0.000001"))
    catalog = WatchedFiles[Catalog]("catalog", [file], suffix=".yaml", parse=parse_catalog, clock=clock)
    await catalog.start()
    prices = PostgresPriceStore(database)
    book = PriceBook(prices, catalog, suspended, clock, telemetry.meter, interval=timedelta(seconds=1))
    await book.start()
    settlement = Settlement(store, SystemClock(), telemetry.tracer, telemetry.meter, Failpoints(), book)
    return Priced(file, catalog, book, settlement, clock, prices)


def dispatched(
    make: UsageEvents, customer: tuple[UUID, UUID], catalog: Catalog, tokens: TokenCounts, *, dearest: bool = False
) -> usage_pb.UsageEvent:
    """Make the event of a request that was dispatched under a catalogue."""
    (endpoint,) = catalog.endpoints.values()
    price = dearest_price(endpoint) if dearest else price_for(endpoint, tokens.prompt, NOON)
    event = make(*customer, price=price)
    event.usage.CopyFrom(money.tokens_to_proto(tokens))
    event.cost_nano_usd = event.provider_cost_nano_usd = money.cost(price, tokens).total
    return event


def recomputed(tokens: TokenCounts, price: token_usage_pb2.Price) -> int:
    """Tokens x price in nano-dollars, rounded half to even, worked out apart from `contracts.money`."""
    pico = (
        (tokens.prompt - tokens.cached - tokens.cache_write) * price.prompt_pico_usd
        + tokens.cached * price.cached_pico_usd
        + tokens.cache_write * price.cache_write_pico_usd
        + (tokens.completion - tokens.reasoning) * price.completion_pico_usd
        + tokens.reasoning * price.reasoning_pico_usd
        + price.request_pico_usd
    )
    return round(Fraction(pico, 1000))


async def test_b03_the_ledger_is_the_sum_over_settled_events_of_tokens_x_price_version(
    priced: Priced, new_customer: NewCustomer, sql: asyncpg.Connection, usage_event: UsageEvents
) -> None:
    random, customers = Random(3), [await new_customer() for _ in range(3)]
    events = []
    for prompt_price in ("0.000001", "0.0000013", "0.0000000007"):
        catalog = await priced.write(prompt_price)
        await priced.book.look_up([])
        for _ in range(40):
            prompt, completion = random.choice((random.randint(0, 500), 200_001)), random.randint(1, 300)
            tokens = TokenCounts(prompt, completion, random.randint(0, completion), random.randint(0, prompt))
            events.append(dispatched(usage_event, random.choice(customers), catalog, tokens))
    # Estimates that figures replace, repeats, and any order.
    estimates = [usage_pb.UsageEvent.FromString(event.SerializeToString()) for event in events[::7]]
    for estimate in estimates:
        estimate.rank = usage_pb.USAGE_RANK_EDGE_ESTIMATE
        estimate.usage.completion_tokens += 1
        tokens = money.tokens_from_proto(estimate.usage)
        cost = money.cost(money.price_from_proto(estimate.price), tokens).total
        estimate.cost_nano_usd = estimate.provider_cost_nano_usd = cost
    delivered = [*events, *estimates, *events[::5]]
    random.shuffle(delivered)
    await priced.settlement.handle("c1", PARTITION, usage_records(delivered))

    tokens_of = {event.event_id: money.tokens_from_proto(event.usage) for event in events}
    versions = {
        row["version"]: token_usage_pb2.Price.FromString(row["price"])
        for row in await sql.fetch("SELECT version, price FROM price_versions")
    }
    settled = await sql.fetch("SELECT event_id, price_version FROM settled_events")
    expected = sum(recomputed(tokens_of[str(row["event_id"])], versions[row["price_version"]]) for row in settled)
    charged = await sql.fetchval(
        "SELECT sum(CASE WHEN credit = 'revenue:usage' THEN nano ELSE -nano END)::bigint FROM ledger_entries"
        " WHERE 'revenue:usage' IN (debit, credit)"
    )
    assert len(settled) == len(events)
    assert len({row["price_version"] for row in settled}) > 3
    assert charged == expected
    await check_books(sql)


async def test_b09_a_price_that_changes_in_flight_is_for_what_is_dispatched_after(
    priced: Priced, new_customer: NewCustomer, sql: asyncpg.Connection, usage_event: UsageEvents
) -> None:
    customer, tokens = await new_customer(), TokenCounts(prompt=100, completion=10)
    before = parse_catalog([("catalog.yaml", priced.file.read_text())])
    in_flight = dispatched(usage_event, customer, before, tokens)
    later = dispatched(usage_event, customer, await priced.write("0.000004"), tokens)
    # Nobody has looked at the file yet: its price is looked up because usage has it.
    await priced.settlement.handle("c1", PARTITION, usage_records([later, in_flight]))
    # Nor does a price go away that no request is dispatched at any more.
    late = dispatched(usage_event, customer, before, tokens)
    await priced.settlement.handle("c1", PARTITION, usage_records([late], first=2))
    settled = {str(row["event_id"]): row["cost_nano"] for row in await sql.fetch("SELECT * FROM settled_events")}
    assert settled == {in_flight.event_id: 121_000, later.event_id: 421_000, late.event_id: 121_000}
    await check_books(sql)


async def test_b15_a_price_of_no_catalogue_is_in_suspense_until_a_catalogue_has_it(
    priced: Priced,
    new_customer: NewCustomer,
    identity: Identity,
    suspended: SuspendedUsage,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    customer, tokens = (org_id, key_id), TokenCounts(prompt=100, completion=10)
    now = parse_catalog([("catalog.yaml", priced.file.read_text())])
    tomorrow = parse_catalog([("catalog.yaml", CATALOG.format(prompt="0.000004"))])
    early = dispatched(usage_event, customer, tomorrow, tokens)
    estimate = dispatched(usage_event, customer, now, tokens, dearest=True)
    estimate.rank, estimate.endpoint_id = usage_pb.USAGE_RANK_EDGE_ESTIMATE, ""
    forged = dispatched(usage_event, customer, now, tokens)
    forged.price.prompt_pico_usd //= 2  # under a version that is known
    forged.cost_nano_usd = forged.provider_cost_nano_usd = 71_000
    elsewhere = dispatched(usage_event, customer, now, tokens)
    elsewhere.endpoint_id = "a/model@local-b"
    copied = dispatched(usage_event, customer, now, tokens)
    copied.attempts.extend(usage_event(*customer, copies=[("local-b", 3)]).attempts)
    await priced.settlement.handle("c1", PARTITION, usage_records([early, estimate, forged, elsewhere, copied]))
    rows = await sql.fetch("SELECT generation_id, reason FROM suspended_usage WHERE state = 1")
    assert {row["generation_id"]: row["reason"] for row in rows} == {
        early.generation_id: "price.version is not one of ours",
        forged.generation_id: "price is not what its version says",
        elsewhere.generation_id: "price.version is that of another endpoint",
        copied.generation_id: "price.version is not one of ours",
    }
    assert (await identity.org(str(org_id))).usage == estimate.cost_nano_usd
    assert await suspended.settle_known(priced.book.check_all) == 0
    await check_books(sql)

    await priced.write("0.000004")
    await priced.book.look_up([early.price.version])
    assert await suspended.settle_known(priced.book.check_all) == 1
    assert await suspended.settle_known(priced.book.check_all) == 0
    usage = estimate.cost_nano_usd + early.cost_nano_usd
    assert (await identity.org(str(org_id))).usage == usage
    states = await sql.fetch("SELECT generation_id, state FROM suspended_usage")
    assert {row["generation_id"] for row in states if row["state"] != 1} == {early.generation_id}
    await check_books(sql)

    # What an operator accepts is a price of ours from then on, and what accounts says of it is no surprise to accounts.
    name = str(
        await sql.fetchval("SELECT suspense_id FROM suspended_usage WHERE generation_id = $1", copied.generation_id)
    )
    await suspended.accept(name, token_usage_pb2.Price(prompt_pico_usd=5_000_000), None, "a letter", OPERATOR)
    value = await sql.fetchval("SELECT record_value FROM outbox WHERE topic = $1", USAGE.name)
    await priced.settlement.handle("c1", PARTITION, usage_records([value], first=5))
    assert await sql.fetchval("SELECT count(*) FROM quarantine") == 4
    assert (await identity.org(str(org_id))).usage == usage + 500_000
    await check_books(sql)


async def test_a_price_version_is_never_another_price(priced: Priced, sql: asyncpg.Connection) -> None:
    (endpoint,) = priced.catalog.value.endpoints.values()
    (known,) = await priced.store.find([endpoint.price.version])
    other = UnitPrice(endpoint.price.version, *(money.PicoUsd(7) for _ in KINDS))
    changed = known._replace(message=money.price_to_proto(other).SerializeToString())
    assert await priced.store.learn([changed], NOON) == [known]
    for statement in ("UPDATE price_versions SET price = ''", "DELETE FROM price_versions", "TRUNCATE price_versions"):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await sql.execute(statement)
