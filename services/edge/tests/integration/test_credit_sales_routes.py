"""Buying credit over the public API."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from edge.testing.payments import SIGNATURE
from edge.testing.stack import EdgeStack, OpenEdge
from turnpike.accounts.v1 import payment_service_pb2 as messages
from turnpike.metering.v1.analytics_service_pb2 import EndedUsage

USD = 10**9
BODY = {"amount": 20, "success_url": "https://a.example/yes", "cancel_url": "https://a.example/no"}


@pytest.fixture
async def edge(open_edge: OpenEdge) -> EdgeStack:
    return await open_edge()


async def test_a_purchase_is_started_listed_and_repeatable(edge: EdgeStack) -> None:
    key, headers = edge.management_key, {"Idempotency-Key": "order-7"}
    bought = await edge.call("POST", "/credits/purchases", BODY, key=key, headers=headers)
    again = await edge.call("POST", "/credits/purchases", BODY, key=key, headers=headers)
    assert bought.status == again.status == 201
    assert bought.document == again.document
    row = bought.document["data"]
    assert (row["credit"], row["fee"], row["status"], row["paid_at"]) == (20, 1, "pending", None)
    assert bought.document["checkout_url"].startswith("https://pay.example/")
    await edge.call("POST", "/credits/purchases", BODY, key=key)
    listed = await edge.call("GET", "/credits/purchases?limit=1", key=key)
    assert (len(listed.document["data"]), listed.document["total_count"]) == (1, 2)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"amount": None}, "amount"),
        ({"amount": "20"}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": 4.99}, "credit_nano_usd"),
        ({"success_url": ""}, "success_url"),
        ({"cancel_url": 5}, "cancel_url"),
        ({"save_payment_method": "yes"}, "save_payment_method"),
        ({"org_id": "somebody"}, "org_id"),
    ],
)
async def test_s12_a_wrong_or_unknown_member_is_named(edge: EdgeStack, change: dict[str, Any], param: str) -> None:
    answer = await edge.call("POST", "/credits/purchases", {**BODY, **change}, key=edge.management_key)
    assert answer.status == 400
    assert answer.error["metadata"]["param"] == param


async def test_an_inference_key_buys_nothing(edge: EdgeStack) -> None:
    assert (await edge.call("POST", "/credits/purchases", BODY)).status == 403
    assert (await edge.call("GET", "/credits/statements/2026-01")).status == 403


async def test_s43_a_webhook_is_handed_on_as_it_is_and_needs_its_signature(edge: EdgeStack) -> None:
    url = f"http://127.0.0.1:{edge.port}/webhooks/payments"
    payload = b'{"id": "evt_1",  "odd" : 1}'
    taken = await edge.call("POST", url, payload, key="", headers={"Stripe-Signature": SIGNATURE})
    assert (taken.status, taken.document) == (200, {"received": True})
    assert edge.around.sales.webhooks == [payload]
    for signature in ({}, {"Stripe-Signature": "t=1,v1=bad"}, {"Stripe-Signature": "x" * 5_000}):
        assert (await edge.call("POST", url, payload, key="", headers=signature)).status == 400
    assert edge.around.sales.webhooks == [payload]


async def test_rules_of_topping_up_are_replaced_as_a_whole(edge: EdgeStack) -> None:
    key = edge.management_key
    rules = {"enabled": True, "threshold": 5, "amount": 25.5, "monthly_limit": 100, "notice_below": 10}
    changed = await edge.call("PUT", "/credits/top-up", rules, key=key)
    assert changed.document["data"] == {**rules, "has_payment_method": False}
    await edge.call("PUT", "/credits/top-up", {"notice_below": 1}, key=key)
    now = (await edge.call("GET", "/credits/top-up", key=key)).document["data"]
    assert (now["enabled"], now["amount"], now["monthly_limit"], now["notice_below"]) == (False, 0, None, 1)


async def test_notices_are_listed(edge: EdgeStack) -> None:
    notice = messages.Notice(notice_id="n1", kind="low_balance", amount_nano_usd=-USD // 2)
    notice.created_at.FromSeconds(1_790_000_000)
    edge.around.sales.told[edge.org.org_id] = [notice]
    (row,) = (await edge.call("GET", "/credits/notices", key=edge.management_key)).document["data"]
    assert (row["kind"], row["amount"]) == ("low_balance", -0.5)


def statement(name: str = "Acme") -> messages.GetStatementResponse:
    paid = messages.Purchase(
        purchase_id="p1",
        status=messages.PURCHASE_STATUS_PAID,
        credit_nano_usd=10 * USD,
        fee_nano_usd=USD // 2,
        invoice_number=7,
    )
    paid.paid_at.FromSeconds(1_790_000_000)
    return messages.GetStatementResponse(
        org_name=name,
        opening_nano_usd=USD,
        closing_nano_usd=11 * USD - 3,
        movements=[
            messages.StatementMovement(reason="purchase", entries=1, amount_nano_usd=10 * USD),
            messages.StatementMovement(reason="usage", entries=2, amount_nano_usd=-3),
        ],
        usage=[messages.StatementUsage(model="acme/one", generations=2, cost_nano_usd=3)],
        purchases=[paid],
    )


async def test_a_statement_in_each_form(edge: EdgeStack) -> None:
    edge.around.sales.statements[edge.org.org_id, "2026-09"] = statement()
    path, key = "/credits/statements/2026-09", edge.management_key
    document = (await edge.call("GET", path, key=key)).document["data"]
    assert (document["opening_balance"], document["closing_balance"]) == (1, 10.999999997)
    assert document["purchases"][0]["invoice_number"] == 7
    rows = list(csv.DictReader(io.StringIO((await edge.call("GET", f"{path}?format=csv", key=key)).body.decode())))
    assert [row["usd"] for row in rows if row["section"] == "balance"] == ["1", "10.999999997"]
    assert [row["usd"] for row in rows if row["section"] == "invoice"] == ["10.5"]
    page = await edge.call("GET", f"{path}?format=html", key=key)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "10.999999997" in page.body.decode()


async def test_b10_a_statement_says_what_the_usage_events_say_to_the_nano_dollar(edge: EdgeStack) -> None:
    edge.around.sales.statements[edge.org.org_id, "2026-12"] = statement()
    path, key = "/credits/statements/2026-12", edge.management_key
    edge.around.analytics.ended = [EndedUsage(model="acme/one", generations=2, cost_nano_usd=3)]
    document = (await edge.call("GET", path, key=key)).document["data"]["reconciliation"]
    assert document == {
        "ledger_cost": 3e-09, "analytics_cost": 3e-09, "difference": 0, "ledger_generations": 2, "analytics_generations": 2,
        "models": [],
    }  # fmt: skip
    edge.around.analytics.ended = [
        EndedUsage(model="acme/one", generations=2, cost_nano_usd=2),
        EndedUsage(model="acme/two", generations=1, cost_nano_usd=5),
    ]
    document = (await edge.call("GET", path, key=key)).document["data"]["reconciliation"]
    assert (document["ledger_cost"], document["analytics_cost"], document["difference"]) == (3e-09, 7e-09, 4e-09)
    assert [(each["model"], each["ledger_cost"], each["analytics_cost"]) for each in document["models"]] == [
        ("acme/one", 3e-09, 2e-09), ("acme/two", 0, 5e-09),
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO((await edge.call("GET", f"{path}?format=csv", key=key)).body.decode())))
    assert [(row["item"], row["count"], row["usd"]) for row in rows if row["section"] == "reconciliation"] == [
        ("ledger", "2", "0.000000003"), ("usage events", "3", "0.000000007"), ("difference", "1", "0.000000004"),
    ]  # fmt: skip
    assert "0.000000004" in (await edge.call("GET", f"{path}?format=html", key=key)).body.decode()


@pytest.mark.parametrize("fault", ["down", "too_heavy"])
async def test_a_statement_does_without_usage_events_that_cannot_be_asked(edge: EdgeStack, fault: str) -> None:
    edge.around.sales.statements[edge.org.org_id, "2026-09"] = statement()
    setattr(edge.around.analytics, fault, True)
    path, key = "/credits/statements/2026-09", edge.management_key
    answer = await edge.call("GET", path, key=key)
    setattr(edge.around.analytics, fault, False)
    assert answer.status == 200
    assert answer.document["data"]["reconciliation"] is None
    assert answer.document["data"]["closing_balance"] == 10.999999997


async def test_what_others_chose_cannot_run_on_the_page_or_in_a_spreadsheet(edge: EdgeStack) -> None:
    hostile = statement("<script>alert(1)</script>")
    hostile.movements[1].reason = "=HYPERLINK(1)"
    edge.around.sales.statements[edge.org.org_id, "2026-09"] = hostile
    path, key = "/credits/statements/2026-09", edge.management_key
    page = (await edge.call("GET", f"{path}?format=html", key=key)).body.decode()
    assert "<script>" not in page
    table = (await edge.call("GET", f"{path}?format=csv", key=key)).body.decode()
    assert ",'=HYPERLINK(1)," in table


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "x", "2026-01-01"])
async def test_a_month_that_does_not_exist_is_not_found(edge: EdgeStack, month: str) -> None:
    assert (await edge.call("GET", f"/credits/statements/{month}", key=edge.management_key)).status == 404


async def test_an_unknown_form_is_named(edge: EdgeStack) -> None:
    answer = await edge.call("GET", "/credits/statements/2026-09?format=pdf", key=edge.management_key)
    assert (answer.status, answer.error["metadata"]["param"]) == (400, "format")


async def test_accounts_away_is_a_503(edge: EdgeStack) -> None:
    edge.around.sales.down = True
    answer = await edge.call("POST", "/credits/purchases", BODY, key=edge.management_key)
    assert (answer.status, answer.error["metadata"]["error_type"]) == (503, "provider_overloaded")
