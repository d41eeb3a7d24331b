"""What cannot be priced is in suspense: nobody is charged, what its provider will ask is on the books, and somebody says what is right."""

from __future__ import annotations

import asyncio
import itertools
from random import Random
from uuid import UUID, uuid4

import asyncpg
import pytest

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.domain.errors import AccountsError, AlreadyExistsError, InvalidFieldError, NotFoundError
from accounts.domain.people import OPERATOR
from accounts.domain.suspense import SuspenseState
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.suspended_usage import SuspendedUsage
from accounts.testing import CREDIT, Drain, NewCustomer
from accounts.testing.books import account_balances, check_books
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.topics import USAGE
from contracts.usage import MAX_COST, validate_usage_event
from servicekit.kafka import TopicPartition
from turnpike.usage.v1 import token_usage_pb2
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

PARTITION = TopicPartition(USAGE.name, 0)
UNKNOWN_KIND = b"\xf8\x07\x05"  # field 127, a varint of 5: a kind of token that a later version counts
COST = 7_000  # of an event of 10 and 20 tokens


def unpriced(event: usage_pb.UsageEvent) -> usage_pb.UsageEvent:
    """Give an event a kind of usage that nobody here can price."""
    event.usage.MergeFromString(UNKNOWN_KIND)
    return event


async def only(sql: asyncpg.Connection) -> str:
    return str(await sql.fetchval("SELECT suspense_id FROM suspended_usage"))


