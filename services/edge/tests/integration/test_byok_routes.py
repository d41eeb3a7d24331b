"""Customers' own provider keys through the public port."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from contracts.spend import PeriodSpend, Spend, SpendInterval, spend_to_proto
from edge.domain.byok_fee import ByokFee
from edge.domain.principal import day_of
from edge.testing.accounts import USD, MemoryAccounts, known_org
from edge.testing.key_bench import NOW_MS
from edge.testing.router import Message, completed, piece, route, scripted
from edge.testing.stack import EdgeStack
from turnpike.accounts.v1 import byok_service_pb2

CANARY = "sk-canary-0123456789"
BODY: dict[str, Any] = {"provider": "openai", "key": CANARY, "name": "production"}


async def manage(edge: EdgeStack, method: str, path: str, body: Any = None) -> Any:
    answer = await edge.call(method, path, body, key=edge.management_key)
    assert answer.status in {200, 201}, answer.body
    assert CANARY.encode() not in answer.body
    return answer.document


async def test_a_provider_key_is_stored_read_changed_listed_and_deleted(edge: EdgeStack) -> None:
    digest = edge.key_record.digest
    restrictions = {"allowed_models": ["acme/one"], "allowed_api_key_hashes": [digest], "allowed_user_ids": ["u1"]}
    row = (await manage(edge, "POST", "/byok", {**BODY, "is_required": True, **restrictions}))["data"]
    assert {name: row[name] for name in restrictions} == restrictions
    assert (row["provider"], row["name"], row["is_required"], row["is_fallback"]) == (
        "openai",
        "production",
        True,
        False,
    )
    assert (row["workspace_id"], row["label"], row["sort_order"]) == (edge.org.org_id, "sk-...abcd", 0)
    assert edge.around.byok.secrets[row["id"]] == CANARY
    path = f"/byok/{row['id']}"
    assert (await manage(edge, "GET", path))["data"] == row
    change = {"key": CANARY + "-new", "name": None, "disabled": True, "allowed_models": None}
    changed = (await manage(edge, "PATCH", path, change))["data"]
    assert changed == row | {"name": None, "disabled": True, "allowed_models": None}
    assert edge.around.byok.secrets[row["id"]] == CANARY + "-new"
    listed = await manage(edge, "GET", "/byok?provider=openai&limit=1")
    assert (listed["data"], listed["total_count"]) == ([changed], 1)
    assert (await manage(edge, "GET", "/byok?provider=anthropic"))["total_count"] == 0
    assert await manage(edge, "DELETE", path) == {"deleted": True}
    assert (await edge.call("GET", path, key=edge.management_key)).status == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"key": CANARY}, "provider"),
        ({"provider": "openai"}, "key"),
        ({"provider": "openai", "key": ""}, "key"),
        ({"provider": "openai", "key": {"nested": CANARY}}, "key"),
        ({"provider": "openai", "key": "x" * 16_385}, "key"),
        ({**BODY, "name": "x" * 256}, "name"),
        ({**BODY, "allowed_models": []}, "allowed_models"),
        ({**BODY, "allowed_api_key_hashes": ["x"]}, "allowed_api_key_hashes[0]"),
        ({**BODY, "disabled": "no"}, "disabled"),
        ({**BODY, "base_url": "https://evil.example"}, "base_url"),
    ],
)
async def test_s14_s12_a_bad_request_names_the_field_and_repeats_no_key(
    body: dict[str, Any], param: str, edge: EdgeStack
) -> None:
    answer = await edge.call("POST", "/byok", body, key=edge.management_key)
    assert answer.status == 400, answer.body
    assert answer.error["metadata"]["param"] == param
    assert CANARY.encode() not in answer.body


ROUTES = [("GET", "/byok"), ("POST", "/byok"), ("GET", "/byok/{id}"), ("PATCH", "/byok/{id}"), ("DELETE", "/byok/{id}")]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_needs_a_management_key_of_the_organisation(method: str, path: str, edge: EdgeStack) -> None:
    request = byok_service_pb2.CreateByokKeyRequest(org_id=edge.org.org_id, provider="openai", key=CANARY)
    own = edge.around.byok.store(request)
    request.org_id = edge.around.accounts.add_org().org_id
    foreign = edge.around.byok.store(request)
    body = BODY if method == "POST" else {"name": "x"} if method == "PATCH" else None
    assert (await edge.call(method, path.replace("{id}", own.byok_key_id), body)).status == 403
    if "{id}" in path:
        answer = await edge.call(method, path.replace("{id}", foreign.byok_key_id), body, key=edge.management_key)
        assert answer.status == 404
    edge.around.byok.down = True
    answer = await edge.call(method, path.replace("{id}", own.byok_key_id), body, key=edge.management_key)
    assert answer.status == 503


async def test_s23_a_provider_key_is_in_no_log_and_no_trace_of_the_edge(
    edge: EdgeStack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await manage(edge, "POST", "/byok", BODY)
    await edge.call("POST", "/byok", {**BODY, "allowed_models": []}, key=edge.management_key)
    assert CANARY not in caplog.text
    assert CANARY not in str([(span.name, span.attributes, span.events) for span in edge.telemetry.spans])


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_an_answer_says_the_fee_and_what_the_provider_charges(streamed: bool, edge: EdgeStack) -> None:
    outcome = completed(is_byok=True, upstream_cost_nano_usd=USD // 4)
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece("Hi", finish_reason="stop")], outcome=outcome)
    )
    answer = await edge.chat(stream=streamed)
    usage = (answer.events[-2] if streamed else answer.document)["usage"]
    assert usage["is_byok"] is True
    assert usage["cost"] == outcome.cost_nano_usd / USD
    assert usage["cost_details"]["upstream_inference_cost"] == 0.25


async def test_the_router_is_told_of_changes_and_of_the_fee(edge: EdgeStack) -> None:
    await edge.chat()
    assert edge.around.router.requests[-1].caller.byok_revision == 0
    secret, record = edge.around.accounts.add_key(edge.org.org_id)
    edge.org.byok_revision, edge.org.revision = 7, 9
    today = day_of(int(record.created_at.seconds * 1000))
    edge.org.byok_spend.CopyFrom(spend_to_proto(Spend(today, byok=PeriodSpend(monthly=1))))
    await edge.publisher.publish(edge.org, record)
    await edge.chat(key=secret)
    assert edge.around.router.requests[-1].caller.byok_fee_ppm == 0


@pytest.mark.parametrize(("spent", "ppm"), [(0, 0), (99, 0), (100, 50_000), (10**15, 50_000)])
def test_the_fee_begins_where_the_allowance_of_the_month_ends(spent: int, ppm: int) -> None:
    org = known_org(MemoryAccounts().add_org())
    today = day_of(NOW_MS)
    fee = ByokFee(above_ppm=50_000, allowance=100)
    assert fee.ppm(replace(org, byok_spend=Spend(today, byok=PeriodSpend(monthly=spent))), NOW_MS) == ppm
    month_before = SpendInterval.MONTHLY.starts(today).replace(day=1)
    earlier = Spend(month_before.replace(year=month_before.year - 1), byok=PeriodSpend(monthly=spent))
    assert fee.ppm(replace(org, byok_spend=earlier), NOW_MS) == 0
