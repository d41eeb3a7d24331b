"""Guardrails through the public port, managed as OpenRouter's clients do."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.guardrails import default_guardrail_id
from edge.testing.stack import EdgeStack
from turnpike.accounts.v1 import guardrail_pb2

FULL: dict[str, Any] = {
    "name": "Support team",
    "description": "No personal data leaves",
    "limit_usd": 50.5,
    "reset_interval": "daily",
    "include_byok_in_budgets": True,
    "allowed_models": ["acme/one"],
    "ignored_models": ["acme/two"],
    "allowed_providers": ["acme"],
    "ignored_providers": ["deepinfra/turbo"],
    "enforce_zdr_anthropic": True,
    "enforce_zdr_openai": False,
    "enable_paid_model_training": False,
    "enable_free_model_training": True,
    "enable_free_model_publication": False,
    "content_filters": [{"pattern": "project [a-z]+", "label": "PROJECT", "action": "redact"}],
    "content_filter_builtins": [
        {"slug": "email", "action": "block", "label": "[EMAIL]", "scan_scope": "all_messages"},
        {"slug": "regex-prompt-injection", "action": "flag", "label": "[PROMPT_INJECTION]", "scan_scope": "user_only"},
    ],
    "rate_limits": [{"quantity": "tokens", "interval": "minute", "amount": 1000, "model": None}],
}


async def manage(edge: EdgeStack, method: str, path: str, body: Any = None) -> Any:
    answer = await edge.call(method, path, body, key=edge.management_key)
    assert answer.status in {200, 201}, answer.body
    return answer.document


async def test_a_guardrail_is_made_read_changed_listed_and_deleted(edge: EdgeStack) -> None:
    created = await edge.call("POST", "/guardrails", FULL, key=edge.management_key)
    assert created.status == 201, created.body
    row = created.document["data"]
    assert {name: row[name] for name in FULL} == FULL
    assert (row["workspace_id"], row["enforce_zdr"], row["enforce_zdr_google"]) == (edge.org.org_id, None, None)
    path = f"/guardrails/{row['id']}"
    assert (await manage(edge, "GET", path))["data"] == row
    nothing = dict.fromkeys(FULL.keys() - {"name", "include_byok_in_budgets"}, None)
    changed = (await manage(edge, "PATCH", path, {**nothing, "enforce_zdr": True, "ignored_models": []}))["data"]
    assert changed["name"] == "Support team"
    assert {name: changed[name] for name in nothing} == nothing | {"rate_limits": []} | {
        "enforce_zdr_anthropic": None,
        "enforce_zdr_openai": None,
    }
    assert (changed["enforce_zdr_google"], changed["enforce_zdr_other"]) == (True, True)
    listed = await manage(edge, "GET", "/guardrails")
    assert (listed["data"], listed["total_count"]) == ([changed], 1)
    assert await manage(edge, "DELETE", path) == {"deleted": True}
    assert (await edge.call("GET", path, key=edge.management_key)).status == 404


async def test_the_old_switch_for_retention_speaks_for_the_groups_that_are_not_named(edge: EdgeStack) -> None:
    row = (await manage(edge, "POST", "/guardrails", {"name": "x", "enforce_zdr": True, "enforce_zdr_xai": False}))[
        "data"
    ]
    groups = {group: row[f"enforce_zdr_{group}"] for group in ("anthropic", "openai", "google", "xai", "other")}
    assert groups == {"anthropic": True, "openai": True, "google": True, "xai": False, "other": True}
    row = (await manage(edge, "POST", "/guardrails", {"name": "x", "enforce_zdr": True}))["data"]
    assert row["enforce_zdr"] is True


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "x", "description": "x" * 1001}, "description"),
        ({"name": "x", "limit_usd": -1}, "limit_usd"),
        ({"name": "x", "reset_interval": "hourly"}, "reset_interval"),
        ({"name": "x", "allowed_models": []}, "allowed_models"),
        ({"name": "x", "enforce_zdr_google": "yes"}, "enforce_zdr_google"),
        ({"name": "x", "content_filters": [{"pattern": "x"}]}, "content_filters[0].action"),
        ({"name": "x", "content_filters": [{"pattern": "(?=x)", "action": "flag"}]}, "content_filters[0].pattern"),
        ({"name": "x", "content_filters": [{"pattern": "x*", "action": "flag"}]}, "content_filters[0].pattern"),
        ({"name": "x", "content_filters": ["x"]}, "content_filters[0]"),
        (
            {"name": "x", "content_filter_builtins": [{"slug": "iban", "action": "flag"}]},
            "content_filter_builtins[0].slug",
        ),
        ({"name": "x", "content_filter_builtins": [{"slug": "email"}]}, "content_filter_builtins[0].action"),
        ({"name": "x", "org_id": "other"}, "org_id"),
    ],
)
async def test_s12_a_bad_request_names_the_field(body: dict[str, Any], param: str, edge: EdgeStack) -> None:
    answer = await edge.call("POST", "/guardrails", body, key=edge.management_key)
    assert answer.status == 400, answer.body
    assert answer.error["metadata"]["param"] == param


async def test_keys_and_members_are_bound_and_freed(edge: EdgeStack) -> None:
    made = edge.around.guardrails.add(edge.org.org_id, guardrail_pb2.GuardrailPolicy())
    path, digest = f"/guardrails/{made.guardrail_id}/assignments", edge.key_record.digest
    assert await manage(edge, "POST", f"{path}/keys", {"key_hashes": [digest]}) == {"assigned_count": 1}
    assert await manage(edge, "POST", f"{path}/members", {"member_user_ids": ["u1", "u2"]}) == {"assigned_count": 2}
    for where in (path, "/guardrails/assignments"):
        (bound,) = (await manage(edge, "GET", f"{where}/keys"))["data"]
        assert (bound["guardrail_id"], bound["key_hash"], bound["assigned_by"]) == (made.guardrail_id, digest, None)
        members = await manage(edge, "GET", f"{where}/members?limit=1&offset=1")
        assert (members["total_count"], [each["user_id"] for each in members["data"]]) == (2, ["u1"])
        assert members["data"][0]["organization_id"] == edge.org.org_id
    assert await manage(edge, "POST", f"{path}/keys/remove", {"key_hashes": [digest]}) == {"unassigned_count": 1}
    freed = await manage(edge, "POST", f"{path}/members/remove", {"member_user_ids": ["u1", "nobody"]})
    assert freed == {"unassigned_count": 1}


async def test_a_change_of_the_default_of_a_workspace_is_a_change_like_any_other(edge: EdgeStack) -> None:
    edge.around.guardrails.add(edge.org.org_id, guardrail_pb2.GuardrailPolicy(), is_default=True)
    path = f"/guardrails/{default_guardrail_id(edge.org.org_id)}"
    assert (await manage(edge, "PATCH", path, {"limit_usd": 5}))["data"]["limit_usd"] == 5


ROUTES = [
    ("GET", "/guardrails"),
    ("POST", "/guardrails"),
    ("GET", "/guardrails/{id}"),
    ("PATCH", "/guardrails/{id}"),
    ("DELETE", "/guardrails/{id}"),
    ("GET", "/guardrails/assignments/keys"),
    ("GET", "/guardrails/assignments/members"),
    ("GET", "/guardrails/{id}/assignments/keys"),
    ("GET", "/guardrails/{id}/assignments/members"),
    ("POST", "/guardrails/{id}/assignments/keys"),
    ("POST", "/guardrails/{id}/assignments/members"),
    ("POST", "/guardrails/{id}/assignments/keys/remove"),
    ("POST", "/guardrails/{id}/assignments/members/remove"),
]


def body_of(method: str, path: str) -> Any:
    if method in {"GET", "DELETE"}:
        return None
    if "assignments" in path:
        return {"key_hashes": ["0" * 64]} if "keys" in path else {"member_user_ids": ["u"]}
    return {"name": "x"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_needs_a_management_key_and_503s_when_accounts_is_away(
    method: str, path: str, edge: EdgeStack
) -> None:
    made = edge.around.guardrails.add(edge.org.org_id, guardrail_pb2.GuardrailPolicy())
    path = path.replace("{id}", made.guardrail_id)
    body = body_of(method, path)
    assert (await edge.call(method, path, body)).status == 403
    assert (await edge.call(method, path, body, key="")).status == 401
    edge.around.guardrails.down = True
    assert (await edge.call(method, path, body, key=edge.management_key)).status == 503


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if "{id}" in route[1]])
async def test_s09_a_guardrail_of_another_organisation_does_not_exist(method: str, path: str, edge: EdgeStack) -> None:
    foreign = edge.around.guardrails.add(edge.around.accounts.add_org().org_id, guardrail_pb2.GuardrailPolicy())
    path = path.replace("{id}", foreign.guardrail_id)
    answer = await edge.call(method, path, body_of(method, path), key=edge.management_key)
    assert answer.status == 404
    assert foreign.guardrail_id in edge.around.guardrails.guardrails
