"""Purchases on a real PostgreSQL, with the local payment provider behind Stripe's own client library."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.statement_store import PostgresStatementStore
from accounts.adapters.stripe_payments import StripePayments
from accounts.domain.accounts import OrgStatus
from accounts.domain.errors import InvalidFieldError, NotFoundError, TooEarlyError, UntrustedStatementError
from accounts.domain.payments import PurchaseStatus
from accounts.domain.statements import checked_month
from accounts.domain.top_ups import TopUp
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.testing import CREDIT, Drain, NewCustomer
from accounts.testing.books import account_balances, check_books
from accounts.testing.shop import WEBHOOK_SECRET, Shop
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.topics import USAGE
from localstack.payments.__main__ import signature
from localstack.payments.ledger import DECLINED_METHOD
from servicekit.kafka import TopicPartition
from turnpike.accounts.v1 import records_pb2

USD = 10**9
YES, NO = "https://shop.example/yes", "https://shop.example/no"


async def test_what_is_paid_is_credit_and_a_fee_of_five_percent(
    shop: Shop, identity: Identity, sql: asyncpg.Connection, drain: Drain
) -> None:
    org = await identity.create_org("Buyer")
    purchase = await shop.bought(org.org_id)
    assert (purchase.credit, purchase.fee, purchase.gross) == (10 * USD, USD // 2, 10_500_000_000)
    after = await identity.org(str(org.org_id))
    assert (after.balance, after.credits) == (10 * USD, 10 * USD)
    accounts = await account_balances(sql)
    assert accounts == {f"customer:{org.org_id}": 10 * USD, "revenue:fee": USD // 2, "cash": -10_500_000_000}
    (listed,), total = await shop.payments.page(str(org.org_id), 0, 0)
    assert (listed.status, listed.invoice_number, total) == (PurchaseStatus.PAID, 1, 1)
    await check_books(sql)
    assert sum(message.key == str(org.org_id) for message in await drain()) >= 1, "edges are told"


async def test_s44_nothing_is_credited_before_the_provider_says_so(shop: Shop, identity: Identity) -> None:
    org = await identity.create_org("Buyer")
    await shop.payments.buy(str(org.org_id), 10 * USD, "k", YES, NO, keep_method=False)
    assert (await identity.org(str(org.org_id))).balance == 0


async def test_a_repeated_order_is_one_purchase(shop: Shop, identity: Identity) -> None:
    org = await identity.create_org("Buyer")
    first = await shop.payments.buy(str(org.org_id), 10 * USD, "k", YES, NO, keep_method=False)
    again = await shop.payments.buy(str(org.org_id), 10 * USD, "k", YES, NO, keep_method=False)
    assert first == again
    with pytest.raises(InvalidFieldError):
        await shop.payments.buy(str(org.org_id), 11 * USD, "k", YES, NO, keep_method=False)


async def test_s43_replayed_webhooks_change_nothing(shop: Shop, identity: Identity, sql: asyncpg.Connection) -> None:
    org = await identity.create_org("Buyer")
    purchase, url = await shop.payments.buy(str(org.org_id), 10 * USD, "k", YES, NO, keep_method=False)
    async with shop.http.post(url, allow_redirects=False):
        pass
    async with asyncio.timeout(20):
        while True:
            if len(shop.heard) == 2:
                break
            shop.news.clear()
            await shop.news.wait()
    for payload, signed in [*shop.heard, *reversed(shop.heard), *shop.heard]:
        await shop.payments.handle_webhook(payload, signed)
    assert (await identity.org(str(org.org_id))).balance == 10 * USD
    assert await sql.fetchval("SELECT last FROM invoice_numbers") == 1
    await check_books(sql)
    assert purchase.status is PurchaseStatus.PENDING


async def test_s43_what_the_provider_has_not_signed_is_refused(shop: Shop, identity: Identity) -> None:
    org = await identity.create_org("Buyer")
    purchase, _ = await shop.payments.buy(str(org.org_id), 10 * USD, "k", YES, NO, keep_method=False)
    event = {
        "id": "evt_forged",
        "type": "payment_intent.succeeded",
        "data": {
            "object": {
                "id": "pi_x", "currency": "usd", "amount_received": 1050,
                "metadata": {"turnpike_purchase_id": str(purchase.purchase_id)},
            }
        },
    }  # fmt: skip
    body = json.dumps(event).encode()
    old = f"t={int(time.time()) - 301}"
    good = signature(body, WEBHOOK_SECRET)
    stale = signature_at(body, int(time.time()) - 301)
    for signed in (
        "",
        "x",
        old,
        signature(body, "another"),
        good.replace("v1=", "v0="),
        signature(b"{}", WEBHOOK_SECRET),
        stale,
    ):
        with pytest.raises(UntrustedStatementError):
            await shop.payments.handle_webhook(body, signed)
    with pytest.raises(UntrustedStatementError):
        await shop.payments.handle_webhook(b"\xff\xfe", good)
    assert (await identity.org(str(org.org_id))).balance == 0


def signature_at(body: bytes, moment: int) -> str:
    mac = hmac.new(WEBHOOK_SECRET.encode(), f"{moment}.".encode() + body, hashlib.sha256)
    return f"t={moment},v1={mac.hexdigest()}"


@pytest.mark.parametrize("secret", ["", "   "])
def test_s43_without_a_webhook_secret_there_is_no_provider(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        StripePayments("sk", secret, api_base=None, timeout=timedelta(seconds=1))


async def test_an_amount_that_nobody_asked_for_is_kept_aside(
    shop: Shop, identity: Identity, sql: asyncpg.Connection
) -> None:
    org = await identity.create_org("Buyer")
    purchase, _ = await shop.payments.buy(str(org.org_id), 10 * USD, "k", YES, NO, keep_method=False)
    metadata = {"turnpike_purchase_id": str(purchase.purchase_id)}
    await shop.say("payment_intent.succeeded", currency="usd", amount_received=1, metadata=metadata)
    assert (await identity.org(str(org.org_id))).balance == 0
    assert await account_balances(sql) == {"cash": -10_000_000, "suspense": 10_000_000}
    await check_books(sql)


async def test_events_of_other_shops_and_currencies_are_left_alone(shop: Shop, sql: asyncpg.Connection) -> None:
    await shop.say("payment_intent.succeeded", currency="usd", amount_received=500)
    await shop.say("payment_intent.succeeded", currency="jpy", amount_received=500)
    await shop.say("customer.created")
    assert await account_balances(sql) == {}


async def test_b13_a_refund_is_paid_back_once_and_never_exceeds_the_purchase(
    shop: Shop, identity: Identity, sql: asyncpg.Connection
) -> None:
    org = await identity.create_org("Buyer")
    purchase = await shop.bought(org.org_id)
    org_id, purchase_id = str(org.org_id), str(purchase.purchase_id)
    await shop.payments.refund_purchase(org_id, purchase_id, 4_200_000_000, "r1")
    await shop.payments.refund_purchase(org_id, purchase_id, 4_200_000_000, "r1")
    await shop.take_in(1)
    assert (await identity.org(org_id)).balance == 6 * USD
    await check_books(sql)
    with pytest.raises(InvalidFieldError):
        await shop.payments.refund_purchase(org_id, purchase_id, 6_310_000_000, "r2")
    await shop.payments.refund_purchase(org_id, purchase_id, 6_300_000_000, "r3")
    await shop.take_in(1)
    after = await identity.org(org_id)
    assert (after.balance, after.credits, after.status) == (0, 0, OrgStatus.ACTIVE)
    assert await account_balances(sql) == {}
    await check_books(sql)


async def test_refunds_that_arrive_out_of_order_count_what_they_add(
    shop: Shop, identity: Identity, sql: asyncpg.Connection
) -> None:
    org = await identity.create_org("Buyer")
    purchase = await shop.bought(org.org_id)
    about: dict[str, Any] = {"currency": "usd", "metadata": {"turnpike_purchase_id": str(purchase.purchase_id)}}
    await shop.say("charge.refunded", amount_refunded=315, **about)
    await shop.say("charge.refunded", amount_refunded=105, **about)
    assert (await identity.org(str(org.org_id))).balance == 7 * USD
    await check_books(sql)


async def test_a_refund_of_what_is_not_paid_yet_must_be_sent_again(shop: Shop, identity: Identity) -> None:
    org = await identity.create_org("Buyer")
    purchase, _ = await shop.payments.buy(str(org.org_id), 10 * USD, "k", YES, NO, keep_method=False)
    about: dict[str, Any] = {"currency": "usd", "metadata": {"turnpike_purchase_id": str(purchase.purchase_id)}}
    with pytest.raises(TooEarlyError):
        await shop.say("charge.refunded", amount_refunded=105, **about)


async def test_a_chargeback_takes_the_credit_freezes_who_owes_and_comes_back_when_won(
    shop: Shop,
    identity: Identity,
    settlement: Settlement,
    usage_event: UsageEvents,
    new_customer: NewCustomer,
    sql: asyncpg.Connection,
) -> None:
    org_id, key_id = await new_customer()
    purchase = await shop.bought(org_id)
    intent = await sql.fetchval("SELECT payment_ref FROM purchases WHERE purchase_id = $1", purchase.purchase_id)
    events = [usage_event(org_id, key_id, completion=17_000_000)]
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records(events))
    await shop.say("charge.dispute.created", "evt_d", payment_intent=intent, amount=1050, currency="usd")
    after = await identity.org(str(org_id))
    assert after.usage > 5 * USD
    assert (after.balance, after.status) == (CREDIT - after.usage, OrgStatus.FROZEN)
    await check_books(sql)
    for _ in range(2):
        await shop.say(
            "charge.dispute.closed", "evt_w", payment_intent=intent, amount=1050, currency="usd", status="won"
        )
        org = await identity.org(str(org_id))
        assert (org.balance, org.status) == (CREDIT + 10 * USD - after.usage, OrgStatus.ACTIVE)
    await check_books(sql)
    kinds = [notice.kind for notice in await shop.top_ups.notices(str(org_id))]
    assert sorted(kinds) == ["dispute_closed", "dispute_opened", "org_frozen", "org_unfrozen"]


async def test_b13_a_dispute_that_was_won_gives_back_once_whoever_says_it_first(
    shop: Shop,
    identity: Identity,
    settlement: Settlement,
    usage_event: UsageEvents,
    new_customer: NewCustomer,
    sql: asyncpg.Connection,
    audit: PostgresAuditLog,
    drain: Drain,
) -> None:
    org_id, key_id = await new_customer()
    purchase = await shop.bought(org_id)
    owner, named = str(org_id), str(purchase.purchase_id)
    win = shop.payments.win_dispute
    with pytest.raises(InvalidFieldError, match="never disputed"):
        await win(owner, named, "")
    stranger, _ = await new_customer()
    with pytest.raises(NotFoundError):
        await win(str(stranger), named, "")
    intent = await sql.fetchval("SELECT payment_ref FROM purchases WHERE purchase_id = $1", purchase.purchase_id)
    events = [usage_event(org_id, key_id, completion=17_000_000)]
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records(events))
    before = await account_balances(sql)
    about: dict[str, Any] = {"payment_intent": intent, "amount": 1050, "currency": "usd"}
    await shop.say("charge.dispute.created", "evt_d", **about)
    assert (await identity.org(owner)).status is OrgStatus.FROZEN
    await drain()
    for _ in range(2):
        found, is_frozen = await win(owner, named, "the bank's letter of today")
        assert (found.disputed, is_frozen) == (0, False)
    org = await identity.org(owner)
    assert (org.balance, org.status) == (CREDIT + 10 * USD - org.usage, OrgStatus.ACTIVE)
    assert await account_balances(sql) == before, "the entries are reversed: Dr cash Cr customer, and the fee"
    told = [records_pb2.OrgRecord.FromString(each.value or b"") for each in await drain() if each.key == owner]
    assert (told[-1].status, told[-1].balance_nano_usd) == (records_pb2.ORG_STATUS_ACTIVE, org.balance)
    # What the payment provider says afterwards changes nothing.
    await shop.say("charge.dispute.closed", "evt_w", status="won", **about)
    assert (await identity.org(owner)).balance == org.balance
    await check_books(sql)
    entries = [entry for entry in await audit.page(org_id, 0, 100) if entry.action == "purchase.dispute_won"]
    assert [entry.actor_kind for entry in entries] == ["operator", "system"]
    assert json.loads(entries[0].after) == {
        "disputed_nano_usd": 0, "org_status": "active", "reason": "the bank's letter of today",
    }  # fmt: skip


async def test_who_still_owes_after_a_dispute_was_won_stays_frozen_until_it_is_paid(
    shop: Shop, identity: Identity, settlement: Settlement, usage_event: UsageEvents, new_customer: NewCustomer,
    sql: asyncpg.Connection,
) -> None:  # fmt: skip
    org_id, key_id = await new_customer()
    purchase = await shop.bought(org_id)
    owner, named = str(org_id), str(purchase.purchase_id)
    intent = await sql.fetchval("SELECT payment_ref FROM purchases WHERE purchase_id = $1", purchase.purchase_id)
    await shop.say("charge.dispute.created", payment_intent=intent, amount=1050, currency="usd")
    # More than all of its credit is used by requests that were under way.
    events = [usage_event(org_id, key_id, completion=40_000_000)]
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records(events))
    await sql.execute("SELECT set_config('turnpike.org_id', '*', false)")
    await sql.execute("UPDATE orgs SET status = 2 WHERE org_id = $1", org_id)
    _, is_frozen = await shop.payments.win_dispute(owner, named, "")
    assert is_frozen
    await identity.grant_credit(owner, 5 * USD, "debt", "paid otherwise")
    _, is_frozen = await shop.payments.win_dispute(owner, named, "")
    assert not is_frozen
    await check_books(sql)


async def test_b13_a_charge_is_given_back_once_and_never_more_than_it_was(
    shop: Shop,
    settlement: Settlement,
    usage_event: UsageEvents,
    new_customer: NewCustomer,
    identity: Identity,
    sql: asyncpg.Connection,
) -> None:
    org_id, key_id = await new_customer()
    event = usage_event(org_id, key_id)
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records([event]))
    charged = await sql.fetchval("SELECT cost_nano FROM settled_events")
    refund = shop.payments.refund_usage
    half = charged // 2
    assert await refund(str(org_id), event.generation_id, half, "g1", "slow") == half
    assert await refund(str(org_id), event.generation_id, half, "g1", "slow") == half
    with pytest.raises(InvalidFieldError):
        await refund(str(org_id), event.generation_id, charged - half + 1, "g2", "")
    assert await refund(str(org_id), event.generation_id, charged - half, "g3", "") == charged
    assert (await identity.org(str(org_id))).balance == CREDIT
    await check_books(sql)
    stranger, _ = await new_customer()
    with pytest.raises(NotFoundError):
        await refund(str(stranger), event.generation_id, 1, "g4", "")


async def test_low_credit_buys_more_once_and_tells_once(
    shop: Shop, identity: Identity, sql: asyncpg.Connection
) -> None:
    org = await identity.create_org("Buyer")
    org_id = str(org.org_id)
    wanted = TopUp(enabled=True, threshold=11 * USD, amount=20 * USD, monthly_limit=30 * USD, notice=11 * USD)
    with pytest.raises(InvalidFieldError, match="kept means"):
        await shop.top_ups.set(org_id, wanted)
    await shop.bought(org.org_id, keep=True)
    assert (await shop.top_ups.set(org_id, wanted)).has_method
    await asyncio.gather(shop.top_ups.look(), shop.top_ups.look())
    await shop.take_in(1)
    await shop.top_ups.look()
    assert (await identity.org(org_id)).balance == 30 * USD
    assert [notice.kind for notice in await shop.top_ups.notices(org_id)] == ["low_balance"]
    assert await sql.fetchval("SELECT count(*) FROM purchases WHERE automatic") == 1
    await check_books(sql)


async def test_the_monthly_bound_holds_and_a_declined_card_is_told(
    shop: Shop, identity: Identity, sql: asyncpg.Connection
) -> None:
    org = await identity.create_org("Buyer")
    org_id = str(org.org_id)
    await shop.bought(org.org_id, keep=True)
    await shop.top_ups.set(org_id, TopUp(enabled=True, threshold=90 * USD, amount=20 * USD, monthly_limit=19 * USD))
    await shop.top_ups.look()
    assert await sql.fetchval("SELECT count(*) FROM purchases WHERE automatic") == 0
    await sql.execute("SELECT set_config('turnpike.org_id', '*', false)")
    await sql.execute("UPDATE top_ups SET method_ref = $1, monthly_limit_nano = 0", DECLINED_METHOD)
    await shop.top_ups.look()
    await shop.top_ups.look()
    assert await sql.fetchval("SELECT status FROM purchases WHERE automatic") == PurchaseStatus.FAILED
    assert [notice.kind for notice in await shop.top_ups.notices(org_id)] == ["top_up_failed"]
    assert (await identity.org(org_id)).balance == 10 * USD


async def test_a_statement_adds_up_and_is_the_ledger(
    shop: Shop,
    database: Database,
    settlement: Settlement,
    usage_event: UsageEvents,
    new_customer: NewCustomer,
    sql: asyncpg.Connection,
) -> None:
    org_id, key_id = await new_customer()
    await shop.bought(org_id)
    events = [usage_event(org_id, key_id) for _ in range(5)]
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records(events))
    now = datetime.now(UTC)
    found = await PostgresStatementStore(database).statement(org_id, checked_month(f"{now:%Y-%m}"))
    cost = await sql.fetchval("SELECT sum(cost_nano)::bigint FROM settled_events")
    by_reason = {each.reason: each.amount for each in found.movements}
    assert by_reason == {"purchase": 10 * USD, "test": CREDIT, "usage": -cost}
    assert (found.opening, found.closing) == (0, CREDIT + 10 * USD - cost)
    assert found.closing == await sql.fetchval("SELECT balance_nano FROM orgs WHERE org_id = $1", org_id)
    assert [purchase.invoice_number for purchase in found.purchases] == [1]
    following = await PostgresStatementStore(database).statement(org_id, checked_month("2099-12"))
    assert (following.opening, following.closing) == (found.closing, found.closing)
    with pytest.raises(NotFoundError):
        await PostgresStatementStore(database).statement(uuid4(), checked_month("2026-01"))
