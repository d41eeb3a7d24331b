"""Credit is bought through the whole system: order, payment, webhook, ledger, balance, statement."""

from __future__ import annotations

from datetime import UTC, datetime

import aiohttp
import asyncpg

from e2e_support.stack import Stack, wait_until_async

USD = 10**9


async def test_bought_credit_arrives_with_its_fee_and_is_on_the_statement(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.run['management_key']}", "Idempotency-Key": "e2e-purchase"}
    body = {"amount": 25, "success_url": "http://127.0.0.1/yes", "cancel_url": "http://127.0.0.1/no"}
    async with aiohttp.ClientSession(headers=headers) as http:

        async def credit() -> float:
            async with http.get(f"{stack.base_url}/credits") as answer:
                return float((await answer.json())["data"]["total_credits"])

        before = await credit()
        async with http.post(f"{stack.base_url}/credits/purchases", json=body) as answer:
            assert answer.status == 201, await answer.text()
            bought = await answer.json()
        assert (bought["data"]["credit"], bought["data"]["fee"]) == (25, 1.25)
        async with aiohttp.ClientSession() as payer:
            async with payer.get(bought["checkout_url"]) as page:
                assert "26.25" in await page.text()
            async with payer.post(bought["checkout_url"], allow_redirects=False) as paid:
                assert (paid.status, paid.headers["Location"]) == (303, body["success_url"])

        async def arrived() -> bool:
            return await credit() == before + 25

        await wait_until_async(arrived, "the credit did not arrive")
        month = f"{datetime.now(UTC):%Y-%m}"
        async with http.get(f"{stack.base_url}/credits/statements/{month}") as answer:
            statement = (await answer.json())["data"]
    assert {each["reason"]: each["amount"] for each in statement["movements"]}["purchase"] == 25
    assert statement["purchases"][0]["status"] == "paid"
    database = await asyncpg.connect(stack.run["postgres_dsn"])
    try:
        fee = await database.fetchval("SELECT sum(nano) FROM ledger_entries WHERE credit = 'revenue:fee'")
    finally:
        await database.close()
    assert fee == 125 * USD // 100


async def test_s43_a_webhook_that_nobody_signed_is_refused(stack: Stack) -> None:
    url = stack.base_url.removesuffix("/api/v1") + "/webhooks/payments"
    async with aiohttp.ClientSession() as http:
        async with http.post(url, json={"id": "evt"}, headers={"Stripe-Signature": "t=1,v1=00"}) as answer:
            assert answer.status == 400, await answer.text()
