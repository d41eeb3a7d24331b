"""Several edges that keep the same rate limits: real wallets and clients, real accounts on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import pytest
from google.protobuf.json_format import MessageToJson
from opentelemetry.metrics import NoOpMeter

from accounts.testing.usage_events import UsageEvents
from contracts.guardrails import default_guardrail_id
from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit, rate_limits_to_proto
from edge.adapters.lease_client import GrpcLeaseLender
from edge.domain.errors import DependencyError, RateLimitError
from edge.domain.rate_limits import Claim, LimitSet, Owned, RateLimits, Reservation
from edge.domain.wallet import Statement, WalletScope
from edge.domain.windows import LimitOwner
from edge.generations import unix_ms
from edge.lease_ports import Grant
from edge.lent_limits import LentLimits
from edge.wallets import ExhaustedError, Wallets
from edge.window_wallets import WindowWallets
from lending_support.bank import DOLLAR, Bank
from servicekit.clock import SystemClock
from servicekit.testing import running
from servicekit.testing.service_process import eventually
from turnpike.accounts.v1 import guardrail_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONE = Claim()
PATIENCE = timedelta(seconds=30)


class SkewedClock(SystemClock):
    """The clock of a machine that is wrong by so much."""

    def __init__(self, skew: timedelta) -> None:
        self._skew = skew

    def now(self) -> datetime:
        return super().now() + self._skew


class PartedLender:
    """A lender that can be out of reach.

    Attributes:
        away: whether it is.
        calls: how often it was asked.
    """

    def __init__(self, lender: GrpcLeaseLender) -> None:
        self._lender = lender
        self.away = False
        self.calls = 0

    async def acquire(self, scope: WalletScope, lease_id: str, needed: int, wanted: int) -> Grant | None:
        self._called()
        return await self._lender.acquire(scope, lease_id, needed, wanted)

    async def renew(self, scope: WalletScope, statement: Statement, needed: int, wanted: int) -> Grant | None:
        self._called()
        return await self._lender.renew(scope, statement, needed, wanted)

    async def release(self, scope: WalletScope, statement: Statement) -> None:
        self._called()
        await self._lender.release(scope, statement)

    def _called(self) -> None:
        self.calls += 1
        if self.away:
            raise DependencyError("accounts")


class Edge:
    """One edge, as far as it keeps rate limits of one organisation."""

    def __init__(self, lending: Bank, org_id: str, limits: tuple[RateLimit, ...], skew: timedelta) -> None:
        self.org_id = org_id
        self._clock = SkewedClock(skew)
        self._owner = LimitSet(f"org/{org_id}", "this organization", limits, Owned(LimitOwner.ORG, org_id))
        self.lender = PartedLender(GrpcLeaseLender(lending.channel, PATIENCE, f"edge-{uuid4()}", 1))
        self.wallets = WindowWallets(
            self.lender,
            self._clock,
            NoOpMeter("test"),
            Random(),
            unused=timedelta(seconds=0.2),
            patience=PATIENCE,
        )
        self.refused: list[tuple[RateLimitError, int]] = []
        self._limits = LentLimits(RateLimits(), self.wallets)

    async def reserve(self, claim: Claim = ONE, owner: LimitSet | None = None) -> Reservation | None:
        """Admit a request; None where a limit refuses."""
        try:
            return await self._limits.reserve([owner or self._owner], claim, unix_ms(self._clock.now()))
        except RateLimitError as error:
            self.refused.append((error, max(claim.tokens, 1)))
            return None

    async def admits(self, count: int, owner: LimitSet | None = None) -> int:
        """How many of so many requests in a row are admitted."""
        admitted = 0
        for _ in range(count):
            reserved = await self.reserve(ONE, owner)
            if reserved is not None:
                reserved.close()
                admitted += 1
        return admitted


@asynccontextmanager
async def edges_of(lending: Bank, count: int, *limits: RateLimit, skewed: bool = False) -> AsyncIterator[list[Edge]]:
    """So many edges, and an organisation with these limits."""
    org_id = await lending.new_org(0)
    await lending.set_rate_limits(org_id, *limits)
    random = Random(3)
    async with AsyncExitStack() as stack:
        edges = []
        for _ in range(count):
            skew = timedelta(minutes=random.choice([-5, 0, 5]), seconds=random.random()) if skewed else timedelta()
            edge = Edge(lending, org_id, limits, skew)
            await stack.enter_async_context(running(edge.wallets, grace=PATIENCE))
            edges.append(edge)
        yield edges
        for error, wanted in (refused for edge in edges for refused in edge.refused):
            assert error.retry_after_s > 0
            assert error.remaining < wanted
        taken = await lending.windows(org_id)
        most = {limit.quantity.value: limit.amount for limit in limits}
        for name, amount in taken.items():
            assert amount <= most[name.split("/")[4]], "more was taken of a window than the limit"
    await lending.check()


async def test_s38_ten_edges_admit_what_a_small_limit_allows_wherever_requests_arrive(lending: Bank) -> None:
    limit = RateLimit(LimitedQuantity.REQUESTS, RateInterval.MINUTE, 20)
    for _ in range(3):
        async with edges_of(lending, 10, limit) as edges:
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(edges[number % 10].reserve()) for number in range(40)]
            admitted = sum(task.result() is not None for task in asked)
            taken = await lending.windows(edges[0].org_id)
        if len(taken) == 1:
            assert admitted == sum(taken.values()) == 20
            return
        # A minute ended meanwhile: of the next one, edges may have what they do not need. Another organisation, in one minute.
        assert admitted <= sum(taken.values())
    pytest.fail("a minute ended each time")


async def test_b11_clocks_that_are_minutes_apart_change_no_amount(lending: Bank) -> None:
    limit = RateLimit(LimitedQuantity.REQUESTS, RateInterval.DAY, 20)
    async with edges_of(lending, 10, limit, skewed=True) as edges:
        assert sum([await edges[number % 10].admits(1) for number in range(30)]) == 20
    # Credit: leases of edges, and events of routers, whose clocks are wrong.
    org_id = await lending.new_org(DOLLAR)
    key_id, hold, events, cost = await lending.new_key(org_id), DOLLAR // 8, UsageEvents(Random(1)), 0
    served = 0
    for skew in (timedelta(minutes=5), timedelta(minutes=-5), timedelta()):
        wallets = Wallets(
            GrpcLeaseLender(lending.channel, PATIENCE, f"edge-{uuid4()}", 1),
            SkewedClock(skew),
            NoOpMeter("test"),
            Random(),
            cover=timedelta(minutes=15),
            patience=PATIENCE,
        )
        async with running(wallets, grace=PATIENCE):
            for _ in range(2):
                ticket = await wallets.take(WalletScope(org_id), hold)
                event = events(org_id, key_id, ended_at=SkewedClock(skew).now())
                event.lease_id, event.hold_nano_usd = ticket.lease_id, ticket.amount
                ticket.charge(event.cost_nano_usd)
                await lending.settle(event)
                cost, served = cost + event.cost_nano_usd, served + 1
            with pytest.raises(ExhaustedError):
                await wallets.take(WalletScope(org_id), DOLLAR)
    await lending.settled(org_id, served)
    assert await lending.balance(org_id) == DOLLAR - cost
    assert await lending.held(org_id) == 0


async def test_a_large_limit_is_kept_without_a_call_for_each_request_and_to_the_last_one(lending: Bank) -> None:
    limit = RateLimit(LimitedQuantity.REQUESTS, RateInterval.DAY, 2_000)
    async with edges_of(lending, 3, limit) as edges:
        admitted = sum(await asyncio.gather(*(edge.admits(500) for edge in edges)))
        assert admitted == 1_500
        calls = sum(edge.lender.calls for edge in edges)
        assert calls < admitted, "a call is for more than one of them"
        # Whatever lies at other edges comes back, so that one of them can have all of the rest.
        rest = 0

        async def all_admitted() -> bool:
            nonlocal rest
            rest += await edges[0].admits(50)
            return rest >= 500

        await eventually(all_admitted, "the rest is admitted", 60)
        assert rest == 500
        assert await edges[1].admits(1) == 0


async def test_tokens_that_answers_did_not_use_are_there_for_other_edges(lending: Bank) -> None:
    limit = RateLimit(LimitedQuantity.TOKENS, RateInterval.DAY, 20_000)
    random, used = Random(11), 0

    async def request(edge: Edge) -> None:
        nonlocal used
        reserved = await edge.reserve(Claim(tokens=1_000))
        if reserved is None:
            return
        await asyncio.sleep(random.random() / 100)
        tokens = random.randint(1, 1_000)
        used += tokens
        assert used <= limit.amount
        reserved.settle(tokens, 0)
        reserved.close()

    async with edges_of(lending, 5, limit) as edges:

        async def nothing_fits() -> bool:
            await asyncio.gather(*(request(edge) for edge in edges for _ in range(3)))
            return used > limit.amount - 1_000

        await eventually(nothing_fits, "all is used, as long as a whole request fits", 60)


async def test_without_accounts_limits_hold_by_parts_and_are_made_good_when_it_is_back(lending: Bank) -> None:
    limit = RateLimit(LimitedQuantity.REQUESTS, RateInterval.DAY, 40)
    async with edges_of(lending, 4, limit) as edges:
        for _ in range(2):
            assert [await edge.admits(1) for edge in edges] == [1] * 4
        for edge in edges:
            edge.lender.away = True
        # Ten for each of four edges, of which two are taken.
        assert [await edge.admits(20) for edge in edges] == [8] * 4
        for edge in edges:
            edge.lender.away = False

        async def made_good() -> bool:
            (window,) = (await lending.windows(edges[0].org_id)).values()
            return window == 40

        await eventually(made_good, "accounts knows of all forty", 60)
        assert [await edge.admits(1) for edge in edges] == [0] * 4


async def test_limits_of_keys_workspaces_guardrails_and_members_are_those_that_accounts_has(lending: Bank) -> None:
    def limit(amount: int) -> RateLimit:
        return RateLimit(LimitedQuantity.REQUESTS, RateInterval.DAY, amount)

    org_id = await lending.new_org(0)
    await lending.set_rate_limits(org_id, limit(6), workspace_id=org_id)
    keys = [await lending.new_key(org_id, rate_limits=[limit(4)]) for _ in range(2)]
    await lending.sql.execute("UPDATE api_keys SET creator_user_id = 'ada' WHERE org_id = $1", UUID(org_id))
    guardrail = default_guardrail_id(org_id)
    policy = guardrail_pb2.GuardrailPolicy(rate_limits=rate_limits_to_proto([limit(5)]))
    await lending.sql.execute(
        "INSERT INTO guardrails (guardrail_id, org_id, workspace_id, name, policy, created_at, revision) "
        "VALUES ($1, $2, $2, 'team', $3, now(), 1)",
        UUID(guardrail),
        UUID(org_id),
        MessageToJson(policy, preserving_proto_field_name=True),
    )
    sets = {
        4: [LimitSet(f"key/{key}", "", [limit(4)], Owned(LimitOwner.KEY, org_id, key)) for key in keys],
        5: [
            LimitSet(f"guardrail/key/{key}", "", [limit(5)], Owned(LimitOwner.KEY, org_id, key, guardrail))
            for key in keys
        ],
    }
    shared = {
        6: [LimitSet("workspace", "", [limit(6)], Owned(LimitOwner.WORKSPACE, org_id, key)) for key in keys],
        5: [LimitSet("member", "", [limit(5)], Owned(LimitOwner.MEMBER, org_id, key, guardrail)) for key in keys],
    }
    async with edges_of(lending, 2) as edges:
        for amount, owners in sets.items():
            for owner in owners:
                assert sum([await edge.admits(4, owner) for edge in edges]) == amount
        for amount, owners in shared.items():
            assert sum([await edge.admits(2, owner) for edge in edges for owner in owners]) == amount
