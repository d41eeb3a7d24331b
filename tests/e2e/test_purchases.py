"""Credit is bought through the whole system: order, payment, webhook, ledger, balance, statement."""

from __future__ import annotations

import asyncio
import json
import subprocess
from datetime import UTC, datetime
from typing import Any

import aiohttp
import asyncpg

from e2e_support.stack import ROOT, Stack, turnpike, wait_until_async
from localstack.payments.__main__ import signature
from localstack.secret_files import webhook_secret_file
from localstack.state import StateDir

USD = 10**9


def _purchased(statement: dict[str, Any]) -> float:
    return float({each["reason"]: each["amount"] for each in statement["movements"]}.get("purchase", 0))


async def test_bought_credit_arrives_with_its_fee_and_is_on_the_statement(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.run['management_key']}", "Idempotency-Key": "e2e-purchase"}
    body = {"amount": 25, "success_url": "http://127.0.0.1/yes", "cancel_url": "http://127.0.0.1/no"}
    async with aiohttp.ClientSession(headers=headers) as http:

        async def credit() -> float:
            async with http.get(f"{stack.base_url}/credits") as answer:
                return float((await answer.json())["data"]["total_credits"])

        async def statement() -> dict[str, Any]:
            async with http.get(f"{stack.base_url}/credits/statements/{datetime.now(UTC):%Y-%m}") as answer:
                return dict((await answer.json())["data"])

        # Others buy in the same books before and after.
        before = await credit()
        purchased_before = _purchased(await statement())
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
        after = await statement()
    assert _purchased(after) == purchased_before + 25
    assert [each["status"] for each in after["purchases"] if each["id"] == bought["data"]["id"]] == ["paid"]
    database = await asyncpg.connect(stack.run["postgres_dsn"])
    try:
        fees = await database.fetch(
            "SELECT nano FROM ledger_entries WHERE credit = 'revenue:fee' AND nano = $1", 125 * USD // 100
        )
    finally:
        await database.close()
    assert len(fees) == 1


async def test_s43_a_webhook_that_nobody_signed_is_refused(stack: Stack) -> None:
    url = stack.base_url.removesuffix("/api/v1") + "/webhooks/payments"
    async with aiohttp.ClientSession() as http:
        async with http.post(url, json={"id": "evt"}, headers={"Stripe-Signature": "t=1,v1=00"}) as answer:
            assert answer.status == 400, await answer.text()


async def test_b13_a_dispute_that_was_won_is_given_back_once_by_the_command_and_by_the_webhook(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.run['management_key']}", "Idempotency-Key": "e2e-dispute"}
    body = {"amount": 5, "success_url": "http://127.0.0.1/yes", "cancel_url": "http://127.0.0.1/no"}
    secret = webhook_secret_file(StateDir.at(stack.state_dir).secrets).read_text(encoding="utf-8").strip()
    webhooks = stack.base_url.removesuffix("/api/v1") + "/webhooks/payments"
    async with aiohttp.ClientSession() as http:

        async def credit() -> float:
            async with http.get(f"{stack.base_url}/credits", headers=headers) as answer:
                return float((await answer.json())["data"]["total_credits"])

        async def is_paid() -> bool:
            return await credit() == before + 5

        async def say(kind: str, **about: object) -> None:
            event = {"id": f"evt_{kind}", "type": kind, "data": {"object": {"id": "dp_1", "currency": "usd", **about}}}
            said = json.dumps(event).encode()
            signed = {"Stripe-Signature": signature(said, secret), "Content-Type": "application/json"}
            async with http.post(webhooks, data=said, headers=signed) as answer:
                assert answer.status == 200, await answer.text()

        before = await credit()
        async with http.post(f"{stack.base_url}/credits/purchases", json=body, headers=headers) as answer:
            bought = await answer.json()
            assert answer.status == 201, bought
        async with http.post(bought["checkout_url"], allow_redirects=False) as paid:
            assert paid.status == 303
        await wait_until_async(is_paid, "the credit did not arrive")
        database = await asyncpg.connect(stack.run["postgres_dsn"])
        try:
            await database.execute("SELECT set_config('turnpike.org_id', '*', false)")
            row = await database.fetchrow(
                "SELECT org_id, payment_ref FROM purchases WHERE purchase_id = CAST($1 AS uuid)", bought["data"]["id"]
            )
        finally:
            await database.close()
        about = {"payment_intent": row["payment_ref"], "amount": 525}
        await say("charge.dispute.created", **about)
        assert await credit() == before
        command = [
            turnpike(), "disputes", "won", bought["data"]["id"], "--org", str(row["org_id"]), "--state-dir",
            str(stack.state_dir), "--reason", "a letter",
        ]  # fmt: skip
        for _ in range(2):
            ended = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, timeout=60, cwd=ROOT
            )
            assert (ended.returncode, "$0.00 disputed" in ended.stdout) == (0, True), ended.stderr
            assert await is_paid()
        await say("charge.dispute.closed", status="won", **about)
        assert await is_paid()
        unknown = await asyncio.to_thread(
            subprocess.run, [*command[:3], str(row["org_id"]), *command[4:]], capture_output=True, text=True, timeout=60
        )
        assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1)
