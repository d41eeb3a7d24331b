"""Credit is bought through the whole system: order, payment, webhook, ledger, balance, statement."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import subprocess
from datetime import UTC, datetime
from typing import Any

import aiohttp
import asyncpg
import grpc

from contracts.money import usd_text
from e2e_support.books import Books
from e2e_support.stack import ROOT, Stack, turnpike, wait_until_async
from e2e_support.tenants import Call
from localstack.payments.__main__ import signature
from localstack.secret_files import webhook_secret_file
from localstack.stack import SIMULATED_MODEL
from localstack.state import StateDir
from turnpike.accounts.v1 import key_service_pb2, org_service_pb2
from turnpike.accounts.v1.key_service_pb2_grpc import KeyServiceStub
from turnpike.accounts.v1.org_service_pb2_grpc import OrgServiceStub
from turnpike.accounts.v1.records_pb2 import KEY_KIND_INFERENCE, KEY_KIND_MANAGEMENT

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


async def test_b10_a_statement_is_what_the_usage_events_say_to_the_nano_dollar_or_says_where_it_is_not(
    stack: Stack, call: Call, accounts: grpc.aio.Channel, books: Books
) -> None:
    """Through everything: edge, router, Kafka, PostgreSQL, ClickHouse; by an organisation of its own."""
    orgs, keys = OrgServiceStub(accounts), KeyServiceStub(accounts)
    org_id = (await orgs.CreateOrg(org_service_pb2.CreateOrgRequest(name="Stated"))).org.org_id
    await orgs.GrantCredit(
        org_service_pb2.GrantCreditRequest(org_id=org_id, amount_nano_usd=USD, idempotency_key="first")
    )
    made = {
        kind: (await keys.CreateKey(key_service_pb2.CreateKeyRequest(org_id=org_id, name="key", kind=kind))).secret
        for kind in (KEY_KIND_INFERENCE, KEY_KIND_MANAGEMENT)
    }
    key, management = made[KEY_KIND_INFERENCE], made[KEY_KIND_MANAGEMENT]
    spent, generations = 0, []
    for words in ("one", "one two three", "a much longer thing to say"):
        body = {"model": SIMULATED_MODEL, "messages": [{"role": "user", "content": words}], "max_tokens": 20}
        said = await call("POST", "/chat/completions", body, token=key)
        assert said.status == 200, said
        spent += round(said.document["usage"]["cost"] * USD)
        generations.append(said.document["id"])
    assert spent > 0
    await books.wait_settled(generations)
    month = f"{datetime.now(UTC):%Y-%m}"
    path = f"/credits/statements/{month}"

    async def stated() -> Any:
        answer = await call("GET", path, token=management)
        assert answer.status == 200, answer
        return answer.document["data"]

    async def counted() -> bool:
        found = (await stated())["reconciliation"]
        return found is not None and found["analytics_generations"] == len(generations)

    await wait_until_async(counted, "metering did not count the generations")
    found = await stated()
    nano = {
        name: round(found["reconciliation"][name] * USD) for name in ("ledger_cost", "analytics_cost", "difference")
    }
    assert nano == {"ledger_cost": spent, "analytics_cost": spent, "difference": 0}
    assert found["reconciliation"]["models"] == []
    assert [(each["model"], each["generations"], round(each["cost"] * USD)) for each in found["usage"]] == [
        (SIMULATED_MODEL, len(generations), spent)
    ]
    assert [round(each["amount"] * USD) for each in found["movements"] if each["reason"] == "usage"] == [-spent]
    assert round(found["closing_balance"] * USD) == USD - spent
    table = list(csv.DictReader(io.StringIO((await call("GET", f"{path}?format=csv", token=management)).document)))
    assert [row["usd"] for row in table if row["item"] == "difference"] == ["0"]
    page = await call("GET", f"{path}?format=html", token=management)
    assert (page.status, usd_text(USD - spent) in page.document) == (200, True)

    async def command(*more: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            turnpike(), "statement", month, "--base-url", stack.base_url, *more, stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"TURNPIKE_MANAGEMENT_KEY": management},
        )  # fmt: skip
        output, _ = await process.communicate()
        return int(process.returncode or 0), output.decode()

    code, said_so = await command()
    assert (code, f"count the same: 3 generations, ${usd_text(spent)}" in said_so) == (0, True), said_so
    code, text = await command("--csv")
    assert (code, list(csv.DictReader(io.StringIO(text)))) == (0, table)

    # A nano-dollar too many in what was settled is a nano-dollar that the usage events do not have.
    database = await asyncpg.connect(stack.run["postgres_dsn"])
    forge = "UPDATE settled_events SET cost_nano = cost_nano + $2 WHERE generation_id = $1"
    try:
        await database.execute("SELECT set_config('turnpike.org_id', '*', false)")
        assert await database.execute(forge, generations[0], 1) == "UPDATE 1"
        apart = (await stated())["reconciliation"]
        code, text = await command("--json")
    finally:
        await database.execute(forge, generations[0], -1)
        await database.close()
    assert round(apart["difference"] * USD) == -1
    assert [
        (each["model"], round((each["ledger_cost"] - each["analytics_cost"]) * USD)) for each in apart["models"]
    ] == [(SIMULATED_MODEL, 1)]
    assert (code, json.loads(text)["reconciliation"]["difference"]) == (1, "-0.000000001")


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
