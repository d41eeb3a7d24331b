"""A window of a rate limit that several edges borrow from, whatever they do and in whatever order: on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_store import PostgresKeyStore
from accounts.adapters.postgres.lease_store import PostgresLeaseStore
from accounts.adapters.postgres.org_store import PostgresOrgStore
from accounts.domain.accounts import KeyKind
from accounts.domain.errors import NotFoundError
from accounts.domain.leases import Acquire, Borrower, Grant, LeaseResource, LimitName, LimitOwner, RefusalReason
from accounts.domain.org_limits import OrgLimit
from accounts.identity import Identity
from accounts.testing.leases import TERMS, BorrowingEdge, check_leases
from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit
from servicekit.clock import SystemClock

PEPPER = b"a pepper of at least thirty-two bytes"
LIMIT = 1_000
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
QUANTITIES = {
    LeaseResource.REQUESTS: LimitedQuantity.REQUESTS,
    LeaseResource.TOKENS: LimitedQuantity.TOKENS,
    LeaseResource.MONEY: LimitedQuantity.SPEND,
}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["borrow", "borrow", "spend", "spend", "give back", "release", "lose", "wait", "wait long"]),
        st.integers(0, 3),
        st.integers(1, 400),
    ),
    max_size=25,
)


def identity_of(database: Database) -> Identity:
    audit = PostgresAuditLog(database, PEPPER)
    keys, orgs = PostgresKeyStore(database, audit), PostgresOrgStore(database, audit)
    return Identity(keys, orgs, SystemClock(), Random(), PEPPER)


async def new_org(database: Database, resource: LeaseResource, interval: RateInterval, amount: int) -> UUID:
    identity = identity_of(database)
    org = await identity.create_org("Test")
    limit = RateLimit(QUANTITIES[resource], interval, amount)
    await identity.set_rate_limits(str(org.org_id), [OrgLimit(None, limit)])
    return org.org_id


@dataclass
class Share:
    """What one edge has of a window, as it knows it."""

    lease_id: UUID
    window: int
    ends_at: datetime
    granted: int
    returned: int = 0
    spent: int = 0

    @property
    def left(self) -> int:
        return self.granted - self.returned - self.spent


class Fleet:
    """Four edges, and what all of them together have admitted, by window."""

    def __init__(
        self, store: PostgresLeaseStore, org_id: UUID, resource: LeaseResource, interval: RateInterval
    ) -> None:
        self.store, self.org_id = store, org_id
        self.resource, self.name = resource, LimitName(LimitOwner.ORG, interval)
        self.length = timedelta(minutes=1) if interval is RateInterval.MINUTE else timedelta(days=1)
        self.now = NOON
        self.epochs = Counter[int]()
        self.shares: dict[int, Share] = {}
        self.admitted = Counter[int]()
        self.lost = Counter[int]()

    @property
    def window(self) -> int:
        return (self.now - datetime(1970, 1, 1, tzinfo=UTC)) // self.length

    def edge(self, index: int) -> BorrowingEdge:
        borrower = Borrower(f"{self.org_id}/{index}", 1 + self.epochs[index])
        return BorrowingEdge(self.store, self.org_id, borrower, self.now)

    async def do(self, step: str, index: int, amount: int) -> None:
        share = self.shares.get(index)
        if share is not None and (step == "lose" or self.now >= share.ends_at):
            # Nobody tells accounts what became of it.
            self.lost[share.window] += share.left
            del self.shares[index]
            share = None
        match step:
            case "borrow":
                await self.borrow(index, share, amount)
            case "spend" if share is not None:
                used = min(amount, share.left)
                share.spent += used
                self.admitted[share.window] += used
            case "give back" if share is not None:
                share.returned += min(amount, share.left)
                await self.edge(index).renew(share.lease_id, spent=share.spent, returned=share.returned)
            case "release" if share is not None:
                del self.shares[index]
                await self.edge(index).release(share.lease_id, spent=share.spent)
            case "lose":
                self.epochs[index] += 1
            case "wait" | "wait long":
                self.now += timedelta(seconds=10) if step == "wait" else TERMS.ttl
                await self.store.close_due(self.org_id, self.now)

    async def borrow(self, index: int, share: Share | None, amount: int) -> None:
        edge = self.edge(index)
        if share is None:
            lease_id, grant = await edge.acquire(amount, 2 * amount, resource=self.resource, limit=self.name)
            if grant.granted:
                ends_at = self.now + grant.time_to_live
                self.shares[index] = Share(lease_id, self.window, ends_at, grant.granted)
        else:
            grant = await edge.renew(share.lease_id, amount, 2 * amount, spent=share.spent, returned=share.returned)
            share.granted, share.ends_at = grant.granted, self.now + grant.time_to_live
        if grant.refusal is not None:
            assert grant.refusal.reason is RefusalReason.EXHAUSTED
            assert grant.refusal.account is not None
            assert (grant.refusal.account.available or 0) < amount, "refused only what is not there"

    async def check_rest(self) -> None:
        """When everybody has said what was spent, one of them can have the rest, but for what was lost."""
        for index in list(self.shares):
            await self.do("release", index, 0)
        rest = LIMIT - self.admitted[self.window] - self.lost[self.window]
        for amount, granted in ((rest + 1, 0), (rest, rest)):
            if amount:
                _, grant = await self.edge(0).acquire(amount, resource=self.resource, limit=self.name)
                assert grant.granted == granted


def test_edges_together_never_admit_more_than_a_window_has(dsn: str, open_database: Callable[..., Database]) -> None:
    with asyncio.Runner() as runner:
        database = open_database(dsn)
        runner.run(database.start())
        sql = runner.run(asyncpg.connect(dsn))
        store = PostgresLeaseStore(database, TERMS)

        async def play(steps: Sequence[tuple[str, int, int]], resource: LeaseResource, interval: RateInterval) -> None:
            fleet = Fleet(store, await new_org(database, resource, interval, LIMIT), resource, interval)
            for step, index, amount in steps:
                await fleet.do(step, index, amount)
                assert max(fleet.admitted.values(), default=0) <= LIMIT, "more was admitted than the limit allows"
            await check_leases(sql, fleet.org_id)
            await fleet.check_rest()

        @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
        @given(STEPS, st.sampled_from(list(QUANTITIES)), st.sampled_from([RateInterval.MINUTE, RateInterval.DAY]))
        def machine(steps: Sequence[tuple[str, int, int]], resource: LeaseResource, interval: RateInterval) -> None:
            runner.run(play(steps, resource, interval))

        try:
            machine()
        finally:
            runner.run(sql.close())
            runner.run(database.stop(timedelta(seconds=1)))


async def test_a_small_limit_is_lent_by_the_request_and_all_of_it_wherever_requests_arrive(database: Database) -> None:
    org_id = await new_org(database, LeaseResource.REQUESTS, RateInterval.MINUTE, 20)
    store = PostgresLeaseStore(database, TERMS)
    name = LimitName(LimitOwner.ORG, RateInterval.MINUTE)
    granted: list[Grant] = []
    for number in range(30):
        edge = BorrowingEdge(store, org_id, Borrower(f"{org_id}/{number % 10}", 1), NOON)
        _, grant = await edge.acquire(1, 50, resource=LeaseResource.REQUESTS, limit=name)
        granted.append(grant)
    assert [grant.granted for grant in granted] == [1] * 20 + [0] * 10
    assert all(grant.is_scarce for grant in granted)
    assert {grant.window_ends_in for grant in granted} == {timedelta(minutes=1)}
    assert granted[19].edges == 10


async def test_a_repeated_call_is_told_of_scarcity_and_of_the_edges_too(database: Database) -> None:
    org_id = await new_org(database, LeaseResource.REQUESTS, RateInterval.DAY, 400)
    edge = BorrowingEdge(PostgresLeaseStore(database, TERMS), org_id, Borrower(f"{org_id}/1", 1), NOON)
    name = LimitName(LimitOwner.ORG, RateInterval.DAY)
    for needed, is_scarce in ((1, False), (150, True)):
        lease_id, first = await edge.acquire(needed, 180, resource=LeaseResource.REQUESTS, limit=name)
        _, again = await edge.acquire(needed, 180, lease_id=lease_id, resource=LeaseResource.REQUESTS, limit=name)
        assert first.is_scarce is is_scarce
        assert again == first
    credit_org = await identity_of(database).create_org("Test")
    await identity_of(database).grant_credit(str(credit_org.org_id), 10**9, "first", "test")
    edge = BorrowingEdge(edge.store, credit_org.org_id, edge.borrower)
    lease_id, first = await edge.acquire(1_000)
    _, again = await edge.acquire(1_000, lease_id=lease_id)
    assert (first.is_scarce, again.is_scarce, again.window_ends_in) == (True, True, None)


async def test_b11_a_window_is_that_of_the_clock_of_postgresql(database: Database, sql: asyncpg.Connection) -> None:
    org_id = await new_org(database, LeaseResource.REQUESTS, RateInterval.DAY, 20)
    store, name = PostgresLeaseStore(database, TERMS), LimitName(LimitOwner.ORG, RateInterval.DAY)
    ask = Acquire(Borrower(f"{org_id}/1", 1), uuid4(), org_id, None, LeaseResource.REQUESTS, 1, 1, name)
    # No process that lends says what time it is.
    (grant,) = (await store.answer({org_id: [ask]}, may_wait=True))[org_id]
    assert isinstance(grant, Grant)
    assert grant.granted == 1
    assert await sql.fetchval("SELECT expires_at <= now() + $1 AND expires_at > now() FROM leases", TERMS.ttl)


async def test_windows_that_are_over_go_with_their_leases(database: Database, sql: asyncpg.Connection) -> None:
    org_id = await new_org(database, LeaseResource.REQUESTS, RateInterval.MINUTE, 1_000)
    store, name = PostgresLeaseStore(database, TERMS), LimitName(LimitOwner.ORG, RateInterval.MINUTE)
    now = datetime.now(UTC)
    for number, moment in enumerate((now - timedelta(minutes=5), now - timedelta(minutes=5), now)):
        edge = BorrowingEdge(store, org_id, Borrower(f"{org_id}/{number}", 1), moment)
        await edge.acquire(1, 10, resource=LeaseResource.REQUESTS, limit=name)
    assert await store.due(now) == [org_id]
    assert await store.due(now - timedelta(minutes=4)) == [], "not each by itself"
    await store.forget(now)
    assert await store.due(now) == []
    assert await store.mismatches() == 0
    assert await sql.fetchval("SELECT count(*) FROM leases") == 1
    assert await sql.fetchval("SELECT count(*) FROM lease_accounts") == 1


async def test_a_shared_window_outlives_the_key_that_it_was_asked_for_with(
    database: Database, sql: asyncpg.Connection
) -> None:
    identity = identity_of(database)
    org_id = (await identity.create_org("Test")).org_id
    await identity.set_rate_limits(
        str(org_id), [OrgLimit(org_id, RateLimit(LimitedQuantity.TOKENS, RateInterval.DAY, 100))]
    )
    key, _ = await identity.create_key(str(org_id), "key", KeyKind.INFERENCE, None, None, "")
    edge = BorrowingEdge(PostgresLeaseStore(database, TERMS), org_id, Borrower(f"{org_id}/1", 1), NOON)
    name = LimitName(LimitOwner.WORKSPACE, RateInterval.DAY)
    lease_id, _ = await edge.acquire(10, key_id=key.key_id, resource=LeaseResource.TOKENS, limit=name)
    await sql.execute("UPDATE api_keys SET deleted_at = now() WHERE org_id = $1", org_id)
    grant = await edge.renew(lease_id, 10, spent=10)
    assert (grant.granted, grant.refusal) == (20, None)
    with pytest.raises(NotFoundError, match="no such limit"):
        await edge.acquire(1, key_id=key.key_id, resource=LeaseResource.REQUESTS, limit=name)
