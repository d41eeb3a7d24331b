"""Organisations over the public API of the whole system: tenancy, roles, sign-in, budgets, codes, the audit log."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import subprocess
from uuid import uuid4

import grpc

from e2e_support.stack import ROOT, SMOLLM2, Stack, turnpike
from e2e_support.tenants import PASSWORD, Call, Tenant, new_member, new_tenant
from edge.api.http.routes import PERMISSIONS, Access

VERIFIER = "v" * 64


async def test_s11_no_member_header_or_parameter_selects_an_organisation(
    call: Call, accounts: grpc.aio.Channel, tenant: Tenant
) -> None:
    other = await new_tenant(call, accounts)
    claims = dict.fromkeys(("X-Organization-Id", "X-Org-Id", "X-Turnpike-Org", "OpenAI-Organization"), other.org_id)
    for token in (tenant.management_key, tenant.owner_token):
        for path in ("/workspaces", "/organization/members", "/keys", "/credits"):
            query = f"{path}?org_id={other.org_id}&organization_id={other.org_id}"
            plain, claimed = await call("GET", path, token=token), await call("GET", query, token=token, headers=claims)
            assert claimed.document == plain.document
    for member in ("org_id", "organization_id", "price", "provider_key", "is_default", "role"):
        for method, path, body in (
            ("POST", "/keys", {"name": "mine"}),
            ("POST", "/workspaces", {"name": "Mine", "slug": "mine"}),
            ("PATCH", f"/keys/{tenant.key_hash}", {"name": "mine"}),
            ("PUT", f"/workspaces/{tenant.workspace_id}/budgets/daily", {"limit_usd": 1}),
        ):
            answer = await call(method, path, {**body, member: other.org_id}, token=tenant.management_key)
            assert answer.status == 400, (path, member, answer)
            assert answer.document["error"]["metadata"]["param"] == member


async def test_s10_roles_may_what_the_table_says(call: Call, accounts: grpc.aio.Channel, tenant: Tenant) -> None:
    tokens = {"owner": tenant.owner_token}
    for role in ("admin", "billing", "developer", "viewer"):
        tokens[role] = (await new_member(call, accounts, tenant.org_id, role))[2]
    routes = {
        Access.ORGANIZATION: ("GET", "/workspaces"),
        Access.MANAGEMENT_KEY: ("GET", "/organization/audit"),
        Access.OWN_KEYS: ("GET", "/keys"),
        Access.MONEY: ("GET", "/credits"),
        Access.SESSION: ("GET", "/auth/session"),
    }
    for access, (method, path) in routes.items():
        permission = PERMISSIONS[access]
        assert permission is not None
        allowed = {role.name.lower() for role in permission.roles if role is not None}
        for role, token in tokens.items():
            assert (await call(method, path, token=token)).status == (200 if role in allowed else 403), (access, role)
        inference = await call(method, path, token=tenant.key)
        assert inference.status == 403
    # A session is for people: it asks for no completions.
    chat = {"model": SMOLLM2, "messages": [{"role": "user", "content": "Hi"}]}
    assert (await call("POST", "/chat/completions", chat, token=tenant.owner_token)).status == 401


async def test_developers_see_and_change_their_own_keys_only(
    call: Call, accounts: grpc.aio.Channel, tenant: Tenant
) -> None:
    user_id, _, token = await new_member(call, accounts, tenant.org_id, "developer")
    made = await call("POST", "/keys", {"name": "mine", "creator_user_id": tenant.owner_id}, token=token)
    assert (made.status, made.document["data"]["creator_user_id"]) == (201, user_id)
    listed = (await call("GET", "/keys", token=token)).document
    assert [key["hash"] for key in listed["data"]] == [made.document["data"]["hash"]]
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
        assert (await call(method, f"/keys/{tenant.key_hash}", body, token=token)).status == 404
    assert len((await call("GET", "/keys", token=tenant.owner_token)).document["data"]) == 3


async def test_a_browser_has_a_cookie_and_proves_that_its_own_page_asks(call: Call, tenant: Tenant) -> None:
    body = {"email": tenant.owner_email, "password": PASSWORD}
    assert (await call("POST", "/auth/sign-in", body, headers={"Sec-Fetch-Site": "cross-site"})).status == 403
    signed_in = await call("POST", "/auth/sign-in", body)
    assert (signed_in.status, signed_in.document["token"]) == (200, None)
    cookie = signed_in.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    headers = {"Cookie": cookie.partition(";")[0]}
    assert (await call("GET", "/workspaces", headers=headers)).status == 200
    workspace = {"name": "One", "slug": "one"}
    for proof in ({}, {"X-CSRF-Token": "0" * 64}):
        assert (await call("POST", "/workspaces", workspace, headers=headers | proof)).status == 403
    proof = {"X-CSRF-Token": signed_in.document["csrf_token"]}
    assert (await call("POST", "/workspaces", workspace, headers=headers | proof)).status == 201
    ended = await call("DELETE", "/auth/session", headers=headers | proof)
    assert (ended.status, "Max-Age=0" in ended.headers["Set-Cookie"]) == (200, True)
    assert (await call("GET", "/workspaces", headers=headers)).status == 401


async def test_s07_refusals_of_sign_in_say_nothing_and_are_limited(call: Call, tenant: Tenant) -> None:
    wrong = await call("POST", "/auth/sign-in", {"email": tenant.owner_email, "password": "wrong password"})
    unknown = await call("POST", "/auth/sign-in", {"email": f"{uuid4().hex}@example.com", "password": PASSWORD})
    assert (wrong.status, wrong.document) == (401, unknown.document)
    for _ in range(9):
        await call("POST", "/auth/sign-in", {"email": tenant.owner_email, "password": "wrong password"})
    limited = await call("POST", "/auth/sign-in", {"email": tenant.owner_email, "password": PASSWORD})
    assert limited.status == 429
    assert 0 < int(limited.headers["Retry-After"]) <= 15 * 60 + 1


async def test_a_workspace_that_has_spent_its_budget_is_refused_by_name(call: Call, tenant: Tenant) -> None:
    manage = tenant.management_key
    made = await call("POST", "/keys", {"name": "k", "workspace_id": tenant.workspace_id}, token=manage)
    assert (made.status, made.document["data"]["workspace_id"]) == (201, tenant.workspace_id)
    for interval, limit in (("daily", 0.000000001), ("lifetime", 0.000000002)):
        put = await call(
            "PUT", f"/workspaces/{tenant.workspace_slug}/budgets/{interval}", {"limit_usd": limit}, token=manage
        )
        assert put.status == 200, put
    refused = await call("PUT", f"/workspaces/{tenant.workspace_slug}/budgets/monthly", {"limit_usd": 1}, token=manage)
    assert (refused.status, refused.document["error"]["metadata"]["param"]) == (400, "limit_usd")
    chat = {"model": SMOLLM2, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    for _ in range(300):
        answer = await call("POST", "/chat/completions", chat, token=made.document["key"])
        # 402 where what is left covers nothing that could come, 403 where it is spent.
        if answer.status in (402, 403):
            break
        assert answer.status == 200, answer
        await asyncio.sleep(0.1)
    assert "budget" in answer.document["error"]["message"]
    assert "orkspace" in answer.document["error"]["message"]
    # Other workspaces go on, and so does this one without budgets.
    assert (await call("POST", "/chat/completions", chat, token=tenant.key)).status == 200
    for interval in ("daily", "lifetime", "lifetime"):
        removed = await call("DELETE", f"/workspaces/{tenant.workspace_slug}/budgets/{interval}", token=manage)
        assert (removed.status, removed.document) == (200, {"deleted": True})
    for _ in range(300):
        if (await call("POST", "/chat/completions", chat, token=made.document["key"])).status == 200:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the budgets stay in force")


async def test_an_application_gets_a_key_with_pkce(call: Call, tenant: Tenant) -> None:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "callback_url": "http://localhost:3000/callback", "code_challenge": challenge, "code_challenge_method": "S256",
        "key_label": "An application", "limit": 0.5, "usage_limit_type": "monthly",
    }  # fmt: skip
    for token in (tenant.owner_token, tenant.key):
        made = await call("POST", "/auth/keys/code", asked, token=token)
        assert made.status == 200, made
        body = {"code": made.document["data"]["id"], "code_verifier": VERIFIER, "code_challenge_method": "S256"}
        exchanged = await call("POST", "/auth/keys", body)
        assert exchanged.status == 200, exchanged
        assert exchanged.document["user_id"] == (tenant.owner_id if token == tenant.owner_token else None)
        own = (await call("GET", "/key", token=exchanged.document["key"])).document["data"]
        assert (own["organization_id"], own["limit"], own["limit_reset"]) == (tenant.org_id, 0.5, "monthly")
        assert (await call("POST", "/auth/keys", body)).status == 403
        # What is bound by a limit cannot make a key that is not.
        assert (await call("POST", "/auth/keys/code", asked, token=exchanged.document["key"])).status == 403
    for url in ("http://example.com/callback", "javascript:alert(1)", "https://user:pw@example.com/"):
        refused = await call("POST", "/auth/keys/code", {**asked, "callback_url": url}, token=tenant.key)
        assert (refused.status, refused.document["error"]["metadata"]["param"]) == (400, "callback_url")


async def test_s45_the_audit_log_says_who_and_from_where_and_the_command_checks_it(
    call: Call, tenant: Tenant, stack: Stack
) -> None:
    key = await call("POST", "/keys", {"name": "audited"}, token=tenant.owner_token)
    entries = (await call("GET", "/organization/audit?limit=100", token=tenant.owner_token)).document["data"]
    (made,) = [each for each in entries if each["after"].get("name") == "audited"]
    assert (made["actor_kind"], made["actor_id"], made["ip"]) == ("user", tenant.owner_id, "127.0.0.1")
    assert made["request_id"] == key.headers["X-Request-Id"]
    assert key.document["key"] not in json.dumps(entries)

    def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [turnpike(), "audit", "verify", "--base-url", stack.base_url, *arguments]
        environment = {"TURNPIKE_MANAGEMENT_KEY": tenant.management_key, "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment)

    checked = await asyncio.to_thread(verify)
    assert checked.returncode == 0, checked.stderr
    noted = checked.stdout.strip()
    assert noted.startswith(f"{len(entries)}:")
    assert (await asyncio.to_thread(verify, "--anchor", noted)).returncode == 0
    sequence, _, digest = noted.partition(":")
    missing = await asyncio.to_thread(verify, "--anchor", f"{int(sequence) + 1}:{digest}")
    assert (missing.returncode, "broken at entry" in missing.stderr) == (1, True)


async def test_people_found_organisations_switch_and_accept_invitations(
    call: Call, accounts: grpc.aio.Channel, tenant: Tenant
) -> None:
    other = await new_tenant(call, accounts)
    founded = await call("POST", "/organizations", {"name": "Mine"}, token=tenant.owner_token)
    assert (founded.status, [each["name"] for each in founded.document["data"]["organizations"]]) == (
        201, ["Tenant", "Mine"],
    )  # fmt: skip
    mine = founded.document["data"]["organizations"][1]["id"]
    refused = await call("PATCH", "/auth/session", {"organization_id": other.org_id}, token=tenant.owner_token)
    assert refused.status == 404
    switched = await call("PATCH", "/auth/session", {"organization_id": mine}, token=tenant.owner_token)
    assert switched.document["data"]["organization"] == {"id": mine, "name": "Mine", "role": "owner"}
    token = switched.document["token"]
    assert (await call("GET", "/auth/session", token=tenant.owner_token)).status == 401
    assert (await call("GET", "/workspaces", token=token)).document["data"][0]["id"] == mine
    invited = await call(
        "POST",
        "/organization/invitations",
        {"email": tenant.owner_email, "role": "billing"},
        token=other.management_key,
    )
    accepted = await call("POST", "/auth/invitations/accept", {"invitation": invited.document["token"]}, token=token)
    assert [each["role"] for each in accepted.document["data"]["organizations"]] == ["owner", "owner", "billing"]
    last = await call("DELETE", f"/organization/members/{tenant.owner_id}", token=token)
    assert last.status == 403
    assert "last owner" in last.document["error"]["message"]
