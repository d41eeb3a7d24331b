"""B6 after every kind of step in any order, against a model, on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_store import PostgresKeyStore
from accounts.adapters.postgres.lease_store import PostgresLeaseStore
from accounts.adapters.postgres.org_store import PostgresOrgStore
from accounts.adapters.postgres.payment_sql import CHANGE_CREDIT
from accounts.adapters.postgres.settlement_store import PostgresSettlementStore
from accounts.domain.accounts import KeyKind
from accounts.domain.errors import FencedError, NotFoundError
from accounts.domain.leases import Borrower, Grant, RefusalReason
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.testing.leases import TERMS, BorrowingEdge, check_leases
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.topics import USAGE
from servicekit.clock import SystemClock
from servicekit.failpoints import Failpoints
from servicekit.kafka import TopicPartition
from servicekit.testing import RecordingTelemetry
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

T = TypeVar("T")

PEPPER = b"a pepper of at least thirty-two bytes"
CREDIT = 300_000
KEY_LIMIT = 150_000
USAGE_0 = TopicPartition(USAGE.name, 0)

AMOUNTS = st.integers(1, 60_000)
# Mostly the same few, so that much happens to one.
INDEXES = st.one_of(st.integers(0, 1), st.integers(0, 100))
# 300 nano-dollars each.
TOKENS = st.integers(0, 200)


@dataclass
class World:
    """What all runs of the machine share."""

    runner: asyncio.Runner
    database: Database
    sql: asyncpg.Connection
    telemetry: RecordingTelemetry = field(default_factory=RecordingTelemetry)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @property
    def settlement(self) -> Settlement:
        store = PostgresSettlementStore(self.database, Failpoints())
        return Settlement(store, SystemClock(), self.telemetry.tracer, self.telemetry.meter, Failpoints())

    @property
    def identity(self) -> Identity:
        audit = PostgresAuditLog(self.database, PEPPER)
        keys, orgs = PostgresKeyStore(self.database, audit), PostgresOrgStore(self.database, audit)
        return Identity(keys, orgs, SystemClock(), Random(), PEPPER)


@dataclass
class Lent:
    """A lease as the model has it."""

    lease_id: UUID
    borrower: Borrower
    is_keyed: bool
    granted: int
    closes_at: datetime
    returned: int = 0
    spent: int = 0
    is_released: bool = False
    is_closed: bool = False

    @property
    def held(self) -> int:
        return 0 if self.is_closed else max(self.granted - self.returned - self.spent, 0)

    def give_back(self, spent: int, in_flight: int, returned: int) -> None:
        self.returned = max(self.returned, min(returned, max(self.granted - spent - in_flight, 0)))


class LeaseMachine(RuleBasedStateMachine):
    """One organisation with a limited key, two edges, and whatever can happen to them."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.leases: list[Lent] = []
        self.events: dict[str, tuple[usage_pb.UsageEvent, Lent]] = {}
        self.epochs = {"edge-1": 1, "edge-2": 1}
        self.now = datetime.now(UTC)
        self.balance = CREDIT
        self.key_spent = 0
        # What was spent without having been lent: taken away, or beyond what a lease had left.
        self.uncovered = 0
        self.key_uncovered = 0
        self.is_frozen = False
        self.offset = 0

    @initialize()
    def begin(self) -> None:
        identity = self.world.identity

        async def make() -> tuple[UUID, UUID]:
            org = await identity.create_org("Test")
            await identity.grant_credit(str(org.org_id), CREDIT, "first", "test")
            key, _ = await identity.create_key(str(org.org_id), "key", KeyKind.INFERENCE, KEY_LIMIT, None, "")
            return org.org_id, key.key_id

        self.org_id, self.key_id = self.world.run(make())

    @rule(edge=st.sampled_from(["edge-1", "edge-2"]), needed=AMOUNTS, more=AMOUNTS, is_keyed=st.booleans())
    def acquire(self, edge: str, needed: int, more: int, is_keyed: bool) -> None:
        available = self.available(is_keyed)
        borrower = Borrower(edge, self.epochs[edge])
        lease_id, grant = self.world.run(
            self.edge(borrower).acquire(needed, needed + more, key_id=self.key_id if is_keyed else None)
        )
        self.check_refusal(grant, needed, available)
        if grant.granted:
            assert needed <= grant.granted <= available
            self.leases.append(Lent(lease_id, borrower, is_keyed, grant.granted, self.closing()))
            _, again = self.world.run(self.edge(borrower).acquire(needed, lease_id=lease_id))
            assert again.granted == grant.granted, "a repeat is the same lease"

    @precondition(lambda self: self.leases)
    @rule(index=INDEXES, needed=st.one_of(st.just(0), AMOUNTS), spent=AMOUNTS, in_flight=AMOUNTS, returned=AMOUNTS)
    def renew(self, index: int, needed: int, spent: int, in_flight: int, returned: int) -> None:
        lent = self.leases[-1 - index % len(self.leases)]
        call = self.edge(lent.borrower).renew(
            lent.lease_id, needed, spent=spent, in_flight=in_flight, returned=returned
        )
        if not self.may_call(lent, call, ended=lent.is_released or lent.is_closed):
            return
        lent.give_back(spent, in_flight, returned)
        grant, available = self.answer, self.available(lent.is_keyed)
        if grant.time_to_live:
            lent.closes_at = self.closing()
        if needed:
            self.check_refusal(grant, needed, available)
        assert grant.granted - lent.granted == 0 or needed <= grant.granted - lent.granted <= available
        if grant.granted > lent.granted:
            lent.spent = min(lent.spent, lent.granted - lent.returned)
        lent.granted = grant.granted

    @precondition(lambda self: self.leases)
    @rule(index=INDEXES, spent=AMOUNTS, in_flight=st.one_of(st.just(0), AMOUNTS))
    def release(self, index: int, spent: int, in_flight: int) -> None:
        lent = self.leases[-1 - index % len(self.leases)]
        call = self.edge(lent.borrower).release(lent.lease_id, spent=spent, in_flight=in_flight)
        if not self.may_call(lent, call, ended=False):
            return
        if lent.is_closed:
            assert self.answer == 0
            return
        before = lent.returned
        lent.give_back(spent, in_flight, lent.granted)
        if not lent.is_released:
            lent.is_released, lent.closes_at = True, self.now + TERMS.grace
        assert self.answer == lent.returned - before
        lent.is_closed = lent.held == 0

    @precondition(lambda self: self.leases)
    @rule(index=INDEXES, tokens=TOKENS, is_final=st.booleans())
    def settle(self, index: int, tokens: int, is_final: bool) -> None:
        """On any lease that ever was: late, where it is closed."""
        lent = self.leases[-1 - index % len(self.leases)]
        rank = usage_pb.USAGE_RANK_ROUTER_FINAL if is_final else usage_pb.USAGE_RANK_EDGE_ESTIMATE
        event = UsageEvents(Random())(self.org_id, self.key_id, prompt=0, completion=tokens, rank=rank)
        event.lease_id = str(lent.lease_id)
        self.handle(event)
        self.post(event, lent, event.cost_nano_usd)

    @precondition(lambda self: self.events)
    @rule(index=INDEXES)
    def settle_twice(self, index: int) -> None:
        event, _ = list(self.events.values())[-1 - index % len(self.events)]
        self.handle(event, event)

    @precondition(lambda self: self.events)
    @rule(index=INDEXES, tokens=TOKENS)
    def correct(self, index: int, tokens: int) -> None:
        """The final figures after an estimate; after final ones they change nothing."""
        event, lent = list(self.events.values())[-1 - index % len(self.events)]
        final = UsageEvents(Random())(
            self.org_id, self.key_id, prompt=0, completion=tokens, generation_id=event.generation_id
        )
        final.lease_id = event.lease_id
        self.handle(final)
        if event.rank < final.rank:
            self.post(final, lent, final.cost_nano_usd - event.cost_nano_usd)

    @rule(seconds=st.sampled_from([1, 30, 60, 1_000]))
    def expire(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        store = PostgresLeaseStore(self.world.database, TERMS)
        over = [lent for lent in self.leases if not lent.is_closed and lent.closes_at <= self.now]
        assert self.world.run(store.close_due(self.org_id, self.now)) == (len(over), sum(lent.held for lent in over))
        for lent in over:
            lent.is_closed = True

    @rule(nano=AMOUNTS)
    def top_up(self, nano: int) -> None:
        self.world.run(self.world.identity.grant_credit(str(self.org_id), nano, str(uuid4()), "test"))
        self.balance += nano

    @rule(nano=AMOUNTS)
    def charge_back(self, nano: int) -> None:
        values = {"org_id": self.org_id, "change": -nano, "may_freeze": True, "frozen": 2}

        async def take() -> None:
            async with self.world.database.transaction(self.org_id) as connection:
                await connection.execute(CHANGE_CREDIT, values)

        credits_left = self.world.run(
            self.world.sql.fetchval("SELECT credits_nano FROM orgs WHERE org_id = $1", self.org_id)
        )
        if credits_left < nano:
            return
        self.world.run(take())
        self.balance -= nano
        self.uncovered += nano
        self.is_frozen |= self.balance < 0

    @precondition(lambda self: self.is_frozen)
    @rule()
    def thaw(self) -> None:
        self.world.run(self.world.sql.execute("UPDATE orgs SET status = 1 WHERE org_id = $1", self.org_id))
        self.is_frozen = False

    @rule(edge=st.sampled_from(["edge-1", "edge-2"]))
    def restart(self, edge: str) -> None:
        """The next call of the edge fences its older processes out."""
        self.epochs[edge] += 1
        _, grant = self.world.run(self.edge(Borrower(edge, self.epochs[edge])).acquire(10**15))
        assert grant.granted == 0

    @invariant()
    def b06_held_is_the_sum_of_open_leases(self) -> None:
        if not hasattr(self, "org_id"):
            return
        self.world.run(check_leases(self.world.sql, self.org_id))
        row = self.world.run(
            self.world.sql.fetchrow(
                "SELECT balance_nano, (SELECT held FROM lease_accounts AS a WHERE a.org_id = o.org_id AND name = 'credit') AS held, "
                "(SELECT held FROM lease_accounts AS a WHERE a.org_id = o.org_id AND name LIKE 'key/%') AS key_held "
                "FROM orgs AS o WHERE org_id = $1",
                self.org_id,
            )
        )
        assert (row["balance_nano"], row["held"] or 0, row["key_held"] or 0) == (
            self.balance,
            self.held(keyed_only=False),
            self.held(keyed_only=True),
        )
        assert self.balance - self.held(keyed_only=False) + self.uncovered >= 0, "B5"
        assert KEY_LIMIT - self.key_spent - self.held(keyed_only=True) + self.key_uncovered >= 0, "B5 of the key"

    def edge(self, borrower: Borrower) -> BorrowingEdge:
        # The edges come and go with their epochs, and other runs have edges of these names too.
        named = Borrower(f"{self.org_id}/{borrower.edge_id}", borrower.epoch)
        return BorrowingEdge(PostgresLeaseStore(self.world.database, TERMS), self.org_id, named, self.now)

    def held(self, *, keyed_only: bool) -> int:
        return sum(lent.held for lent in self.leases if lent.is_keyed or not keyed_only)

    def available(self, is_keyed: bool) -> int:
        available = self.balance - self.held(keyed_only=False)
        return min(available, KEY_LIMIT - self.key_spent - self.held(keyed_only=True)) if is_keyed else available

    def closing(self) -> datetime:
        return self.now + TERMS.ttl + TERMS.grace

    def check_refusal(self, grant: Grant, needed: int, available: int) -> None:
        if self.is_frozen:
            assert grant.refusal is not None
            assert grant.refusal.reason is RefusalReason.ORG_FROZEN
        else:
            assert (grant.refusal is None) == (available >= needed), "refused exactly when it is not there"

    def may_call(self, lent: Lent, call: Coroutine[Any, Any, Any], *, ended: bool) -> bool:
        """Make a call, and check that it is refused where it must be."""
        is_fenced = lent.borrower.epoch < self.epochs[lent.borrower.edge_id]
        expected = FencedError if is_fenced else NotFoundError if ended else None
        if expected is not None:
            with pytest.raises(expected):
                self.world.run(call)
            return False
        self.answer = self.world.run(call)
        return True

    def handle(self, *events: usage_pb.UsageEvent) -> None:
        records = usage_records(events, first=self.offset)
        self.offset += len(events)
        self.world.run(self.world.settlement.handle(str(self.org_id), USAGE_0, records))

    def post(self, event: usage_pb.UsageEvent, lent: Lent, change: int) -> None:
        self.events[event.event_id] = event, lent
        before = lent.held
        self.balance -= change
        self.key_spent += change
        if not lent.is_closed:
            lent.spent = max(lent.spent + change, 0)
            lent.is_closed = lent.is_released and change != 0 and lent.spent >= lent.granted - lent.returned
        freed = before - lent.held
        self.uncovered += max(change - freed, 0)
        self.key_uncovered += max(change - (freed if lent.is_keyed else 0), 0)
        if self.balance < 0:
            self.uncovered = max(self.uncovered, -self.balance)


def test_b06_held_is_the_sum_of_open_leases(dsn: str, open_database: Callable[..., Database]) -> None:
    with asyncio.Runner() as runner:
        database = open_database(dsn)
        runner.run(database.start())
        sql = runner.run(asyncpg.connect(dsn))
        world = World(runner, database, sql)
        try:
            run_state_machine_as_test(
                lambda: LeaseMachine(world),  # type: ignore[arg-type]  # documented as any function that makes one
                settings=settings(
                    max_examples=30,
                    stateful_step_count=30,
                    deadline=None,
                    suppress_health_check=[HealthCheck.too_slow],
                ),
            )
        finally:
            runner.run(sql.close())
            runner.run(database.stop(timedelta(seconds=5)))
