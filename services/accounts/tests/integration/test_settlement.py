"""Settlement on a real PostgreSQL, batch by batch."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.adapters.postgres.settlement_store import PostgresSettlementStore
from accounts.domain.accounts import KeyKind
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.testing import CREDIT, Drain, NewCustomer
from accounts.testing.books import account_balances, check_books
from accounts.testing.usage_events import PRICE, UsageEvents, usage_records
from contracts.money import PicoUsd, UnitPrice
from contracts.testing.examples import iter_examples
from contracts.topics import KEYS, ORGS, USAGE
from servicekit.failpoints import Failpoints
from servicekit.kafka import TopicPartition
from servicekit.testing import ManualClock, RecordingTelemetry
from turnpike.accounts.v1.records_pb2 import KeyRecord, OrgRecord
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

PARTITION = TopicPartition(USAGE.name, 0)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
UNKNOWN_FIELD = b"\xf8\x06\x05"  # field 111 with the value 5


async def test_b01_every_entry_balances_and_all_accounts_add_up_to_nothing(
    new_customer: NewCustomer, settlement: Settlement, sql: asyncpg.Connection, usage_event: UsageEvents
) -> None:
    for provider in ("local-a", "local-b"):
        customer = await new_customer()
        event = usage_event(*customer, provider=provider, copies=[("local-b", 3)])
        await settlement.handle("c1", PARTITION, usage_records([event]))
    assert await sql.fetchval("SELECT count(*) FROM ledger_entries WHERE nano <= 0 OR debit = credit") == 0
    assert sum((await account_balances(sql)).values()) == 0
    await check_books(sql)


async def test_b02_a_balance_is_what_was_given_less_the_cost_of_the_latest_ranks(
    new_customer: NewCustomer,
    identity: Identity,
    settlement: Settlement,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    first, later = [("local-b", 9)], [("local-b", 1), ("local-c", 0)]
    estimate = usage_event(org_id, key_id, completion=900, rank=usage_pb.USAGE_RANK_EDGE_ESTIMATE, copies=first)
    final = usage_event(org_id, key_id, completion=7, generation_id=estimate.generation_id, copies=later)
    other = usage_event(org_id, key_id, copies=[("local-a", 2)])
    await identity.grant_credit(str(org_id), 77, "second", "")
    await settlement.handle("c1", PARTITION, usage_records([estimate, other]))
    await settlement.handle("c1", PARTITION, usage_records([final], first=2))
    assert (await identity.org(str(org_id))).balance == CREDIT + 77 - final.cost_nano_usd - other.cost_nano_usd
    await check_books(sql)


async def test_b03_ledger_holds_usage_times_price_and_the_balance_falls_by_it(
    new_customer: NewCustomer,
    identity: Identity,
    settlement: Settlement,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    events = [
        usage_event(org_id, key_id, prompt=n, completion=2 * n, copies=copies, ended_at=NOON + timedelta(minutes=n))
        for n in range(1, 40)
        for copies in [[("local-b", n)] * (n % 3)]
    ]
    await settlement.handle("c1", PARTITION, usage_records(events))
    total = sum(100 * n + 300 * 2 * n for n in range(1, 40))  # nano-dollars a token, from PRICE
    org = await identity.org(str(org_id))
    assert (org.balance, org.usage) == (CREDIT - total, total)
    assert org.settled_until == NOON + timedelta(minutes=39)
    assert await sql.fetchval("SELECT spent_nano FROM api_keys") == total
    accounts = await account_balances(sql)
    copies = sum((n % 3) * (90 * n + 270 * n) for n in range(1, 40))  # nano-dollars a token, from COPY_PRICE
    assert (accounts["provider_payable:local-a"], accounts["provider_payable:local-b"]) == (total, copies)
    assert accounts["provider_cost"] == -(total + copies)
    await check_books(sql)


async def test_b04_events_that_repeat_within_and_across_batches_are_settled_once(
    new_customer: NewCustomer, settlement: Settlement, sql: asyncpg.Connection, usage_event: UsageEvents
) -> None:
    customer = await new_customer()
    events = [usage_event(*customer) for _ in range(10)]
    await settlement.handle("c1", PARTITION, usage_records([*events, *events[:5]]))
    await settlement.handle("c1", PARTITION, usage_records([*events[3:], usage_event(*customer)], first=15))
    assert await sql.fetchval("SELECT count(*) FROM settled_events") == 11
    await check_books(sql)


async def test_b07_replaying_everything_twice_and_in_a_new_cluster_changes_nothing(
    new_customer: NewCustomer,
    identity: Identity,
    settlement: Settlement,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    events = [usage_event(org_id, key_id, copies=[("local-b", n)] * (n % 2)) for n in range(20)]
    await settlement.handle("c1", PARTITION, usage_records(events))
    before = await identity.org(str(org_id))
    entries = await sql.fetchval("SELECT count(*) FROM ledger_entries")
    for _ in range(2):
        await settlement.handle("c1", PARTITION, usage_records(events))
        await settlement.handle("c2", PARTITION, usage_records(events[::-1], first=7))
    assert await identity.org(str(org_id)) == before
    assert await sql.fetchval("SELECT count(*) FROM ledger_entries") == entries
    await check_books(sql)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    statements=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3)), min_size=1, max_size=16),
    random=st.randoms(use_true_random=False),
    sizes=st.lists(st.integers(1, 4), max_size=6),
)
async def test_b08_any_order_and_split_gives_the_same_books(
    statements: list[tuple[int, int]],
    random: Random,
    sizes: list[int],
    new_customer: NewCustomer,
    identity: Identity,
    settlement: Settlement,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    org_id, first_key = await new_customer()
    second, _ = await identity.create_key(str(org_id), "second", KeyKind.INFERENCE, None, None, "")
    keys = [first_key, second.key_id]
    generations = [usage_event(org_id, first_key).generation_id for _ in range(6)]
    # Of one event, another rank states another provider, key and day, and other copies: all of it must move.
    events = {
        (number, rank): usage_event(
            org_id,
            keys[(number + rank) % 2],
            completion=10 * number + rank,
            rank=rank,
            generation_id=generations[number],
            provider=f"p{(number + rank) % 3}-{org_id}",
            copies=[(f"p{(number + n) % 3}-{org_id}", n + rank) for n in range((number + 2 * rank) % 3)],
            ended_at=NOON + timedelta(days=rank),
        )
        for number, rank in statements
    }
    delivered = [events[statement] for statement in statements]
    random.shuffle(delivered)
    at = 0
    for size in [*sizes, len(delivered)]:
        if batch := delivered[at : at + size]:
            await settlement.handle("c1", PARTITION, usage_records(batch, first=at))
        at += size

    latest = {number: event for (number, _), event in sorted(events.items())}
    spent: dict[str, int] = defaultdict(int)
    owed: dict[str, int] = defaultdict(int)
    for event in latest.values():
        spent[event.key_id] += event.cost_nano_usd
        owed[f"provider_payable:{event.provider}"] += event.provider_cost_nano_usd
        for attempt in event.attempts:
            if attempt.HasField("expense"):
                owed[f"provider_payable:{attempt.provider}"] += attempt.expense.provider_cost_nano_usd
    accounts = await account_balances(sql)
    stored = await sql.fetch("SELECT key_id, spent_nano FROM api_keys WHERE org_id = $1", org_id)
    assert (await identity.org(str(org_id))).usage == sum(event.cost_nano_usd for event in latest.values())
    assert {str(row["key_id"]): row["spent_nano"] for row in stored if row["spent_nano"]} == spent
    assert {name: nano for name, nano in accounts.items() if name.endswith(str(org_id)) and "payable" in name} == owed
    await check_books(sql)


async def test_b09_an_event_is_charged_at_the_price_that_it_carries(
    new_customer: NewCustomer, settlement: Settlement, sql: asyncpg.Connection, usage_event: UsageEvents
) -> None:
    customer = await new_customer()
    doubled = UnitPrice(
        "pv_later",
        PicoUsd(2 * PRICE.prompt),
        PicoUsd(2 * PRICE.completion),
        PRICE.reasoning,
        PRICE.cached,
        PRICE.cache_write,
    )
    before, after = usage_event(*customer), usage_event(*customer, price=doubled)
    await settlement.handle("c1", PARTITION, usage_records([after, before]))
    rows = await sql.fetch("SELECT price_version, cost_nano FROM settled_events ORDER BY cost_nano")
    assert [tuple(row) for row in rows] == [("pv_test", 7_000), ("pv_later", 14_000)]
    await check_books(sql)


@pytest.mark.parametrize("skew", [timedelta(minutes=-5), timedelta(minutes=5)])
async def test_b11_a_skewed_clock_changes_no_amount(
    skew: timedelta,
    new_customer: NewCustomer,
    identity: Identity,
    store: PostgresSettlementStore,
    telemetry: RecordingTelemetry,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    events = [usage_event(org_id, key_id, ended_at=NOON + minute * skew / 5) for minute in range(-5, 6)]
    for number, event in enumerate(events):
        clock = ManualClock(NOON + (skew if number % 2 else -skew))
        skewed = Settlement(store, clock, telemetry.tracer, telemetry.meter, Failpoints())
        await skewed.handle("c1", PARTITION, usage_records([event], first=number))
    org = await identity.org(str(org_id))
    assert org.usage == sum(event.cost_nano_usd for event in events)
    assert org.settled_until == NOON + timedelta(minutes=5)
    await check_books(sql)


def _bad(usage_event: UsageEvents, org_id: UUID, key_id: UUID) -> dict[str, usage_pb.UsageEvent | bytes | None]:
    """One record for each way in which an event can be unusable, by a word of the reason."""

    def event(**members: object) -> usage_pb.UsageEvent:
        made = usage_event(org_id, key_id)
        for name, value in members.items():
            setattr(made, name, value)
        return made

    unpriced, unknown_price, future, dear, large = event(), event(), event(), event(), event()
    unpriced.usage.MergeFromString(UNKNOWN_FIELD)
    unknown_price.price.MergeFromString(UNKNOWN_FIELD)
    future.ended_at.seconds = 10**15
    dear.cost_nano_usd += 1
    large.price.completion_pico_usd = 2**63 - 1
    dear_copy = usage_event(org_id, key_id, copies=[("local-b", 3)])
    dear_copy.attempts[0].expense.provider_cost_nano_usd += 1
    return {
        "not a usage event": b"\xff\xff\xff",
        "org_id is empty": None,
        "cost is not usage x price": dear,
        "not an organisation of ours": usage_event(uuid4(), key_id),
        "org_id is not a UUID": usage_event("not-a-uuid", key_id),
        "key_id is not a UUID": usage_event(org_id, "\0"),
        "usage has a kind that this version cannot price": unpriced,
        "price has a kind that this version cannot price": unknown_price,
        "between 2020 and 2100": future,
        "rank is out of range": event(rank=100_000),
        "model has a NUL character": event(model="a\0b"),
        "provider has a NUL character": event(provider="\0"),
        "cost is not usage x price.": large,
        "attempts.expense: provider cost is not usage x price": dear_copy,
        "attempts.provider has a NUL character": usage_event(org_id, key_id, copies=[("\0", 3)]),
    }


async def test_b15_what_cannot_be_priced_or_stored_is_set_aside_and_the_others_settle(
    new_customer: NewCustomer,
    identity: Identity,
    settlement: Settlement,
    drain: Drain,
    telemetry: RecordingTelemetry,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    await drain()
    bad = _bad(usage_event, org_id, key_id)
    good = [usage_event(org_id, key_id), usage_event(org_id, key_id)]
    values: Sequence[usage_pb.UsageEvent | bytes | None] = [good[0], *bad.values(), good[1]]
    await settlement.handle("c1", PARTITION, usage_records(values, headers={"tracestate": "\0", "ce_id": "x"}))

    letters = [message for message in await drain() if message.topic == USAGE.dead_letters]
    assert [letter.value for letter in letters] == [
        event.SerializeToString() if isinstance(event, usage_pb.UsageEvent) else event for event in bad.values()
    ]
    for offset, (letter, reason) in enumerate(zip(letters, bad, strict=True), start=1):
        assert reason.rstrip(".") in letter.headers["x-reason"]
        assert letter.headers["x-original-topic"] == USAGE.name
        assert (letter.headers["x-original-partition"], letter.headers["x-original-offset"]) == ("0", str(offset))
        assert (letter.headers["x-consumer"], letter.headers["ce_id"], letter.key) == ("accounts", "x", "org")
    assert await sql.fetchval("SELECT count(*) FROM quarantine") == len(bad)
    assert await settlement.start_offsets("c1", [PARTITION]) == {PARTITION: len(values)}
    assert (await identity.org(str(org_id))).usage == sum(event.cost_nano_usd for event in good)
    assert telemetry.metric("accounts.settlement.rejected") == len(bad)
    assert telemetry.metric("accounts.settlement.events") == len(good)
    await check_books(sql)


async def test_an_event_does_not_move_to_another_organisation(
    new_customer: NewCustomer,
    settlement: Settlement,
    drain: Drain,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    customer, another = await new_customer(), await new_customer()
    estimate = usage_event(*customer, rank=usage_pb.USAGE_RANK_EDGE_ESTIMATE)
    stolen = usage_event(*another, generation_id=estimate.generation_id)
    await settlement.handle("c1", PARTITION, usage_records([estimate]))
    await settlement.handle("c1", PARTITION, usage_records([stolen], first=1))
    (letter,) = [message for message in await drain() if message.topic == USAGE.dead_letters]
    assert letter.headers["x-reason"] == "the event was settled for another organisation"
    assert await sql.fetchval("SELECT org_id FROM settled_events") == customer[0]
    await check_books(sql)


async def test_offsets_are_kept_for_each_cluster_and_follow_the_topic_backwards(
    new_customer: NewCustomer, settlement: Settlement, usage_event: UsageEvents
) -> None:
    customer = await new_customer()
    await settlement.handle("c1", PARTITION, usage_records([usage_event(*customer)], first=41))
    assert await settlement.start_offsets("c1", [PARTITION]) == {PARTITION: 42}
    assert await settlement.start_offsets("c2", [PARTITION]) == {}
    # The topic was made anew: going on at 42 would skip what comes before.
    await settlement.handle("c1", PARTITION, usage_records([usage_event(*customer)], first=0))
    assert await settlement.start_offsets("c1", [PARTITION]) == {PARTITION: 1}


async def test_published_examples_settle(
    identity: Identity, settlement: Settlement, sql: asyncpg.Connection, examples: Path
) -> None:
    events = [event for _, event in iter_examples(usage_pb.UsageEvent, examples)]
    await sql.execute(
        "INSERT INTO orgs (org_id, name, status, created_at) VALUES ($1, 'Example', 1, now())", UUID(events[0].org_id)
    )
    await settlement.handle("c1", PARTITION, usage_records(events))
    assert await sql.fetchval("SELECT count(*) FROM settled_events") == len(events)
    assert (await identity.org(events[0].org_id)).usage == sum(event.cost_nano_usd for event in events)
    await check_books(sql)


async def test_balance_and_limited_key_are_published_and_others_are_not(
    new_customer: NewCustomer, identity: Identity, settlement: Settlement, drain: Drain, usage_event: UsageEvents
) -> None:
    org_id, limited = await new_customer(limit=500_000)
    free, _ = await identity.create_key(str(org_id), "free", KeyKind.INFERENCE, None, None, "")
    await drain()
    events = [usage_event(org_id, limited), usage_event(org_id, limited), usage_event(org_id, free.key_id)]
    await settlement.handle("c1", PARTITION, usage_records(events))
    messages = await drain()
    orgs = [OrgRecord.FromString(m.value or b"") for m in messages if m.topic == ORGS.name]
    keys = [KeyRecord.FromString(m.value or b"") for m in messages if m.topic == KEYS.name]
    assert [org.balance_nano_usd for org in orgs] == [CREDIT - sum(event.cost_nano_usd for event in events)]
    assert [(key.key_id, key.spent_nano_usd) for key in keys] == [(str(limited), 2 * events[0].cost_nano_usd)]


async def test_concurrent_batches_of_the_same_orgs_do_not_block_each_other(
    new_customer: NewCustomer, settlement: Settlement, sql: asyncpg.Connection, usage_event: UsageEvents
) -> None:
    pairs = [await new_customer() for _ in range(6)]

    async def settle(partition: int) -> None:
        ordered = pairs if partition % 2 else pairs[::-1]
        for batch in range(10):
            events = [usage_event(org_id, key_id) for org_id, key_id in ordered]
            await settlement.handle("c1", TopicPartition(USAGE.name, partition), usage_records(events, first=6 * batch))

    async with asyncio.TaskGroup() as group:
        for partition in range(4):
            group.create_task(settle(partition))
    assert await sql.fetchval("SELECT count(*) FROM settled_events") == 4 * 10 * 6
    await check_books(sql)


async def test_ledger_cannot_be_changed_or_emptied(
    new_customer: NewCustomer, settlement: Settlement, sql: asyncpg.Connection, usage_event: UsageEvents
) -> None:
    customer = await new_customer()
    await settlement.handle("c1", PARTITION, usage_records([usage_event(*customer)]))
    for statement in ("UPDATE ledger_entries SET nano = 1", "DELETE FROM ledger_entries", "TRUNCATE ledger_entries"):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await sql.execute(statement)
    await check_books(sql)


async def test_settlement_is_a_span_in_the_trace_of_its_generation(
    new_customer: NewCustomer, settlement: Settlement, telemetry: RecordingTelemetry, usage_event: UsageEvents
) -> None:
    customer = await new_customer()
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    await settlement.handle("c1", PARTITION, usage_records([usage_event(*customer)], headers=headers))
    spans = {span.name: span for span in telemetry.spans}
    own = spans["settle usage"]
    assert f"{own.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert own.parent is not None
    assert f"{own.parent.span_id:016x}" == "b7ad6b7169203331"
    assert len(spans["settle batch"].links) == 1
