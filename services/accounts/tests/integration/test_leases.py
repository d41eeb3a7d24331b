"""Leases in PostgreSQL: what is lent, what is held for it, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.lease_store import PostgresLeaseStore
from accounts.domain.errors import FencedError, NotFoundError
from accounts.domain.leases import AccountKind, Borrower, RefusalReason
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.testing import CREDIT, NewCustomer
from accounts.testing.leases import TERMS, BorrowingEdge, check_leases, held_accounts
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.topics import USAGE
from servicekit.kafka import TopicPartition
from servicekit.testing import RecordingTelemetry
from turnpike.usage.v1.usage_event_pb2 import USAGE_RANK_EDGE_ESTIMATE, UsageEvent

DOLLAR = 10**9
USAGE_0 = TopicPartition(USAGE.name, 0)


@pytest.fixture
def leases(database: Database) -> PostgresLeaseStore:
    return PostgresLeaseStore(database, TERMS)


@pytest_asyncio.fixture(autouse=True)
async def b06_holds(sql: asyncpg.Connection) -> AsyncIterator[None]:
    """B6 is checked after every test."""
    yield
    await check_leases(sql)


def charged(event: UsageEvent, lease_id: UUID, hold: int = 0) -> UsageEvent:
    event.lease_id = str(lease_id)
    event.hold_nano_usd = hold
    return event


async def test_a_lease_is_held_on_the_credit_until_it_is_spent_or_given_back(
    leases: PostgresLeaseStore,
    new_customer: NewCustomer,
    sql: asyncpg.Connection,
    settlement: Settlement,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    edge = BorrowingEdge(leases, org_id)
    lease_id, grant = await edge.acquire(100_000)
    assert (grant.granted, grant.is_scarce, grant.refusal) == (100_000, True, None)
    assert grant.time_to_live == TERMS.ttl
    assert await held_accounts(sql, org_id) == {"credit": 100_000}
    event = charged(usage_event(org_id, key_id, prompt=100, completion=100), lease_id, 100_000)
    assert event.cost_nano_usd == 40_000
    await settlement.handle("c1", USAGE_0, usage_records([event]))
    assert await held_accounts(sql, org_id) == {"credit": 60_000}
    assert await sql.fetchval("SELECT balance_nano FROM orgs WHERE org_id = $1", org_id) == CREDIT - 40_000
    assert await edge.release(lease_id, spent=40_000) == 60_000
    assert await held_accounts(sql, org_id) == {}
    assert await edge.release(lease_id, spent=40_000) == 0


async def test_much_credit_is_lent_ahead_and_little_by_the_request(
    leases: PostgresLeaseStore, new_customer: NewCustomer, identity: Identity
) -> None:
    org_id, _ = await new_customer()
    edge = BorrowingEdge(leases, org_id)
    _, grant = await edge.acquire(1_000_000, 500_000_000)
    assert (grant.granted, grant.is_scarce) == (1_000_000, True)
    await identity.grant_credit(str(org_id), 19 * DOLLAR, "more", "test")
    _, grant = await edge.acquire(1_000_000, 500_000_000)
    assert (grant.granted, grant.is_scarce) == (500_000_000, False)
    _, grant = await edge.acquire(1_000_000, 1_000_000)
    assert grant.granted == 1_500_000, "half as much again is the least that is lent ahead"
    others = [BorrowingEdge(leases, org_id, Borrower(f"edge-{number}", 1)) for number in range(2, 6)]
    for other in others:
        await other.acquire(1_000_000)
    _, grant = await edge.acquire(1_000_000, 10**12)
    assert grant.granted == (20 * DOLLAR - 1_000_000 - 500_000_000 - 5 * 1_500_000) // 10, "a tenth, of five edges"


async def test_what_is_not_there_is_refused_with_what_is(leases: PostgresLeaseStore, new_customer: NewCustomer) -> None:
    org_id, _ = await new_customer()
    edge = BorrowingEdge(leases, org_id)
    await edge.acquire(CREDIT - 10)
    _, grant = await edge.acquire(11)
    assert (grant.granted, grant.time_to_live) == (0, timedelta(0))
    assert grant.refusal is not None
    assert grant.refusal.account is not None
    assert (grant.refusal.reason, grant.refusal.account.kind) == (RefusalReason.EXHAUSTED, AccountKind.ORG)
    assert (grant.refusal.account.available, grant.refusal.account.held) == (10, CREDIT - 10)
    _, grant = await edge.acquire(10)
    assert grant.granted == 10


async def test_a_repeated_call_gets_the_same_grant_and_lends_once(
    leases: PostgresLeaseStore, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    org_id, _ = await new_customer()
    edge = BorrowingEdge(leases, org_id)
    lease_id, first = await edge.acquire(500)
    edge.now += timedelta(seconds=20)
    _, again = await edge.acquire(700, lease_id=lease_id)
    assert (again.granted, again.time_to_live) == (first.granted, TERMS.ttl - timedelta(seconds=20))
    assert await held_accounts(sql, org_id) == {"credit": 500}
    await edge.release(lease_id)
    with pytest.raises(NotFoundError, match="has ended"):
        await edge.acquire(500, lease_id=lease_id)
    # The same id is another lease for another organisation: ids are made by edges.
    other_org, _ = await new_customer()
    _, other = await BorrowingEdge(leases, other_org).acquire(300, lease_id=lease_id)
    assert other.granted == 300


async def test_a_renewal_extends_grows_and_gives_back(
    leases: PostgresLeaseStore, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    org_id, _ = await new_customer()
    edge = BorrowingEdge(leases, org_id)
    lease_id, _ = await edge.acquire(1_000)
    edge.now += timedelta(seconds=30)
    grant = await edge.renew(lease_id)
    assert (grant.granted, grant.time_to_live) == (1_000, TERMS.ttl)
    grant = await edge.renew(lease_id, 500)
    assert grant.granted == 1_500
    await edge.renew(lease_id, spent=100, in_flight=300, returned=1_000)
    assert await held_accounts(sql, org_id) == {"credit": 500}
    await edge.renew(lease_id, spent=100, in_flight=300, returned=1_000)
    assert await held_accounts(sql, org_id) == {"credit": 500}, "a repeat gives back nothing more"
    await edge.renew(lease_id, spent=100, in_flight=300, returned=1_500)
    assert await held_accounts(sql, org_id) == {"credit": 400}, "what is spent or under way is not given back"
    grant = await edge.renew(lease_id, CREDIT, spent=100, in_flight=300, returned=1_100)
    assert (grant.granted, grant.time_to_live) == (1_500, TERMS.ttl), "extended, and not added to"
    assert grant.refusal is not None


async def test_what_is_under_way_at_a_release_stays_until_it_settles(
    leases: PostgresLeaseStore,
    new_customer: NewCustomer,
    sql: asyncpg.Connection,
    settlement: Settlement,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    edge = BorrowingEdge(leases, org_id)
    lease_id, _ = await edge.acquire(100_000)
    assert await edge.release(lease_id, spent=10_000, in_flight=40_000) == 50_000
    assert await edge.release(lease_id, spent=30_000, in_flight=5_000) == 15_000, "less of it now"
    with pytest.raises(NotFoundError, match="has ended"):
        await edge.renew(lease_id)
    event = charged(usage_event(org_id, key_id, prompt=100, completion=100), lease_id, 40_000)
    await settlement.handle("c1", USAGE_0, usage_records([event]))
    assert await held_accounts(sql, org_id) == {}
    assert await sql.fetchval("SELECT closed_at IS NOT NULL FROM leases")


async def test_an_event_takes_from_its_lease_once_and_a_correction_the_difference(
    leases: PostgresLeaseStore,
    new_customer: NewCustomer,
    sql: asyncpg.Connection,
    settlement: Settlement,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    lease_id, _ = await BorrowingEdge(leases, org_id).acquire(100_000)
    estimate = charged(usage_event(org_id, key_id, completion=200, rank=USAGE_RANK_EDGE_ESTIMATE), lease_id)
    final = usage_event(org_id, key_id, completion=20, generation_id=estimate.generation_id)
    charged(final, lease_id)
    await settlement.handle("c1", USAGE_0, usage_records([estimate, estimate]))
    assert await held_accounts(sql, org_id) == {"credit": 100_000 - estimate.cost_nano_usd}
    await settlement.handle("c1", USAGE_0, usage_records([final, estimate, final], first=2))
    await settlement.handle("c2", USAGE_0, usage_records([estimate, final]))
    assert await held_accounts(sql, org_id) == {"credit": 100_000 - final.cost_nano_usd}


async def test_b05_cost_beyond_a_hold_is_counted_and_takes_no_more_than_the_lease_has(
    leases: PostgresLeaseStore,
    new_customer: NewCustomer,
    sql: asyncpg.Connection,
    settlement: Settlement,
    usage_event: UsageEvents,
    telemetry: RecordingTelemetry,
) -> None:
    org_id, key_id = await new_customer()
    lease_id, _ = await BorrowingEdge(leases, org_id).acquire(5_000)
    event = charged(usage_event(org_id, key_id, prompt=0, completion=20), lease_id, 5_000)
    assert event.cost_nano_usd == 6_000
    await settlement.handle("c1", USAGE_0, usage_records([event]))
    assert await held_accounts(sql, org_id) == {}
    assert telemetry.metric("accounts.billing.overshoot") == 1_000


async def test_a_younger_process_of_an_edge_fences_the_older_one_out(
    leases: PostgresLeaseStore, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    org_id, _ = await new_customer()
    old = BorrowingEdge(leases, org_id, Borrower("edge-1", 5))
    lease_id, _ = await old.acquire(500)
    young = BorrowingEdge(leases, org_id, Borrower("edge-1", 6))
    with pytest.raises(NotFoundError):
        await young.renew(lease_id, 100)
    for attempt in (old.acquire(500), old.renew(lease_id, 100), old.release(lease_id)):
        with pytest.raises(FencedError):
            await attempt
    # Another edge is another matter, and what the old process was lent is still there for what it has under way.
    await BorrowingEdge(leases, org_id, Borrower("edge-2", 1)).acquire(100)
    assert await held_accounts(sql, org_id) == {"credit": 600}


async def test_a_frozen_organisation_is_lent_nothing_and_extended_nothing(
    leases: PostgresLeaseStore, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    org_id, _ = await new_customer()
    edge = BorrowingEdge(leases, org_id)
    lease_id, _ = await edge.acquire(500)
    await sql.execute("UPDATE orgs SET status = 2 WHERE org_id = $1", org_id)
    _, grant = await edge.acquire(500)
    assert grant.granted == 0
    assert grant.refusal is not None
    assert grant.refusal.reason is RefusalReason.ORG_FROZEN
    grant = await edge.renew(lease_id, 100, returned=200)
    assert (grant.granted, grant.time_to_live) == (500, timedelta(0))
    assert await held_accounts(sql, org_id) == {"credit": 300}, "what is given back is taken"


@pytest.mark.parametrize(
    "change", ["disabled = true", "deleted_at = now()", "expires_at = now() - interval '1 second'", "kind = 2"]
)
async def test_a_key_that_may_not_be_used_is_lent_nothing(
    change: str, leases: PostgresLeaseStore, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    org_id, key_id = await new_customer(limit=CREDIT)
    edge = BorrowingEdge(leases, org_id)
    lease_id, _ = await edge.acquire(500, key_id=key_id)
    await sql.execute(f"UPDATE api_keys SET {change}")
    _, grant = await edge.acquire(500, key_id=key_id)
    assert grant.refusal is not None
    assert grant.refusal.reason is RefusalReason.KEY_UNUSABLE
    assert (await edge.renew(lease_id)).time_to_live == timedelta(0)
    _, grant = await edge.acquire(500)
    assert grant.granted == 500, "its organisation may still be lent to"


async def test_s09_nothing_is_lent_for_a_key_of_somebody_else(
    leases: PostgresLeaseStore, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    ours, _ = await new_customer()
    theirs, their_key = await new_customer(limit=CREDIT)
    their_lease, _ = await BorrowingEdge(leases, theirs).acquire(500, key_id=their_key)
    edge = BorrowingEdge(leases, ours)
    for attempt in (edge.acquire(500, key_id=their_key), edge.renew(their_lease, 1), edge.release(their_lease)):
        with pytest.raises(NotFoundError):
            await attempt
    with pytest.raises(NotFoundError, match="no such organisation"):
        await BorrowingEdge(leases, uuid4()).acquire(500)
    assert await held_accounts(sql, ours) == {}


async def test_b12_what_a_lost_edge_was_lent_comes_back_when_nothing_can_settle_any_more(
    leases: PostgresLeaseStore,
    new_customer: NewCustomer,
    sql: asyncpg.Connection,
    settlement: Settlement,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    lost = BorrowingEdge(leases, org_id)
    lease_id, grant = await lost.acquire(400_000)
    event = charged(usage_event(org_id, key_id, prompt=100, completion=100), lease_id)
    end = lost.now + TERMS.ttl
    for moment in (end, end + TERMS.grace - timedelta(seconds=1)):
        assert await leases.due(moment) == []
        assert await leases.close_due(org_id, moment) == (0, 0)
    # Late, and it still finds what was set aside for it.
    await settlement.handle("c1", USAGE_0, usage_records([event]))
    assert await held_accounts(sql, org_id) == {"credit": 360_000}, "no more is stranded than the edge was lent"
    assert grant.granted == 400_000
    over = end + TERMS.grace
    assert await leases.due(over) == [org_id]
    assert await leases.close_due(org_id, over) == (1, 360_000)
    assert await leases.close_due(org_id, over) == (0, 0)
    assert await held_accounts(sql, org_id) == {}
    # What settles after that was set aside by nobody; it is paid, and takes nothing that others were lent.
    other, _ = await BorrowingEdge(leases, org_id, Borrower("edge-2", 1)).acquire(1_000)
    later = charged(usage_event(org_id, key_id), lease_id)
    await settlement.handle("c1", USAGE_0, usage_records([later], first=1))
    assert await held_accounts(sql, org_id) == {"credit": 1_000}
    assert other != lease_id


async def test_two_processes_that_look_for_ended_leases_do_not_wait_for_each_other(
    leases: PostgresLeaseStore, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    org_id, _ = await new_customer()
    edge = BorrowingEdge(leases, org_id)
    await edge.acquire(500)
    over = edge.now + TERMS.ttl + TERMS.grace
    async with sql.transaction():
        await sql.execute("SELECT FROM orgs WHERE org_id = $1 FOR UPDATE", org_id)
        assert await leases.close_due(org_id, over) == (0, 0)
    closed = await asyncio.gather(*(leases.close_due(org_id, over) for _ in range(4)))
    assert sum(count for count, _ in closed) == 1


async def test_closed_leases_are_forgotten_after_an_hour(
    leases: PostgresLeaseStore, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    org_id, _ = await new_customer()
    edge = BorrowingEdge(leases, org_id)
    lease_id, _ = await edge.acquire(500)
    await edge.acquire(300)
    await edge.release(lease_id)
    assert await leases.forget(edge.now + timedelta(minutes=59)) == 0
    assert await leases.forget(edge.now + timedelta(minutes=61)) == 1
    assert await sql.fetchval("SELECT count(*) FROM leases") == 1


async def test_the_online_check_finds_what_does_not_add_up(
    leases: PostgresLeaseStore, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    org_id, _ = await new_customer()
    await BorrowingEdge(leases, org_id).acquire(500)
    assert await leases.mismatches() == 0
    await sql.execute("UPDATE lease_accounts SET held = held + 1")
    assert await leases.mismatches() == 1
    await sql.execute("DELETE FROM lease_accounts")
    assert await leases.mismatches() == 1
    await sql.execute("DELETE FROM leases")
    assert await leases.mismatches() == 0
