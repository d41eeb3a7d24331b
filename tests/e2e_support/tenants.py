"""Organisations to try things on, with everything that an id of a request can name, made through the public API and by the operator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
import grpc

from e2e_support.stack import Stack
from turnpike.accounts.v1 import key_service_pb2, member_service_pb2, org_service_pb2
from turnpike.accounts.v1.key_service_pb2_grpc import KeyServiceStub
from turnpike.accounts.v1.member_service_pb2_grpc import MemberServiceStub
from turnpike.accounts.v1.org_service_pb2_grpc import OrgServiceStub
from turnpike.accounts.v1.records_pb2 import KEY_KIND_INFERENCE, KEY_KIND_MANAGEMENT

PASSWORD = "correct horse battery"
USD = 10**9


@dataclass(frozen=True)
class Reply:
    """An answer; `document` is its JSON, or its text where it is none."""

    status: int
    headers: Mapping[str, str]
    document: Any


@dataclass(frozen=True)
class Tenant:
    """An organisation with everything that a request can name. `generation_id` was said with `key`, which keeps contents."""

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
    provider_key_id: str
    destination_id: str
    generation_id: str
    preset_slug: str
    workspace_slug: str


Call = Callable[..., Awaitable[Reply]]


@asynccontextmanager
async def calling(stack: Stack) -> AsyncIterator[Call]:
    """Make calls without cookies, and without following redirects."""
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
    """Make an organisation with an owner, two keys, and one of everything else."""
    orgs, keys = OrgServiceStub(accounts), KeyServiceStub(accounts)
    org_id = (await orgs.CreateOrg(org_service_pb2.CreateOrgRequest(name="Tenant"))).org.org_id
    grant = org_service_pb2.GrantCreditRequest(org_id=org_id, amount_nano_usd=5 * USD, idempotency_key="first")
    await orgs.GrantCredit(grant)
    made = {
        kind: await keys.CreateKey(key_service_pb2.CreateKeyRequest(org_id=org_id, name="key", kind=kind))
        for kind in (KEY_KIND_INFERENCE, KEY_KIND_MANAGEMENT)
    }
    owner_id, email, token = await new_member(call, accounts, org_id, "owner")
    management, key = made[KEY_KIND_MANAGEMENT].secret, made[KEY_KIND_INFERENCE]
    digest, name = key.key.digest, f"theirs-{uuid4().hex[:12]}"

    async def make(path: str, body: dict[str, Any], token: str = management) -> Any:
        answer = await call("POST", path, body, token=token)
        assert answer.status in (200, 201), (path, answer)
        return answer.document

    workspace = await make("/workspaces", {"name": "Theirs", "slug": name})
    invitation = await make("/organization/invitations", {"email": "x@example.com", "role": "viewer"})
    guardrail = await make("/guardrails", {"name": "theirs"})
    await make(f"/guardrails/{guardrail['data']['id']}/assignments/keys", {"key_hashes": [digest]})
    provider_key = await make("/byok", {"provider": "openai", "key": "sk-of-a-tenant-0123456789"})
    config = {"url": "https://hooks.example/turnpike"}
    destination = await make(
        "/observability/destinations", {"name": "theirs", "type": "webhook", "config": config, "enabled": False}
    )
    preset = {"model": "sim/echo", "messages": [{"role": "system", "content": "theirs"}]}
    await make(f"/presets/{name}/chat/completions", preset, key.secret)
    changed = await call("PATCH", f"/keys/{digest}", {"logs_content": True}, token=management)
    assert changed.status == 200, changed
    said = await _said(call, key.secret)
    return Tenant(
        org_id=org_id,
        key=key.secret,
        management_key=management,
        key_hash=digest,
        owner_id=owner_id,
        owner_email=email,
        owner_token=token,
        workspace_id=workspace["data"]["id"],
        invitation_id=invitation["data"]["id"],
        guardrail_id=guardrail["data"]["id"],
        provider_key_id=provider_key["data"]["id"],
        destination_id=destination["data"]["id"],
        generation_id=said,
        preset_slug=name,
        workspace_slug=name,
    )


async def _said(call: Call, key: str) -> str:
    """Id of a generation of a key, once the edge knows the key and the guardrail that binds it."""
    body = {"model": "sim/echo", "messages": [{"role": "user", "content": "theirs"}]}
    async with asyncio.timeout(60):
        while True:
            answer = await call("POST", "/chat/completions", body, token=key)
            if answer.status not in (401, 503):
                break
            await asyncio.sleep(0.1)
    assert answer.status == 200, answer
    return answer.headers["X-Generation-Id"]
