"""What every lender of credit and of rate limits promises: the double, the client of the double, and the client of accounts on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import uuid4

import pytest
import pytest_asyncio

from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit, rate_limits_to_proto
from edge.adapters.lease_client import GrpcLeaseLender
from edge.domain.exhaustion import RefusalReason, SpendingAccount
from edge.domain.wallet import Statement, WalletScope
from edge.domain.windows import LimitOwner, Window
from edge.lease_ports import LeaseLender
from edge.testing.accounts import MemoryAccounts
from edge.testing.leases import MemoryLeases, register_leases
from lending_support.bank import DOLLAR, Bank
from servicekit.testing import run_servicer
from turnpike.accounts.v1 import records_pb2

pytestmark = pytest.mark.asyncio(loop_scope="session")
TIMEOUT = timedelta(seconds=20)


class Owner(Protocol):
    """Makes organisations and keys."""

    async def new_org(self, balance: int) -> str:
        """Make one with credit."""
        ...

    async def new_key(self, org_id: str, limit: int | None = None) -> str:
        """Make one."""
        ...

    async def set_rate_limits(self, org_id: str, *limits: RateLimit) -> None:
        """Give an organisation rate limits as a whole."""
        ...


@dataclass(frozen=True)
class MemoryOwner:
    """Makes them in memory."""

    accounts: MemoryAccounts

    async def new_org(self, balance: int) -> str:
        return self.accounts.add_org(balance).org_id

    async def new_key(self, org_id: str, limit: int | None = None) -> str:
        return self.accounts.add_key(org_id, limit=limit)[1].key_id

    async def set_rate_limits(self, org_id: str, *limits: RateLimit) -> None:
        record = self.accounts.orgs[org_id]
        del record.rate_limits[:]
        record.rate_limits.extend(records_pb2.OrgRateLimit(limit=limit) for limit in rate_limits_to_proto(limits))


@dataclass(frozen=True)
class Lent:
    """A lender, and who has what it lends."""

    lender: LeaseLender
    owner: Owner


@pytest_asyncio.fixture(params=["double", "double-over-grpc", "accounts"], loop_scope="session")
async def lent(request: pytest.FixtureRequest, lending: Bank) -> AsyncIterator[Lent]:
    if request.param == "accounts":
        yield Lent(GrpcLeaseLender(lending.channel, TIMEOUT, f"edge-{uuid4()}", 1), lending)
        return
    accounts = MemoryAccounts()
    leases = MemoryLeases(accounts)
    async with AsyncExitStack() as stack:
        if request.param == "double":
            yield Lent(leases, MemoryOwner(accounts))
            return

        def register(server: object) -> list[str]:
            register_leases(server, leases)  # type: ignore[arg-type]  # a server of grpc.aio
            return []

        channel = await stack.enter_async_context(run_servicer(register))
        yield Lent(GrpcLeaseLender(channel, TIMEOUT, "edge", 1), MemoryOwner(accounts))


def lease() -> str:
    return str(uuid4())


async def test_much_credit_is_lent_ahead(lent: Lent) -> None:
    scope = WalletScope(await lent.owner.new_org(100 * DOLLAR))
    grant = await lent.lender.acquire(scope, lease(), 1_000, 5_000)
    assert grant is not None
    assert (grant.granted, grant.is_scarce, grant.refusal) == (5_000, False, None)
    assert 15 * 60 < grant.time_to_live <= 16 * 60


async def test_little_credit_is_lent_by_the_request(lent: Lent) -> None:
    scope = WalletScope(await lent.owner.new_org(DOLLAR))
    grant = await lent.lender.acquire(scope, lease(), 1_000, 5_000)
    assert grant is not None
    assert (grant.granted, grant.is_scarce) == (1_000, True)


async def test_the_same_lease_is_lent_once(lent: Lent) -> None:
    scope, name = WalletScope(await lent.owner.new_org(DOLLAR)), lease()
    for _ in range(2):
        grant = await lent.lender.acquire(scope, name, DOLLAR, DOLLAR)
        assert grant is not None
        assert (grant.granted, grant.refusal) == (DOLLAR, None)


async def test_what_is_not_there_is_refused_with_what_is(lent: Lent) -> None:
    scope = WalletScope(await lent.owner.new_org(DOLLAR))
    await lent.lender.acquire(scope, lease(), DOLLAR - 10, DOLLAR - 10)
    grant = await lent.lender.acquire(scope, lease(), 11, 11)
    assert grant is not None
    assert grant.refusal is not None
    refusal = grant.refusal
    assert (grant.granted, refusal.reason, refusal.account) == (0, RefusalReason.EXHAUSTED, SpendingAccount.CREDIT)
    assert (refusal.available, refusal.held) == (10, DOLLAR - 10)


async def test_the_limit_of_a_key_is_what_its_wallet_is_refused_for(lent: Lent) -> None:
    org_id = await lent.owner.new_org(100 * DOLLAR)
    scope = WalletScope(org_id, await lent.owner.new_key(org_id, limit=DOLLAR))
    grant = await lent.lender.acquire(scope, lease(), DOLLAR + 1, DOLLAR + 1)
    assert grant is not None
    assert grant.refusal is not None
    refusal = grant.refusal
    assert (refusal.account, refusal.limit, refusal.available) == (SpendingAccount.KEY, DOLLAR, DOLLAR)


async def test_a_lease_grows_and_says_what_was_lent_in_all(lent: Lent) -> None:
    scope, name = WalletScope(await lent.owner.new_org(100 * DOLLAR)), lease()
    await lent.lender.acquire(scope, name, 1_000, 2_000)
    grant = await lent.lender.renew(scope, Statement(name, 500, 100, 0), 1_000, 3_000)
    assert grant is not None
    assert (grant.granted, grant.refusal) == (5_000, None)
    assert grant.time_to_live > 15 * 60


async def test_an_extension_asks_for_nothing_more(lent: Lent) -> None:
    scope, name = WalletScope(await lent.owner.new_org(100 * DOLLAR)), lease()
    await lent.lender.acquire(scope, name, 1_000, 2_000)
    grant = await lent.lender.renew(scope, Statement(name, 0, 0, 0), 0, 5_000)
    assert grant is not None
    assert (grant.granted, grant.is_scarce, grant.refusal) == (2_000, False, None)


async def test_what_is_given_back_is_there_for_others(lent: Lent) -> None:
    scope, name = WalletScope(await lent.owner.new_org(DOLLAR)), lease()
    await lent.lender.acquire(scope, name, DOLLAR, DOLLAR)
    grant = await lent.lender.renew(scope, Statement(name, 0, 10, DOLLAR - 10), 0, 0)
    assert grant is not None
    assert grant.granted == DOLLAR
    other = await lent.lender.acquire(scope, lease(), DOLLAR - 10, DOLLAR - 10)
    assert other is not None
    assert other.granted == DOLLAR - 10


async def test_what_is_given_back_is_taken_back_with_a_refusal_too(lent: Lent) -> None:
    scope, name = WalletScope(await lent.owner.new_org(DOLLAR)), lease()
    await lent.lender.acquire(scope, name, 100, 100)
    grant = await lent.lender.renew(scope, Statement(name, 0, 0, 100), DOLLAR + 1, DOLLAR + 1)
    assert grant is not None
    assert grant.refusal is not None
    assert (grant.granted, grant.refusal.available) == (100, DOLLAR)
    grant = await lent.lender.renew(scope, Statement(name, 0, 0, 100), DOLLAR, DOLLAR)
    assert grant is not None
    assert (grant.granted, grant.refusal) == (DOLLAR + 100, None)


async def test_a_lease_that_has_ended_cannot_be_renewed_and_may_be_released_again(lent: Lent) -> None:
    scope, name = WalletScope(await lent.owner.new_org(DOLLAR)), lease()
    await lent.lender.acquire(scope, name, DOLLAR, DOLLAR)
    for _ in range(2):
        await lent.lender.release(scope, Statement(name, 0, 0, 0))
    assert await lent.lender.renew(scope, Statement(name, 0, 0, 0), 1, 1) is None
    other = await lent.lender.acquire(scope, lease(), DOLLAR, DOLLAR)
    assert other is not None
    assert other.granted == DOLLAR


async def test_nothing_is_lent_to_who_is_not_there(lent: Lent) -> None:
    org_id = await lent.owner.new_org(DOLLAR)
    assert await lent.lender.acquire(WalletScope(lease()), lease(), 1, 1) is None
    assert await lent.lender.acquire(WalletScope(org_id, lease()), lease(), 1, 1) is None


async def test_a_large_window_is_lent_ahead_and_says_when_it_ends(lent: Lent) -> None:
    org_id, limit = await lent.owner.new_org(0), RateLimit(LimitedQuantity.TOKENS, RateInterval.DAY, 100_000)
    await lent.owner.set_rate_limits(org_id, limit)
    scope, name = WalletScope(org_id, window=Window(LimitOwner.ORG, "", limit)), lease()
    grant = await lent.lender.acquire(scope, name, 10, 4_000)
    assert grant is not None
    assert (grant.granted, grant.is_scarce, grant.refusal, grant.edges) == (4_000, False, None, 1)
    assert grant.window_ends_in is not None
    assert 0 < grant.time_to_live <= grant.window_ends_in <= 86_400
    again = await lent.lender.acquire(scope, name, 10, 4_000)
    assert again is not None
    assert (again.granted, again.is_scarce) == (4_000, False)
    # What is spent is gone, what is given back is there for others.
    grown = await lent.lender.renew(scope, Statement(name, 1_000, 100, 900), 10, 2_000)
    assert grown is not None
    assert grown.granted == 6_000
    refused = await lent.lender.acquire(scope, lease(), 95_000, 95_000)
    assert refused is not None
    assert refused.refusal is not None
    assert (refused.refusal.available, refused.refusal.held) == (94_900, 4_100)
    await lent.lender.release(scope, Statement(name, 1_200, 0, 900))
    rest = await lent.lender.acquire(scope, lease(), 98_800, 98_800)
    assert rest is not None
    assert rest.granted == 98_800


async def test_a_small_window_is_lent_by_the_request_and_other_limits_are_nobodys(lent: Lent) -> None:
    org_id, limit = await lent.owner.new_org(0), RateLimit(LimitedQuantity.REQUESTS, RateInterval.DAY, 3)
    await lent.owner.set_rate_limits(org_id, limit)
    scope = WalletScope(org_id, window=Window(LimitOwner.ORG, "", limit))
    for _ in range(3):
        grant = await lent.lender.acquire(scope, lease(), 1, 3)
        assert grant is not None
        assert (grant.granted, grant.is_scarce) == (1, True)
    refused = await lent.lender.acquire(scope, lease(), 1, 1)
    assert refused is not None
    assert refused.refusal is not None
    assert (refused.refusal.reason, refused.refusal.available) == (RefusalReason.EXHAUSTED, 0)
    other = RateLimit(LimitedQuantity.REQUESTS, RateInterval.MINUTE, 3)
    assert (
        await lent.lender.acquire(WalletScope(org_id, window=Window(LimitOwner.ORG, "", other)), lease(), 1, 1) is None
    )
