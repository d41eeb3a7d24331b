"""Organisations over the public API of the whole system: tenancy, roles, sign-in, budgets, codes, the audit log."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
import grpc
import pytest_asyncio

from e2e_support.stack import ROOT, SMOLLM2, Stack, turnpike
from edge.api.http.routes import PERMISSIONS, Access
from turnpike.accounts.v1 import key_service_pb2, member_service_pb2, org_service_pb2
from turnpike.accounts.v1.key_service_pb2_grpc import KeyServiceStub
from turnpike.accounts.v1.member_service_pb2_grpc import MemberServiceStub
from turnpike.accounts.v1.org_service_pb2_grpc import OrgServiceStub
from turnpike.accounts.v1.records_pb2 import KEY_KIND_INFERENCE, KEY_KIND_MANAGEMENT

PASSWORD = "correct horse battery"
VERIFIER = "v" * 64
USD = 10**9


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    document: Any


@dataclass(frozen=True)
class Tenant:
    """An organisation with everything that a path can name."""

    org_id: str
    key: str
    management_key: str
    key_hash: str
    owner_id: str
    owner_email: str
    owner_token: str
    workspace_id: str
    invitation_id: str
    guardrail_id: str


Call = Callable[..., Awaitable[Reply]]


@pytest_asyncio.fixture
async def call(stack: Stack) -> AsyncIterator[Call]:
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=60), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def make(
            method: str, path: str, body: Any = None, *, token: str = "", headers: Mapping[str, str] | None = None
        ) -> Reply:
            sent = dict(headers or {})
            if token:
                sent["Authorization"] = f"Bearer {token}"
            data = None if body is None else json.dumps(body).encode()
            if data is not None:
                sent["Content-Type"] = "application/json"
            async with session.request(
                method, stack.base_url + path, data=data, headers=sent, allow_redirects=False
            ) as response:
                text = await response.text()
                document = json.loads(text) if text.startswith(("{", "[")) else text
                return Reply(response.status, response.headers, document)

        yield make


@pytest_asyncio.fixture
async def accounts(stack: Stack) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(stack.run["processes"]["accounts"]["grpc_target"]) as channel:
        yield channel


async def new_member(call: Call, accounts: grpc.aio.Channel, org_id: str, role: str) -> tuple[str, str, str]:
    """Id, address and token of somebody who signs up by an invitation of the operator."""
    email = f"{uuid4().hex}@example.com"
    number = member_service_pb2.Role.Value(f"ROLE_{role.upper()}")
    invited = await MemberServiceStub(accounts).CreateInvitation(
        member_service_pb2.CreateInvitationRequest(org_id=org_id, email=email, role=number)
    )
    body = {"invitation": invited.token, "password": PASSWORD, "as_token": True}
    signed_up = await call("POST", "/auth/sign-up", body)
    assert signed_up.status == 201, signed_up
    assert signed_up.document["data"]["organization"]["role"] == role
    return signed_up.document["data"]["user"]["id"], email, signed_up.document["token"]


async def new_tenant(call: Call, accounts: grpc.aio.Channel) -> Tenant:
    orgs, keys = OrgServiceStub(accounts), KeyServiceStub(accounts)
    org_id = (await orgs.CreateOrg(org_service_pb2.CreateOrgRequest(name="Tenant"))).org.org_id
    grant = org_service_pb2.GrantCreditRequest(org_id=org_id, amount_nano_usd=5 * USD, idempotency_key="first")
    await orgs.GrantCredit(grant)
    made = {
        kind: await keys.CreateKey(key_service_pb2.CreateKeyRequest(org_id=org_id, name="key", kind=kind))
        for kind in (KEY_KIND_INFERENCE, KEY_KIND_MANAGEMENT)
    }
    owner_id, email, token = await new_member(call, accounts, org_id, "owner")
    management = made[KEY_KIND_MANAGEMENT].secret
    workspace = await call("POST", "/workspaces", {"name": "Theirs", "slug": "theirs"}, token=management)
    assert workspace.status == 201, workspace
    invitation = await call(
        "POST", "/organization/invitations", {"email": "x@example.com", "role": "viewer"}, token=management
    )
    guardrail = await call("POST", "/guardrails", {"name": "theirs"}, token=management)
    assert guardrail.status == 201, guardrail
    return Tenant(
        org_id=org_id,
        key=made[KEY_KIND_INFERENCE].secret,
        management_key=management,
        key_hash=made[KEY_KIND_INFERENCE].key.digest,
        owner_id=owner_id,
        owner_email=email,
        owner_token=token,
        workspace_id=workspace.document["data"]["id"],
        invitation_id=invitation.document["data"]["id"],
        guardrail_id=guardrail.document["data"]["id"],
    )


@pytest_asyncio.fixture
async def tenant(call: Call, accounts: grpc.aio.Channel) -> Tenant:
    return await new_tenant(call, accounts)


# What stands for a variable part of a path, of another organisation. A new route with another one fails until it is here.
FOREIGN: dict[str, Callable[[Tenant], str]] = {
    "hash": lambda other: other.key_hash,
    "user_id": lambda other: other.owner_id,
    "invitation_id": lambda other: other.invitation_id,
    "id": lambda other: other.workspace_id,
    "interval": lambda other: "daily",
    "slug": lambda other: "theirs",
    "version": lambda other: "1",
}
BODIES: dict[str, Any] = {
    "PATCH /keys/{hash}": {"name": "mine"},
    "PATCH /organization/members/{user_id}": {"role": "viewer"},
    "PATCH /workspaces/{id}": {"name": "mine"},
    "PATCH /guardrails/{id}": {"name": "mine"},
    "PATCH /byok/{id}": {"name": "mine"},
    "PUT /workspaces/{id}/budgets/{interval}": {"limit_usd": 1},
}


async def test_s09_ids_of_another_organisation_are_unknown_on_every_route(
    call: Call, accounts: grpc.aio.Channel, tenant: Tenant
) -> None:
    other = await new_tenant(call, accounts)
    document = (await call("GET", "/openapi.json")).document
    tried = 0
    for path, methods in document["paths"].items():
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        # A month of one's own statements is nobody else's; models and providers are for everybody.
        if not set(names) - {"month"} or path.startswith(("/models", "/model/", "/images/models", "/presets")):
            continue
        for method in methods:
            if method not in {"get", "post", "put", "patch", "delete"}:
                continue
            route = f"{method.upper()} {path}"
            assert set(names) <= set(FOREIGN), f"{route}: say in FOREIGN what another organisation has there"
            named = path
            for name in names:
                value = other.guardrail_id if named.startswith("/guardrails/{id}") else FOREIGN[name](other)
                named = named.replace(f"{{{name}}}", value)
            body = BODIES.get(route, {"user_ids": [tenant.owner_id]} if method == "post" else None)
            if "/assignments/" in path and method == "post":
                body = (
                    {"key_hashes": [tenant.key_hash]}
                    if "/assignments/keys" in path
                    else {"member_user_ids": [tenant.owner_id]}
                )
            for token in (tenant.management_key, tenant.owner_token):
                answer = await call(method.upper(), named, body, token=token)
                assert answer.status == 404, (route, answer)
                assert other.org_id not in str(answer.document)
            tried += 1
    assert tried >= 15
    # Nothing of it had an effect.
    for path in (
        f"/keys/{other.key_hash}",
        f"/workspaces/{other.workspace_id}",
        f"/guardrails/{other.guardrail_id}",
    ):
        assert (await call("GET", path, token=other.management_key)).status == 200
    members = (await call("GET", "/organization/members", token=other.management_key)).document
    assert [(each["id"], each["organization_role"]) for each in members["data"]] == [(other.owner_id, "owner")]


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
        put = await call("PUT", f"/workspaces/theirs/budgets/{interval}", {"limit_usd": limit}, token=manage)
        assert put.status == 200, put
    refused = await call("PUT", "/workspaces/theirs/budgets/monthly", {"limit_usd": 1}, token=manage)
    assert (refused.status, refused.document["error"]["metadata"]["param"]) == (400, "limit_usd")
    chat = {"model": SMOLLM2, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    for _ in range(300):
        answer = await call("POST", "/chat/completions", chat, token=made.document["key"])
        if answer.status == 403:
            break
        assert answer.status == 200, answer
        await asyncio.sleep(0.1)
    assert answer.document["error"]["message"].startswith("Workspace lifetime budget of $0.00")
    # Other workspaces go on, and so does this one without budgets.
    assert (await call("POST", "/chat/completions", chat, token=tenant.key)).status == 200
    for interval in ("daily", "lifetime", "lifetime"):
        removed = await call("DELETE", f"/workspaces/theirs/budgets/{interval}", token=manage)
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
