"""What besides credit bounds what is lent for a key, and windows of rate limits, on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.lease_store import PostgresLeaseStore
from accounts.domain.accounts import ApiKey, KeyKind
from accounts.domain.errors import NotFoundError
from accounts.domain.key_settings import KeySettings
from accounts.domain.leases import Account, AccountKind, Borrower, Grant, LeaseResource, LimitName, LimitOwner
from accounts.domain.org_limits import OrgLimit
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.testing.leases import TERMS, BorrowingEdge, check_leases, held_accounts
from accounts.testing.people import new_member
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.guardrails import default_guardrail_id
from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit
from contracts.spend import SpendInterval
from contracts.topics import USAGE
from servicekit.kafka import TopicPartition

DOLLAR = 10**9
USAGE_0 = TopicPartition(USAGE.name, 0)
MINUTE = RateInterval.MINUTE


@pytest.fixture
def leases(database: Database) -> PostgresLeaseStore:
    return PostgresLeaseStore(database, TERMS)


@pytest_asyncio.fixture(autouse=True)
async def b06_holds(sql: asyncpg.Connection) -> AsyncIterator[None]:
    """B6 is checked after every test."""
    yield
    await check_leases(sql)


@pytest_asyncio.fixture
async def org_id(identity: Identity) -> UUID:
    org = await identity.create_org("Test")
    await identity.grant_credit(str(org.org_id), 100 * DOLLAR, "first", "test")
    return org.org_id


@pytest.fixture
def edge(leases: PostgresLeaseStore, org_id: UUID) -> BorrowingEdge:
    return BorrowingEdge(leases, org_id)


async def new_key(identity: Identity, org_id: UUID, limit: int | None = None, **settings: Any) -> ApiKey:
    key, _ = await identity.create_key(str(org_id), "key", KeyKind.INFERENCE, limit, None, "", KeySettings(**settings))
    return key


async def new_guardrail(sql: asyncpg.Connection, org_id: UUID, guardrail_id: str = "", **policy: Any) -> str:
    name = guardrail_id or str(uuid4())
    await sql.execute(
        """
        INSERT INTO guardrails (guardrail_id, org_id, workspace_id, name, policy, limit_nano, created_at, revision)
        VALUES ($1, $2, $2, 'team', $3, $4, now(), 1)
        """,
        UUID(name),
        org_id,
        json.dumps(policy),
        policy.get("limit_nano_usd"),
    )
    return name


def refused(grant: Grant) -> Account:
    """The account that refused."""
    assert (grant.granted, grant.time_to_live) == (0, timedelta(0))
    assert grant.refusal is not None
    assert grant.refusal.account is not None
    return grant.refusal.account


async def test_a_key_with_a_limit_is_lent_no_more_than_it_has_left_and_the_refusal_names_it(
    edge: BorrowingEdge,
    org_id: UUID,
    identity: Identity,
    settlement: Settlement,
    usage_event: UsageEvents,
    sql: asyncpg.Connection,
) -> None:
    key = await new_key(identity, org_id, 100_000, limit_reset=SpendInterval.DAILY)
    lease_id, grant = await edge.acquire(90_000, key_id=key.key_id)
    assert (grant.granted, grant.is_scarce) == (90_000, True), "the limit is small, whatever the credit is"
    assert await held_accounts(sql, org_id) == {"credit": 90_000, f"key/{key.key_id}": 90_000}
    account = refused((await edge.acquire(10_001, key_id=key.key_id))[1])
    assert (account.kind, account.subject, account.interval) == (
        AccountKind.KEY,
        str(key.key_id),
        SpendInterval.DAILY,
    )
    assert (account.limit, account.available, account.held) == (100_000, 10_000, 90_000)
    assert account.resets_at is not None
    event = usage_event(org_id, key.key_id, prompt=100, completion=100, ended_at=datetime.now(UTC))
    event.lease_id = str(lease_id)
    await settlement.handle("c1", USAGE_0, usage_records([event]))
    assert await held_accounts(sql, org_id) == {"credit": 50_000, f"key/{key.key_id}": 50_000}
    account = refused((await edge.acquire(10_001, key_id=key.key_id))[1])
    assert (account.spent, account.held, account.available) == (40_000, 50_000, 10_000)
    await edge.release(lease_id, spent=40_000)
    _, grant = await edge.acquire(60_000, key_id=key.key_id)
    assert grant.granted == 60_000
    # Other keys of the organisation are bound by its credit only.
    _, grant = await edge.acquire(60_000, 10 * DOLLAR)
    assert grant.granted == 10 * DOLLAR


async def test_a_workspaces_budget_bounds_all_its_keys_together(
    edge: BorrowingEdge, org_id: UUID, identity: Identity, sql: asyncpg.Connection
) -> None:
    await sql.execute(
        "INSERT INTO workspace_budgets (budget_id, workspace_id, org_id, interval, limit_nano, created_at, updated_at) "
        "VALUES ($1, $2, $2, 3, 1000, now(), now())",
        uuid4(),
        org_id,
    )
    one, two = await new_key(identity, org_id), await new_key(identity, org_id, 10**6)
    await edge.acquire(600, key_id=one.key_id)
    account = refused((await edge.acquire(401, key_id=two.key_id))[1])
    assert (account.kind, account.subject, account.interval, account.available) == (
        AccountKind.WORKSPACE,
        str(org_id),
        SpendInterval.MONTHLY,
        400,
    )
    await edge.acquire(400, key_id=two.key_id)
    assert await held_accounts(sql, org_id) == {
        "credit": 1_000,
        f"workspace/{org_id}/monthly": 1_000,
        f"key/{two.key_id}": 400,
    }


async def test_guardrails_bound_each_key_and_each_member(
    edge: BorrowingEdge, org_id: UUID, identity: Identity, sql: asyncpg.Connection
) -> None:
    ada = await new_member(sql, org_id)
    one, two = [await new_key(identity, org_id, creator_user_id=ada) for _ in range(2)]
    own = await new_guardrail(sql, org_id, limit_nano_usd=500)
    members = await new_guardrail(sql, org_id, limit_nano_usd=700, reset_interval="SPEND_INTERVAL_WEEKLY")
    await sql.execute(
        "INSERT INTO guardrail_keys VALUES ($1, $2, $3, $4, '', now())", one.key_id, uuid4(), org_id, UUID(own)
    )
    await sql.execute(
        "INSERT INTO guardrail_members VALUES ($1, $2, $3, $4, '', now())", org_id, ada, uuid4(), UUID(members)
    )
    account = refused((await edge.acquire(501, key_id=one.key_id))[1])
    assert (account.kind, account.subject, account.guardrail_id) == (AccountKind.GUARDRAIL_KEY, str(one.key_id), own)
    await edge.acquire(500, key_id=one.key_id)
    account = refused((await edge.acquire(201, key_id=two.key_id))[1])
    assert (account.kind, account.subject, account.guardrail_id) == (AccountKind.GUARDRAIL_MEMBER, ada, members)
    assert (account.available, account.interval) == (200, SpendInterval.WEEKLY)
    # That of the workspace binds each of its keys and each member for themselves.
    default = await new_guardrail(sql, org_id, default_guardrail_id(str(org_id)), limit_nano_usd=150)
    account = refused((await edge.acquire(151, key_id=two.key_id))[1])
    assert account.guardrail_id == default
    other = await new_key(identity, org_id)
    _, grant = await edge.acquire(150, key_id=other.key_id)
    assert grant.granted == 150
    assert (await held_accounts(sql, org_id))[f"guardrail/{default}/key/{other.key_id}"] == 150


async def test_a_limit_that_comes_later_bounds_what_was_lent_before_from_its_renewal_on(
    edge: BorrowingEdge, org_id: UUID, identity: Identity, sql: asyncpg.Connection
) -> None:
    key = await new_key(identity, org_id, 1_000)
    lease_id, _ = await edge.acquire(400, key_id=key.key_id)
    guardrail = await new_guardrail(sql, org_id, limit_nano_usd=500)
    await sql.execute(
        "INSERT INTO guardrail_keys VALUES ($1, $2, $3, $4, '', now())", key.key_id, uuid4(), org_id, UUID(guardrail)
    )
    account = refused_growth(await edge.renew(lease_id, 101))
    assert (account.guardrail_id, account.available, account.held) == (guardrail, 100, 400)
    grant = await edge.renew(lease_id, 100)
    assert (grant.granted, grant.refusal) == (500, None)
    # And a limit that is gone holds nothing any more once the lease is.
    await sql.execute("UPDATE api_keys SET limit_nano = NULL")
    grant = await edge.renew(lease_id)
    assert grant.time_to_live == TERMS.ttl
    assert await edge.release(lease_id) == 500
    assert await held_accounts(sql, org_id) == {}


def refused_growth(grant: Grant) -> Account:
    assert grant.time_to_live == TERMS.ttl
    assert grant.refusal is not None
    assert grant.refusal.account is not None
    return grant.refusal.account


async def test_spending_of_an_earlier_period_bounds_the_present_one_no_more(
    edge: BorrowingEdge, org_id: UUID, identity: Identity, settlement: Settlement, usage_event: UsageEvents
) -> None:
    key = await new_key(identity, org_id, 40_000, limit_reset=SpendInterval.DAILY)
    event = usage_event(org_id, key.key_id, prompt=100, completion=100, ended_at=edge.now)
    await settlement.handle("c1", USAGE_0, usage_records([event]))
    assert refused((await edge.acquire(1, key_id=key.key_id))[1]).available == 0
    edge.now += timedelta(days=1)
    _, grant = await edge.acquire(40_000, key_id=key.key_id)
    assert grant.granted == 40_000


REQUESTS = LeaseResource.REQUESTS
OWN = LimitName(LimitOwner.KEY, MINUTE)
NOON = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)


async def test_requests_of_a_window_are_lent_spent_and_come_anew_with_the_next(
    edge: BorrowingEdge, org_id: UUID, identity: Identity, sql: asyncpg.Connection
) -> None:
    limit = RateLimit(LimitedQuantity.REQUESTS, MINUTE, 1_000)
    key = await new_key(identity, org_id, rate_limits=(limit,))
    edge.now = NOON
    lease_id, grant = await edge.acquire(1, 200, key_id=key.key_id, resource=REQUESTS, limit=OWN)
    assert (grant.granted, grant.time_to_live, grant.is_scarce) == (200, timedelta(seconds=50), False)
    assert (grant.edges, grant.window_ends_in) == (1, timedelta(seconds=50))
    grant = await edge.renew(lease_id, 1, 400, spent=150, in_flight=50)
    assert grant.granted == 600, "half of what is left"
    other = BorrowingEdge(edge.store, org_id, Borrower("edge-2", 1), NOON)
    other_lease, grant = await other.acquire(1, 800, key_id=key.key_id, resource=REQUESTS, limit=OWN)
    assert (grant.granted, grant.edges) == (100, 2), "of 400 that are left, for two edges"
    await edge.release(lease_id, spent=300, in_flight=20)
    (account,) = await sql.fetch("SELECT held, spent, amount FROM lease_accounts")
    assert (account["held"], account["spent"], account["amount"]) == (100, 320, 1_000)
    account = refused((await other.acquire(1_000, key_id=key.key_id, resource=REQUESTS, limit=OWN))[1])
    assert (account.kind, account.subject, account.limit) == (AccountKind.KEY, str(key.key_id), 1_000)
    assert account.spent == 320
    assert account.resets_at == NOON + timedelta(seconds=50)
    other.now = edge.now = NOON + timedelta(seconds=50)
    with pytest.raises(NotFoundError, match="has ended"):
        await other.renew(other_lease, 1)
    _, grant = await edge.acquire(1_000, key_id=key.key_id, resource=REQUESTS, limit=OWN)
    assert grant.granted == 1_000, "a new window"


async def test_b12_what_a_lost_edge_said_nothing_of_counts_as_spent_in_its_window(
    edge: BorrowingEdge, org_id: UUID, identity: Identity, sql: asyncpg.Connection
) -> None:
    day = LimitName(LimitOwner.KEY, RateInterval.DAY)
    limit = RateLimit(LimitedQuantity.TOKENS, RateInterval.DAY, 1_000)
    key = await new_key(identity, org_id, rate_limits=(limit,))
    edge.now = NOON
    _, grant = await edge.acquire(300, key_id=key.key_id, resource=LeaseResource.TOKENS, limit=day)
    assert (grant.granted, grant.time_to_live) == (300, TERMS.ttl), "not to the end of the day: it is renewed"
    assert grant.window_ends_in == timedelta(hours=12, seconds=-10)
    assert isinstance(edge.store, PostgresLeaseStore)
    assert await edge.store.close_due(org_id, NOON + TERMS.ttl) == (1, 0)
    edge.now = NOON + TERMS.ttl
    account = refused((await edge.acquire(701, key_id=key.key_id, resource=LeaseResource.TOKENS, limit=day))[1])
    assert (account.spent, account.held, account.available) == (300, 0, 700)
    assert await sql.fetchval("SELECT count(*) FROM leases") == 0, "a window's lease that is over is forgotten"


async def test_windows_of_guardrails_and_members_and_models_are_accounts_of_their_own(
    edge: BorrowingEdge, org_id: UUID, identity: Identity, sql: asyncpg.Connection
) -> None:
    ada = await new_member(sql, org_id)
    one, two = [await new_key(identity, org_id, creator_user_id=ada) for _ in range(2)]
    limits = [
        {"quantity": "LIMITED_QUANTITY_REQUESTS", "interval": "RATE_INTERVAL_MINUTE", "amount": "10"},
        {
            "quantity": "LIMITED_QUANTITY_REQUESTS",
            "interval": "RATE_INTERVAL_MINUTE",
            "amount": "5",
            "model": "acme/one",
        },
        {"quantity": "LIMITED_QUANTITY_SPEND", "interval": "RATE_INTERVAL_MINUTE", "amount": "1000"},
    ]
    default = await new_guardrail(sql, org_id, default_guardrail_id(str(org_id)), rate_limits=limits)
    edge.now = NOON
    for_keys = LimitName(LimitOwner.KEY, MINUTE, default)
    for_members = LimitName(LimitOwner.MEMBER, MINUTE, default)
    await edge.acquire(10, key_id=one.key_id, resource=REQUESTS, limit=for_keys)
    await edge.acquire(10, key_id=two.key_id, resource=REQUESTS, limit=for_keys)
    await edge.acquire(8, key_id=one.key_id, resource=REQUESTS, limit=for_members)
    account = refused((await edge.acquire(3, key_id=two.key_id, resource=REQUESTS, limit=for_members))[1])
    assert (account.kind, account.subject, account.guardrail_id, account.available) == (
        AccountKind.GUARDRAIL_MEMBER,
        ada,
        default,
        2,
    )
    of_model = LimitName(LimitOwner.KEY, MINUTE, default, "acme/one")
    await edge.acquire(5, key_id=one.key_id, resource=REQUESTS, limit=of_model)
    _, grant = await edge.acquire(1_000, key_id=one.key_id, resource=LeaseResource.MONEY, limit=for_keys)
    assert grant.granted == 1_000
    assert "credit" not in await held_accounts(sql, org_id), "a rate limit of spending is no credit"
    for missing in (LimitName(LimitOwner.KEY, MINUTE), LimitName(LimitOwner.KEY, RateInterval.DAY, default)):
        with pytest.raises(NotFoundError, match="no such limit"):
            await edge.acquire(1, key_id=one.key_id, resource=REQUESTS, limit=missing)


async def test_windows_of_the_organisation_and_of_a_workspace_are_shared_by_their_keys(
    edge: BorrowingEdge, org_id: UUID, identity: Identity
) -> None:
    limits = [
        OrgLimit(None, RateLimit(LimitedQuantity.TOKENS, MINUTE, 1_000)),
        OrgLimit(org_id, RateLimit(LimitedQuantity.TOKENS, MINUTE, 600)),
    ]
    await identity.set_rate_limits(str(org_id), limits)
    one, two = await new_key(identity, org_id), await new_key(identity, org_id)
    edge.now = NOON
    tokens, everybody, workspace = (
        LeaseResource.TOKENS,
        LimitName(LimitOwner.ORG, MINUTE),
        LimitName(LimitOwner.WORKSPACE, MINUTE),
    )
    await edge.acquire(900, resource=tokens, limit=everybody)
    account = refused((await edge.acquire(101, resource=tokens, limit=everybody))[1])
    assert (account.kind, account.subject, account.available) == (AccountKind.ORG, str(org_id), 100)
    await edge.acquire(500, key_id=one.key_id, resource=tokens, limit=workspace)
    account = refused((await edge.acquire(101, key_id=two.key_id, resource=tokens, limit=workspace))[1])
    assert (account.kind, account.subject, account.limit) == (AccountKind.WORKSPACE, str(org_id), 600)
