"""Fifty edges that spend the same credit: real wallets and clients, real accounts on PostgreSQL, real settlement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from uuid import uuid4

import pytest
from opentelemetry.metrics import NoOpMeter

from accounts.testing.usage_events import PRICE, UsageEvents
from contracts import money
from contracts.money import TokenCounts
from edge.adapters.lease_client import GrpcLeaseLender
from edge.domain.errors import DependencyError
from edge.domain.wallet import MARGIN_S, Statement, Ticket, WalletScope
from edge.lease_ports import Grant
from edge.wallets import ExhaustedError, Wallets
from lending_support.bank import DOLLAR, Bank
from servicekit.clock import Clock, SystemClock
from servicekit.testing import ManualClock, running
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

pytestmark = pytest.mark.asyncio(loop_scope="session")

EDGES, IN_FLIGHT = 50, 20
PROMPT, COMPLETION = 500, 4_000
# 800 of a thousand such holds fit into a dollar.
HOLD = money.cost(PRICE, TokenCounts(prompt=PROMPT, completion=COMPLETION)).total


class PartedLender:
    """A lender that can be out of reach.

    Attributes:
        away: whether it is.
    """

    def __init__(self, lender: GrpcLeaseLender) -> None:
        self._lender = lender
        self.away = False
        self._begun = 0
        self._ended: set[int] = set()
        self._news = asyncio.Condition()

    async def acquire(self, scope: WalletScope, lease_id: str, needed: int, wanted: int) -> Grant | None:
        async with self._call():
            return await self._lender.acquire(scope, lease_id, needed, wanted)

    async def renew(self, scope: WalletScope, statement: Statement, needed: int, wanted: int) -> Grant | None:
        async with self._call():
            return await self._lender.renew(scope, statement, needed, wanted)

    async def release(self, scope: WalletScope, statement: Statement) -> None:
        async with self._call():
            await self._lender.release(scope, statement)

    async def next_call(self) -> None:
        """Return when a call is over that begins after this."""
        before = self._begun
        async with self._news:
            await self._news.wait_for(lambda: any(number > before for number in self._ended))

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        if self.away:
            raise DependencyError("accounts")
        self._begun += 1
        number = self._begun
        yield
        async with self._news:
            self._ended.add(number)
            self._news.notify_all()


@asynccontextmanager
async def edge_of(lending: Bank, clock: Clock) -> AsyncIterator[tuple[Wallets, PartedLender]]:
    """One edge, as far as it borrows."""
    lender = PartedLender(GrpcLeaseLender(lending.channel, timedelta(seconds=30), f"edge-{uuid4()}", 1))
    wallets = Wallets(
        lender, clock, NoOpMeter("test"), Random(), cover=timedelta(minutes=15), patience=timedelta(seconds=60)
    )
    async with running(wallets, grace=timedelta(seconds=30)):
        yield wallets, lender


class Spending:
    """What everybody together spends of one organisation's dollar, known to nobody but the test.

    Attributes:
        credit: nano-dollars that are left.
        held: holds of generations under way.
        on_its_way: what ended generations left over, until accounts has it back.
        refused: for each request that was refused, what was free then.
    """

    def __init__(self, lending: Bank, org_id: str, key_id: str, credit: int) -> None:
        self.lending = lending
        self.scope = WalletScope(org_id)
        self.key_id = key_id
        self.credit = credit
        self.held = 0
        self.on_its_way = 0
        self.served = 0
        self.refused: list[int] = []
        self._random = Random(5)
        self._events = UsageEvents(Random(7))

    async def generate(self, wallets: Wallets, lender: PartedLender) -> bool:
        """One request from its admission to its usage event; says whether it was admitted."""
        try:
            ticket = await wallets.take(self.scope, HOLD)
        except ExhaustedError:
            self.refused.append(self.credit - self.held - self.on_its_way)
            return False
        self.held += HOLD
        assert self.held <= self.credit, "B5: more is promised than there is"
        await asyncio.sleep(self._random.random() / 20)
        event = self._end(ticket)
        self.held -= HOLD
        self.credit -= event.cost_nano_usd
        self.served += 1
        left = HOLD - event.cost_nano_usd
        self.on_its_way += left
        async with asyncio.TaskGroup() as tasks:
            if left:
                tasks.create_task(lender.next_call())
            await asyncio.sleep(0)
            ticket.charge(event.cost_nano_usd)
            tasks.create_task(self.lending.settle(event))
        self.on_its_way -= left
        return True

    def _end(self, ticket: Ticket) -> UsageEvent:
        event = self._events(
            self.scope.org_id,
            self.key_id,
            prompt=self._random.randint(1, PROMPT),
            completion=self._random.randint(1, COMPLETION),
        )
        event.lease_id, event.hold_nano_usd = ticket.lease_id, ticket.amount
        return event


async def test_b05_fifty_edges_with_twenty_requests_each_spend_a_dollar_and_no_more(lending: Bank) -> None:
    org_id = await lending.new_org(DOLLAR)
    spending = Spending(lending, org_id, await lending.new_key(org_id), DOLLAR)
    async with asyncio.timeout(110), _edges(lending) as edges:
        while True:
            async with asyncio.TaskGroup() as tasks:
                wave = [tasks.create_task(spending.generate(*edge)) for edge in edges for _ in range(IN_FLIGHT)]
            if not any(task.result() for task in wave):
                break
        assert spending.refused
        # None was refused while two more would have fit: not at the same moment, and not when all is over.
        assert max(spending.refused) <= 2 * HOLD
        assert 0 <= spending.credit < 2 * HOLD
    await lending.settled(org_id, spending.served)
    assert await lending.balance(org_id) == spending.credit
    assert await lending.held(org_id) == 0
    await lending.check()


@asynccontextmanager
async def _edges(lending: Bank) -> AsyncIterator[list[tuple[Wallets, PartedLender]]]:
    clock = SystemClock()
    opened = [edge_of(lending, clock) for _ in range(EDGES)]
    edges = [await each.__aenter__() for each in opened]
    try:
        yield edges
    finally:
        for each in opened:
            await each.__aexit__(None, None, None)


async def test_b12_edge_partitioned_from_control_plane_stops_within_ttl(lending: Bank) -> None:
    org_id = await lending.new_org(100 * DOLLAR)
    scope, clock = WalletScope(org_id), ManualClock()
    async with edge_of(lending, clock) as (wallets, lender):
        first = await wallets.take(scope, HOLD)
        lent = await lending.held(org_id)
        assert HOLD <= lent <= 50 * DOLLAR
        lender.away = True
        first.charge(0)
        (lease,) = await lending.sql.fetch(
            "SELECT expires_at - now() AS left FROM leases WHERE org_id::text = $1", org_id
        )
        time_to_live = 16 * 60.0
        assert 0 < lease["left"].total_seconds() <= time_to_live
        # What is lent serves to within two seconds of the end, without a word to anybody.
        await clock.advance(time_to_live - MARGIN_S - 0.01)
        (await wallets.take(scope, HOLD)).charge(HOLD)
        await clock.advance(0.01)
        with pytest.raises(DependencyError):
            await wallets.take(scope, HOLD)
        # What it cannot give back is what it was lent.
        assert await lending.held(org_id) == lent
    assert await lending.held(org_id) == lent
    await lending.check()
