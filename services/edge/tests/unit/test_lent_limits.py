"""Rate limits that several edges keep together, over a lender in memory: what is admitted, what is asked, and what holds without accounts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import TypeVar

import pytest

from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit, rate_limits_to_proto
from edge.domain.errors import FrozenOrgError, RateLimitError
from edge.domain.exhaustion import Refusal, RefusalReason
from edge.domain.rate_limits import Claim, LimitSet, Owned, Reservation
from edge.domain.wallet import Statement, WalletScope
from edge.domain.windows import LimitOwner
from edge.generations import unix_ms
from edge.lease_ports import Grant
from edge.lent_limits import LentLimits
from edge.testing.accounts import MemoryAccounts
from edge.testing.leases import MemoryLeases
from edge.testing.limits import lent_limits, window_wallets
from edge.window_wallets import WindowWallets
from servicekit.testing import ManualClock, running
from turnpike.accounts.v1 import records_pb2

T = TypeVar("T")

REQUESTS = RateLimit(LimitedQuantity.REQUESTS, RateInterval.MINUTE, 20)
UNUSED_S = 3.0
ONE = Claim()


class NamedLender:
    """The lender as one edge sees it.

    Attributes:
        frozen: whether it says that the organisation may not spend.
    """

    def __init__(self, leases: MemoryLeases, name: str) -> None:
        self._leases, self._name = leases, name
        self.frozen = False

    async def acquire(self, scope: WalletScope, lease_id: str, needed: int, wanted: int) -> Grant | None:
        if self.frozen:
            return Grant(0, 0, refusal=Refusal(RefusalReason.ORG_FROZEN))
        return await self._leases.acquire(scope, lease_id, needed, wanted, self._name)

    async def renew(self, scope: WalletScope, statement: Statement, needed: int, wanted: int) -> Grant | None:
        return await self._leases.renew(scope, statement, needed, wanted)

    async def release(self, scope: WalletScope, statement: Statement) -> None:
        await self._leases.release(scope, statement)


class Edge:
    """One edge, as far as it keeps rate limits."""

    def __init__(self, fleet: Fleet, name: str, edges: int = 1) -> None:
        self.fleet = fleet
        self.lender = NamedLender(fleet.leases, name)
        self.wallets: WindowWallets = window_wallets(self.lender, fleet.clock, Random(name), edges=edges)
        self.limits: LentLimits = lent_limits(self.wallets)

    async def reserve(self, claim: Claim = ONE) -> Reservation:
        return await self.fleet.outcome(self.limits.reserve([self.fleet.owner], claim, unix_ms(self.fleet.clock.now())))

    async def admits(self, count: int, claim: Claim = ONE) -> int:
        """How many of so many requests are admitted."""
        admitted = 0
        for _ in range(count):
            try:
                (await self.reserve(claim)).close()
            except RateLimitError:
                continue
            admitted += 1
        return admitted


class Fleet:
    """Several edges, and the limits of one organisation that accounts lends them."""

    def __init__(self, *limits: RateLimit) -> None:
        self.clock = ManualClock()
        self.accounts = MemoryAccounts()
        self.org = self.accounts.add_org()
        self.set(*limits)
        self.leases = MemoryLeases(self.accounts)
        self.leases.windows.clock = self.clock

    def set(self, *limits: RateLimit) -> None:
        """Give the organisation other limits, known to everybody."""
        del self.org.rate_limits[:]
        for limit in rate_limits_to_proto(limits):
            self.org.rate_limits.append(records_pb2.OrgRateLimit(limit=limit))
        owned = Owned(LimitOwner.ORG, self.org.org_id)
        self.owner = LimitSet(f"org/{self.org.org_id}", "this organization", limits, owned)

    async def outcome(self, work: Awaitable[T]) -> T:
        """Let a little time pass, as often as it takes, until it is known what becomes of something."""

        async def settled() -> T | Exception:
            try:
                return await work
            except Exception as error:
                return error

        task = asyncio.ensure_future(settled())  # noqa: TID251 - awaited below
        for _ in range(100):
            for _ in range(20):
                await asyncio.sleep(0)
            if task.done():
                break
            await self.clock.advance(0.01)
        found = await task
        if isinstance(found, Exception):
            raise found
        return found

    async def idle(self) -> None:
        """Let everybody do what is to be done now."""
        for _ in range(50):
            await asyncio.sleep(0)


@asynccontextmanager
async def edges_of(fleet: Fleet, count: int, *, edges: int = 1) -> AsyncIterator[list[Edge]]:
    async with AsyncExitStack() as stack:
        made = [Edge(fleet, f"edge-{number}", edges) for number in range(count)]
        for edge in made:
            await stack.enter_async_context(running(edge.wallets))
        yield made


async def test_a_small_limit_is_kept_exactly_wherever_its_requests_arrive() -> None:
    fleet = Fleet(REQUESTS)
    async with edges_of(fleet, 10) as edges:
        assert sum([await edges[number % 10].admits(1) for number in range(30)]) == 20
        await fleet.clock.advance(60)
        assert await edges[3].admits(30) == 20, "all at one edge"
        await fleet.clock.advance(60)
        assert [await edge.admits(3) for edge in edges] == [3] * 6 + [2] + [0] * 3


async def test_a_large_limit_is_spent_without_asking_for_each_request_and_to_the_last_one() -> None:
    fleet = Fleet(RateLimit(LimitedQuantity.REQUESTS, RateInterval.MINUTE, 1_000))
    async with edges_of(fleet, 2) as (one, other):
        assert await one.admits(400) == 400
        assert len(fleet.leases.asked_windows) < 60
        some = await other.admits(600)
        assert 100 < some <= 600, "the first one has a share that it may still use"
        # What is not used comes back within twice the time, and then it is there for whoever needs it.
        await fleet.clock.advance(2 * UNUSED_S + 1)
        await fleet.idle()
        assert await other.admits(600) == 600 - some
        assert await one.admits(1) == 0


async def test_a_refusal_says_what_is_left_and_when_there_is_more() -> None:
    fleet = Fleet(RateLimit(LimitedQuantity.TOKENS, RateInterval.MINUTE, 1_000, "acme/one"))
    claim = Claim(models=frozenset({"acme/one"}), tokens=600)
    async with edges_of(fleet, 2) as (one, other):
        await fleet.clock.advance(12)
        first = await one.reserve(claim)
        with pytest.raises(
            RateLimitError, match="1000 tokens per minute with acme/one for this organization"
        ) as raised:
            await other.reserve(claim)
        error = raised.value
        assert (error.limit, error.remaining) == (1_000, 400)
        assert error.reset_ms % 60_000 == 0
        assert 47 < error.retry_after_s <= 48
        # What the answer did not use is there at once, for others too.
        first.settle(tokens=100, spend=0)
        await fleet.idle()
        await fleet.clock.advance(0.2)
        second = await other.reserve(claim)
        second.settle(tokens=600, spend=0)
        await fleet.clock.advance(0.2)
        with pytest.raises(RateLimitError):
            await one.reserve(Claim(models=frozenset({"acme/one"}), tokens=301))
        assert (await other.reserve(Claim(models=frozenset({"acme/two"}), tokens=9_000))) is not None


async def test_all_limits_of_a_request_are_taken_or_none() -> None:
    fleet = Fleet(
        RateLimit(LimitedQuantity.REQUESTS, RateInterval.DAY, 3),
        RateLimit(LimitedQuantity.TOKENS, RateInterval.MINUTE, 100),
        RateLimit(LimitedQuantity.CONCURRENCY, RateInterval.NONE, 1),
    )
    async with edges_of(fleet, 1) as (edge,):
        first = await edge.reserve(Claim(tokens=100))
        with pytest.raises(RateLimitError, match="at the same time"):
            await edge.reserve(Claim(tokens=1))
        first.close()
        for _ in range(5):
            with pytest.raises(RateLimitError, match="tokens per minute"):
                await edge.reserve(Claim(tokens=1))
            await fleet.clock.advance(0.2)
        await fleet.clock.advance(60)
        released = await edge.reserve(Claim(tokens=100))
        released.release()
        await fleet.clock.advance(0.2)
        assert await edge.admits(5, Claim(tokens=10)) == 2, "what was refused took nothing of the day"


async def test_a_request_that_could_use_more_than_the_limit_takes_all_of_it_alone() -> None:
    fleet = Fleet(RateLimit(LimitedQuantity.TOKENS, RateInterval.DAY, 100))
    async with edges_of(fleet, 2) as (one, other):
        first = await one.reserve(Claim(tokens=4_096))
        with pytest.raises(RateLimitError):
            await other.reserve(Claim(tokens=1))
        # It used more than was reserved: that is made good before anything else is lent here.
        first.settle(tokens=130, spend=0)
        await fleet.clock.advance(0.2)
        with pytest.raises(RateLimitError) as raised:
            await one.reserve(Claim(tokens=1))
        assert raised.value.remaining == 0


async def test_without_accounts_an_edge_keeps_its_part_of_a_limit_and_makes_it_good_later() -> None:
    fleet = Fleet(REQUESTS)
    async with edges_of(fleet, 4) as edges:
        assert [await edge.admits(1) for edge in edges] == [1] * 4
        fleet.leases.down = True
        # Of twenty, for the four edges that accounts has told of. The one that asked before it knew of all has more.
        assert [await edge.admits(9) for edge in edges[1:]] == [9, 5, 4]
        with pytest.raises(RateLimitError) as raised:
            await edges[3].reserve()
        assert (raised.value.limit, raised.value.remaining) == (20, 0)
        assert 0 < raised.value.retry_after_s <= 60
        fleet.leases.down = False
        await fleet.clock.advance(10)
        await fleet.idle()
        # What was taken meanwhile is made good: nobody has the whole window again.
        assert await edges[0].admits(9) == 0
        await fleet.clock.advance(60)
        assert await edges[0].admits(30) == 20


async def test_an_edge_that_never_heard_of_accounts_keeps_the_part_that_its_settings_say() -> None:
    fleet = Fleet(REQUESTS)
    fleet.leases.down = True
    async with edges_of(fleet, 1, edges=5) as (edge,):
        assert await edge.admits(9) == 4
        await fleet.clock.advance(60)
        assert await edge.admits(9) == 4, "a new window"


async def test_while_accounts_is_away_nobody_waits_for_it() -> None:
    fleet = Fleet(RateLimit(LimitedQuantity.REQUESTS, RateInterval.DAY, 1_000))
    fleet.leases.down = True
    async with edges_of(fleet, 1) as (edge,):
        await edge.admits(1)
        asked = len(fleet.leases.asked_windows)
        before = fleet.clock.monotonic()
        assert await edge.admits(200) == 200
        assert fleet.clock.monotonic() == before
        assert len(fleet.leases.asked_windows) == asked


async def test_when_accounts_is_silent_nobody_waits_for_it_with_a_limit_that_was_not_asked_for_before() -> None:
    fleet = Fleet(RateLimit(LimitedQuantity.REQUESTS, RateInterval.DAY, 1_000))
    async with edges_of(fleet, 1) as (edge,):
        gate = asyncio.Event()
        for number in range(5):
            fleet.leases.down = number < 3
            fleet.leases.gate = gate.wait if number >= 3 else None
            key = Owned(LimitOwner.KEY, fleet.org.org_id, f"key-{number}")
            owner = LimitSet(f"key/{number}", "this API key", fleet.owner.limits, key)
            (await edge.limits.reserve([owner], ONE, unix_ms(fleet.clock.now()))).close()
        gate.set()


async def test_a_limit_that_accounts_does_not_have_is_kept_here() -> None:
    fleet = Fleet(REQUESTS)
    async with edges_of(fleet, 1, edges=2) as (edge,):
        del fleet.org.rate_limits[:]
        assert await edge.admits(30) == 10


async def test_another_amount_holds_at_once() -> None:
    fleet = Fleet(REQUESTS)
    async with edges_of(fleet, 1) as (edge,):
        assert await edge.admits(30) == 20
        fleet.set(RateLimit(LimitedQuantity.REQUESTS, RateInterval.MINUTE, 25))
        assert await edge.admits(30) == 5


async def test_nothing_is_admitted_for_an_organisation_that_may_not_spend() -> None:
    fleet = Fleet(REQUESTS)
    async with edges_of(fleet, 1) as (edge,):
        edge.lender.frozen = True
        with pytest.raises(FrozenOrgError):
            await edge.reserve()


async def test_what_is_not_spent_goes_back_when_an_edge_stops() -> None:
    fleet = Fleet(RateLimit(LimitedQuantity.TOKENS, RateInterval.DAY, 1_000_000))
    async with edges_of(fleet, 1) as (other,):
        async with edges_of(fleet, 1) as (edge,):
            (await edge.reserve(Claim(tokens=1_000))).settle(tokens=10, spend=0)
        assert not fleet.leases.windows.leases, "released"
        assert await other.admits(1, Claim(tokens=999_990)) == 1


async def test_leases_of_days_are_extended_and_what_was_taken_outlives_them() -> None:
    fleet = Fleet(RateLimit(LimitedQuantity.REQUESTS, RateInterval.DAY, 10_000))
    async with edges_of(fleet, 1) as (edge,):
        for _ in range(40):
            assert await edge.admits(50) == 50
            await fleet.clock.advance(60)
            await fleet.idle()
        assert await edge.admits(9_000) == 8_000
