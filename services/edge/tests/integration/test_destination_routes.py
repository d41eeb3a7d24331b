"""Destinations of broadcast through the public port."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from edge.testing.stack import EdgeStack
from turnpike.accounts.v1 import destination_service_pb2 as messages

CANARY = "canary-0123456789abcdef"
WEBHOOK: dict[str, Any] = {
    "type": "webhook",
    "name": "Ours",
    "config": {"url": "https://example.com/hook", "headers": {"Authorization": CANARY}},
}
PATH = "/observability/destinations"
# The members of OpenRouter's `ObservabilityWebhookDestination`, those of October 2026 among them.
MEMBERS = {
    "api_key_hashes", "broadcast_generation_cost", "broadcast_generation_cost_allocation", "broadcast_generation_identity",
    "broadcast_generation_request_context", "config", "created_at", "enabled", "filter_rules", "id", "name", "privacy_mode",
    "regions", "sampling_rate", "type", "updated_at", "workspace_id",
}  # fmt: skip


async def manage(edge: EdgeStack, method: str, path: str, body: Any = None) -> Any:
    answer = await edge.call(method, path, body, key=edge.management_key)
    assert answer.status in {200, 201}, answer.body
    assert CANARY.encode() not in answer.body
    return answer.document


async def test_a_destination_is_made_read_changed_listed_and_deleted(edge: EdgeStack) -> None:
    rules = {
        "enabled": True,
        "groups": [
            {"logic": "or", "rules": [{"field": "total_cost", "operator": "gte", "value": 0.5},
                                      {"field": "session_id", "operator": "exists"}]},
        ],
    }  # fmt: skip
    made = (await manage(edge, "POST", PATH, {**WEBHOOK, "filter_rules": rules, "sampling_rate": 0.25}))["data"]
    assert set(made) == MEMBERS
    assert made["filter_rules"] == rules
    assert (made["type"], made["name"], made["enabled"], made["sampling_rate"]) == ("webhook", "Ours", True, 0.25)
    assert (made["workspace_id"], made["regions"], made["api_key_hashes"]) == (edge.org.org_id, ["global"], None)
    assert made["config"] == {"url": "https://example.com/hook", "headers": {"Authorization": "***"}}
    one = f"{PATH}/{made['id']}"
    assert (await manage(edge, "GET", one))["data"] == made
    digest = edge.key_record.digest
    change = {"api_key_hashes": [digest], "filter_rules": None, "config": {"method": "PUT"}, "enabled": False}
    changed = (await manage(edge, "PATCH", one, change))["data"]
    assert (changed["api_key_hashes"], changed["filter_rules"], changed["enabled"]) == ([digest], None, False)
    assert (changed["name"], changed["sampling_rate"]) == ("Ours", 0.25)
    assert changed["config"] == {**made["config"], "method": "PUT"}
    assert (await manage(edge, "PATCH", one, {"api_key_hashes": None}))["data"]["api_key_hashes"] is None
    listed = await manage(edge, "GET", PATH + "?limit=1")
    assert [each["id"] for each in listed["data"]] == [made["id"]]
    assert listed["total_count"] == 1
    assert await manage(edge, "DELETE", one) == {"deleted": True}
    assert (await edge.call("GET", one, key=edge.management_key)).status == 404


async def test_prompts_are_sent_only_where_somebody_says_so(edge: EdgeStack) -> None:
    assert (await manage(edge, "POST", PATH, WEBHOOK))["data"]["privacy_mode"] is True
    assert (await manage(edge, "POST", PATH, {**WEBHOOK, "privacy_mode": False}))["data"]["privacy_mode"] is False


async def test_the_owner_sees_what_became_of_deliveries(edge: EdgeStack) -> None:
    made = (await manage(edge, "POST", PATH, WEBHOOK))["data"]
    empty = (await manage(edge, "GET", f"{PATH}/{made['id']}/deliveries"))["data"]
    assert (empty["delivered"], empty["attempts"], empty["stopped_at"]) == (0, [], None)
    state = edge.around.destinations.states[made["id"]] = messages.DeliveryState(delivered=7, dropped=1)
    attempt = state.attempts.add(events=3, duration_ms=12, error="timeout")
    attempt.at.FromSeconds(1_790_000_000)
    seen = (await manage(edge, "GET", f"{PATH}/{made['id']}/deliveries"))["data"]
    assert (seen["delivered"], seen["dropped"]) == (7, 1)
    assert seen["attempts"] == [
        {"at": "2026-09-21T14:13:20.000000+00:00", "events": 3, "status": None, "duration_ms": 12, "error": "timeout"}
    ]


def rule(**members: Any) -> dict[str, Any]:
    return {"groups": [{"logic": "and", "rules": [members]}]}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"type": "langfuse"}, "type"),
        ({"type": None}, "type"),
        ({"name": " "}, "name"),
        ({"name": None}, "name"),
        ({"config": None}, "config"),
        ({"config": {}}, "config.url"),
        ({"config": {"url": 7}}, "config.url"),
        ({"config": {"url": "https://example.com", "headers": {"X": 1}}}, "config.headers"),
        ({"sampling_rate": 0}, "sampling_rate"),
        ({"sampling_rate": 1.5}, "sampling_rate"),
        ({"api_key_hashes": []}, "api_key_hashes"),
        ({"api_key_hashes": ["x"]}, "api_key_hashes[0]"),
        ({"privacy_mode": "no"}, "privacy_mode"),
        ({"regions": ["europe"]}, "regions[0]"),
        ({"broadcast_generation_cost_allocation": True}, "broadcast_generation_cost_allocation"),
        ({"workspace_id": "no-such"}, "workspace_id"),
        ({"endpoint": "https://evil.example"}, "endpoint"),
        ({"filter_rules": {"groups": [{"logic": "and", "rules": []}]}}, "filter_rules.groups[0].rules"),
        ({"filter_rules": rule(field="model", operator="gt", value=1)}, "filter_rules.groups[0].rules[0].operator"),
        ({"filter_rules": rule(field="total_cost", operator="gt")}, "filter_rules.groups[0].rules[0].value"),
        (
            {"filter_rules": rule(field="total_tokens", operator="gt", value="x")},
            "filter_rules.groups[0].rules[0].value",
        ),
        ({"filter_rules": rule(field="model", operator="regex", value="(")}, "filter_rules.groups[0].rules[0].value"),
        ({"filter_rules": rule(field="cost", operator="gt", value=1)}, "filter_rules.groups[0].rules[0].field"),
    ],
)
async def test_s12_a_bad_request_names_the_member_and_repeats_no_secret(
    change: dict[str, Any], param: str, edge: EdgeStack
) -> None:
    answer = await edge.call("POST", PATH, {**WEBHOOK, **change}, key=edge.management_key)
    assert answer.status == 400, answer.body
    assert answer.error["metadata"]["param"] == param
    assert CANARY.encode() not in answer.body


ROUTES = [
    ("GET", PATH), ("POST", PATH), ("GET", PATH + "/{id}"), ("PATCH", PATH + "/{id}"), ("DELETE", PATH + "/{id}"),
    ("GET", PATH + "/{id}/deliveries"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_s09_s10_every_route_needs_a_management_key_of_the_organisation(
    method: str, path: str, edge: EdgeStack
) -> None:
    destinations, accounts = edge.around.destinations, edge.around.accounts
    request = messages.CreateDestinationRequest(
        org_id=edge.org.org_id,
        type=messages.DESTINATION_TYPE_WEBHOOK,
        config=messages.DestinationConfig(members={"url": "https://a.example"}),
    )
    own = destinations.store(request)
    request.org_id = accounts.add_org().org_id
    foreign = destinations.store(request)
    body = WEBHOOK if method == "POST" else {"name": "x"} if method == "PATCH" else None
    assert (await edge.call(method, path.replace("{id}", own.destination_id), body)).status == 403
    if "{id}" in path:
        answer = await edge.call(method, path.replace("{id}", foreign.destination_id), body, key=edge.management_key)
        assert answer.status == 404
    destinations.down = True
    answer = await edge.call(method, path.replace("{id}", own.destination_id), body, key=edge.management_key)
    assert answer.status == 503


async def test_s23_a_secret_is_in_no_log_and_no_trace_of_the_edge(
    edge: EdgeStack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await manage(edge, "POST", PATH, WEBHOOK)
    await edge.call("POST", PATH, {**WEBHOOK, "sampling_rate": 7}, key=edge.management_key)
    assert CANARY not in caplog.text
    assert CANARY not in str([(span.name, span.attributes, span.events) for span in edge.telemetry.spans])