async def test_b15_an_unknown_kind_is_charged_to_nobody_and_what_the_provider_asks_waits_in_suspense_once(
    new_customer: NewCustomer,
    identity: Identity,
    settlement: Settlement,
    suspended: SuspendedUsage,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    bad = unpriced(usage_event(org_id, key_id, copies=[("local-b", 0)]))
    again = [bad, usage_event(org_id, key_id), bad]
    await settlement.handle("c1", PARTITION, usage_records(again))
    await settlement.handle("c1", PARTITION, usage_records(again))
    await settlement.handle("c2", PARTITION, usage_records(again, first=70))
    copy = bad.attempts[0].expense.provider_cost_nano_usd
    accounts = await account_balances(sql)
    assert accounts["suspense"] == -(COST + copy)
    assert (accounts["provider_payable:local-a"], accounts["provider_payable:local-b"]) == (2 * COST, copy)
    assert (await identity.org(str(org_id))).usage == COST, "of the event that could be priced"
    ((listed,),) = [page async for page in suspended.pages(str(org_id), resolved=False)]
    assert listed.suspense.statement.generation_id == bad.generation_id
    assert listed.suspense.held == {"local-a": COST, "local-b": copy}
    assert [page async for page in suspended.pages(str(uuid4()), resolved=False)] == []
    await check_books(sql)


async def test_b08_statements_that_can_be_priced_and_that_cannot_give_the_same_books_in_any_order(
    new_customer: NewCustomer, settlement: Settlement, sql: asyncpg.Connection, usage_event: UsageEvents
) -> None:
    org_id, key_id = await new_customer()

    def statement(generation_id: str, rank: int, completion: int) -> usage_pb.UsageEvent:
        return usage_event(org_id, key_id, rank=rank, completion=completion, generation_id=generation_id)

    offset = 0
    for with_final, order in itertools.product((False, True), itertools.permutations(range(4))):
        generation_id = usage_event(org_id, key_id).generation_id
        statements = [
            statement(generation_id, 1, 5),
            unpriced(statement(generation_id, 2, 30)),
            unpriced(statement(generation_id, 3, 40)),
            statement(generation_id, 3, 50) if with_final else statement(generation_id, 2, 10),
        ]
        for number in order:
            await settlement.handle("c1", PARTITION, usage_records([statements[number]], first=offset))
            offset += 1
        row = await sql.fetchrow(
            "SELECT (SELECT provider_cost_nano FROM settled_events WHERE generation_id = $1) AS settled,"
            " coalesce((SELECT (held->>'local-a')::bigint FROM suspended_usage WHERE generation_id = $1), 0) AS held,"
            " (SELECT count(*) FROM suspended_usage WHERE generation_id = $1 AND state = 1) AS open",
            generation_id,
        )
        expected = (16_000, 0, 0) if with_final else (4_000, 9_000, 1)
        assert tuple(row) == expected, (with_final, order)
    await check_books(sql)


async def test_a_forged_record_owes_nobody_more_than_one_generation_can_cost(
    new_customer: NewCustomer,
    settlement: Settlement,
    suspended: SuspendedUsage,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()

    def event(**members: object) -> usage_pb.UsageEvent:
        made = unpriced(usage_event(org_id, key_id))
        for name, value in members.items():
            setattr(made, name, value)
        return made

    absurd = event(provider_cost_nano_usd=2**63 - 1)
    absurd.price.completion_pico_usd = 2**63 - 1
    negative = event(provider_cost_nano_usd=-5)
    negative.usage.prompt_tokens = -(2**62)
    many = event()
    for number in range(100):
        expense = usage_pb.HedgeExpense(provider_cost_nano_usd=MAX_COST)
        many.attempts.add(provider=f"p{number}", expense=expense)
    understated = event(provider_cost_nano_usd=1)
    customers_own = event(is_byok=True)
    nameless = event(event_id=str(uuid4()))
    strangers = unpriced(usage_event(uuid4(), key_id))
    settled = usage_event(org_id, key_id)
    stolen = usage_event((await new_customer())[0], key_id, generation_id=settled.generation_id)
    records = [
        b"\xff\xff", None, absurd, negative, many, event(provider="\0"), customers_own, nameless, understated, strangers,
        event(rank=100_000), settled, stolen,
    ]  # fmt: skip
    await settlement.handle("c1", PARTITION, usage_records(records))
    await settlement.handle("c2", PARTITION, usage_records(records, first=5))
    found = {
        each.suspense.statement.value: each.suspense
        async for page in suspended.pages("", resolved=False)
        for each in page
    }
    assert len(found) == len(records) - 1
    held = {value: each.nano for value, each in found.items() if each.nano}
    assert held == {nameless.SerializeToString(): COST, understated.SerializeToString(): COST} | {
        record.SerializeToString(): COST
        for record in records
        if isinstance(record, usage_pb.UsageEvent) and record.rank == 100_000
    }
    stranger = found[strangers.SerializeToString()]
    assert (stranger.statement.org_id, stranger.statement.estimate) == (None, {"local-a": COST})
    with pytest.raises(InvalidFieldError, match="names no organisation of ours"):
        await suspended.accept(str(stranger.statement.suspense_id), None, None, "seen", OPERATOR)
    await suspended.void(str(stranger.statement.suspense_id), "nobody's", OPERATOR)
    await check_books(sql)


async def test_an_operator_accepts_it_once_at_a_corrected_price_and_everybody_who_counts_hears_of_it(
    new_customer: NewCustomer,
    identity: Identity,
    settlement: Settlement,
    suspended: SuspendedUsage,
    audit: PostgresAuditLog,
    drain: Drain,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    bad = unpriced(usage_event(org_id, key_id))
    await settlement.handle("c1", PARTITION, usage_records([bad]))
    await drain()
    name = await only(sql)
    price = token_usage_pb2.Price(prompt_pico_usd=100_000, completion_pico_usd=300_000, request_pico_usd=2_000_000)
    too_many = token_usage_pb2.TokenUsage(prompt_tokens=1, cached_tokens=2)
    for wrong, field in (
        (too_many, "more cached than prompt tokens"),
        (token_usage_pb2.TokenUsage(images=-1), "images"),
    ):
        with pytest.raises(InvalidFieldError, match=field):
            await suspended.accept(name, price, wrong, "letter 7", OPERATOR)
    with pytest.raises(InvalidFieldError, match="note"):
        await suspended.accept(name, price, None, " ", OPERATOR)
    with pytest.raises(NotFoundError):
        await suspended.void(str(uuid4()), "letter 7", OPERATOR)

    # Four at once, and once more: each is told the same.
    answers = await asyncio.gather(*(suspended.accept(name, price, None, "letter 7", OPERATOR) for _ in range(4)))
    answers.append(await suspended.accept(name, None, None, "letter 8", OPERATOR))
    charged = COST + 2_000
    assert [(listed.suspense.state, nano) for listed, nano in answers] == [(SuspenseState.ACCEPTED, charged)] * 5
    assert {listed.note for listed, _ in answers} == {"letter 7"}
    org = await identity.org(str(org_id))
    assert (org.usage, org.balance) == (charged, CREDIT - charged)
    accounts = await account_balances(sql)
    assert (accounts.get("suspense", 0), accounts["provider_payable:local-a"]) == (0, charged)
    (message,) = [each for each in await drain() if each.topic == USAGE.name]
    told = usage_pb.UsageEvent.FromString(message.value or b"")
    validate_usage_event(told)
    assert (told.event_id, told.rank, told.cost_nano_usd) == (bad.event_id, usage_pb.USAGE_RANK_OPERATOR, charged)
    assert (message.key, message.headers["ce_id"], told.price.version[-10:]) == (
        str(org_id),
        bad.event_id,
        ".corrected",
    )
    (entry,) = [each for each in await audit.page(org_id, 0, 100) if each.action == "suspense.accepted"]
    assert f'"charged_nano_usd":{charged}' in entry.after
    assert "letter 7" in entry.after

    # What comes again, the record and what we made of it, changes nothing; nor does another resolution.
    await settlement.handle("c1", PARTITION, usage_records([bad, told, bad], first=1))
    for resolve in (suspended.write_off, suspended.void):
        with pytest.raises(AlreadyExistsError, match="accepted"):
            await resolve(name, "letter 9", OPERATOR)
    assert await account_balances(sql) == accounts
    await check_books(sql)


@pytest.mark.parametrize("way", ["write_off", "void"])
async def test_what_is_written_off_or_voided_stays_so_until_a_statement_can_be_priced(
    way: str,
    new_customer: NewCustomer,
    identity: Identity,
    settlement: Settlement,
    suspended: SuspendedUsage,
    audit: PostgresAuditLog,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    good = usage_event(org_id, key_id)
    bad = unpriced(usage_event(org_id, key_id, generation_id=good.generation_id))
    await settlement.handle("c1", PARTITION, usage_records([bad]))
    name = await only(sql)
    resolve, other = (suspended.write_off, suspended.void)[:: 1 if way == "write_off" else -1]
    for _ in range(2):
        await resolve(name, "as told", OPERATOR)
    with pytest.raises(AccountsError, match="no longer in suspense"):
        await other(name, "as told", OPERATOR)
    with pytest.raises(AccountsError, match="no longer in suspense"):
        await suspended.accept(name, None, None, "as told", OPERATOR)
    await settlement.handle("c1", PARTITION, usage_records([bad], first=1))
    accounts = await account_balances(sql)
    borne = COST if way == "write_off" else 0
    assert accounts.get("suspense", 0) == 0
    assert (accounts.get("provider_cost", 0), accounts.get("provider_payable:local-a", 0)) == (-borne, borne)
    assert (await identity.org(str(org_id))).usage == 0
    assert len([each for each in await audit.page(org_id, 0, 100) if each.action.startswith("suspense.")]) == 1
    await check_books(sql)

    await settlement.handle("c1", PARTITION, usage_records([good, bad], first=2))
    accounts = await account_balances(sql)
    assert (accounts["provider_cost"], accounts["provider_payable:local-a"]) == (-COST, COST)
    assert (await identity.org(str(org_id))).usage == COST
    await check_books(sql)


async def test_suspense_of_one_generation_is_one_whoever_settles_at_the_same_time(
    new_customer: NewCustomer, settlement: Settlement, sql: asyncpg.Connection, usage_event: UsageEvents
) -> None:
    org_id, key_id = await new_customer()
    pairs = []
    for _ in range(12):
        good = usage_event(org_id, key_id)
        pairs.append((good, unpriced(usage_event(org_id, key_id, generation_id=good.generation_id))))

    async def settle(partition: int) -> None:
        random = Random(partition)
        events = [event for pair in pairs for event in pair]
        random.shuffle(events)
        for number, event in enumerate(events):
            await settlement.handle("c1", TopicPartition(USAGE.name, partition), usage_records([event], first=number))

    async with asyncio.TaskGroup() as group:
        for partition in range(3):
            group.create_task(settle(partition))
    accounts = await account_balances(sql)
    assert (accounts.get("suspense", 0), accounts["provider_payable:local-a"]) == (0, 12 * COST)
    assert await sql.fetchval("SELECT count(*) FROM settled_events WHERE org_id = $1", UUID(str(org_id))) == 12
    await check_books(sql)
