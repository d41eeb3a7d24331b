"""S9: whatever names something of another organisation, in a path, a query or a body, is answered as if it named nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import pytest

from e2e_support.tenants import Call, Reply, Tenant, new_tenant

pytestmark = pytest.mark.timeout(300)

# What is asked of models, and what is for everybody: nothing there names what an organisation has.
NOT_MANAGEMENT = (
    "/audio", "/chat", "/completions", "/datasets", "/embeddings", "/endpoints", "/images", "/messages", "/model/", "/models",
    "/providers", "/rerank", "/responses", "/auth/oidc",
)  # fmt: skip
_ID = re.compile(r"(^|_)(id|ids|hash|hashes|slug)$")
# Names that look like those of something and are not.
NO_NAMES = {
    "POST /workspaces slug": "the name of the new one",
    "PATCH /workspaces/{id} slug": "the new name of one's own",
    "POST /workspaces io_logging_api_key_ids": "numbers that no key has here; they are kept as they are",
    "PATCH /workspaces/{id} io_logging_api_key_ids": "the same",
    "POST /presets/{slug}/chat/completions slug": "makes one's own of that name; test below",
    "POST /presets/{slug}/messages slug": "the same",
    "POST /presets/{slug}/responses slug": "the same",
}
# A person who is signed in makes keys of their own, whatever the body says.
OF_WHO_ASKS = "POST /keys creator_user_id"


def _hash() -> str:
    return uuid4().hex + uuid4().hex


def _generation() -> str:
    return f"gen-1790000000-{uuid4().hex[:20]}"


@dataclass(frozen=True)
class Named:
    """What a name stands for: in another organisation, and nowhere."""

    of: Callable[[Tenant], str]
    made_up: Callable[[], str]


def _uuid() -> str:
    return str(uuid4())


KEY = Named(lambda other: other.key_hash, _hash)
USER = Named(lambda other: other.owner_id, _uuid)
WORKSPACE = Named(lambda other: other.workspace_id, _uuid)
BY_NAME = {
    "hash": KEY, "api_key_hash": KEY, "api_key_hashes": KEY, "key_hashes": KEY, "allowed_api_key_hashes": KEY,
    "user_id": USER, "user_ids": USER, "member_user_ids": USER, "allowed_user_ids": USER, "creator_user_id": USER,
    "workspace_id": WORKSPACE,
    "invitation_id": Named(lambda other: other.invitation_id, _uuid),
    "organization_id": Named(lambda other: other.org_id, _uuid),
    "generation_id": Named(lambda other: other.generation_id, _generation),
}  # fmt: skip
BY_PATH = {
    "/workspaces": WORKSPACE,
    "/guardrails": Named(lambda other: other.guardrail_id, _uuid),
    "/byok": Named(lambda other: other.provider_key_id, _uuid),
    "/observability/destinations": Named(lambda other: other.destination_id, _uuid),
    "/generation": Named(lambda other: other.generation_id, _generation),
    "/presets": Named(lambda other: other.preset_slug, lambda: f"theirs-{uuid4().hex[:12]}"),
}
# Variable parts of paths that name no thing.
VALUES = {"interval": "daily", "version": "1", "month": "2026-11"}


def bodies(own: Tenant) -> dict[str, dict[str, Any]]:
    """A good body of each operation that has one, without what names something of another organisation."""
    hashes, users = {"key_hashes": [own.key_hash]}, {"member_user_ids": [own.owner_id]}
    found: dict[str, dict[str, Any]] = {
        "POST /auth/keys/code": {"callback_url": "https://app.example/"},
        "PATCH /auth/session": {},
        "POST /byok": {"provider": "openai", "key": "sk-of-mine-0123456789"},
        "PATCH /byok/{id}": {"name": "mine"},
        "POST /generation/feedback": {"category": "other"},
        "POST /guardrails": {"name": "mine"},
        "PATCH /guardrails/{id}": {"name": "mine"},
        "POST /guardrails/{id}/assignments/keys": hashes,
        "POST /guardrails/{id}/assignments/keys/remove": hashes,
        "POST /guardrails/{id}/assignments/members": users,
        "POST /guardrails/{id}/assignments/members/remove": users,
        "POST /keys": {"name": "mine"},
        "PATCH /keys/{hash}": {"name": "mine"},
        "POST /observability/destinations": {
            "name": "mine", "type": "webhook", "config": {"url": "https://hooks.example/mine"}, "enabled": False,
        },
        "PATCH /observability/destinations/{id}": {"name": "mine"},
        "PATCH /organization/members/{user_id}": {"role": "viewer"},
        "PATCH /workspaces/{id}": {"name": "mine"},
        "PUT /workspaces/{id}/budgets/{interval}": {"limit_usd": 1},
        "POST /workspaces/{id}/members/add": {"user_ids": [own.owner_id]},
        "POST /workspaces/{id}/members/remove": {"user_ids": [own.owner_id]},
    }  # fmt: skip
    return found


@dataclass(frozen=True)
class Place:
    """Where a request names something: `where` is path, query, body or list (of a body)."""

    method: str
    path: str
    where: str
    name: str

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def named(self) -> Named:
        """What the name stands for; a new one fails here until somebody says it."""
        if self.name in BY_NAME:
            return BY_NAME[self.name]
        found = [named for prefix, named in BY_PATH.items() if self.path.startswith(prefix)]
        assert found, f"{self.route} {self.name}: say in BY_NAME or BY_PATH what it names"
        return found[0]


def places(document: dict[str, Any]) -> Iterator[Place]:
    """Every place of the served document where something of an organisation can be named."""
    for path, methods in document["paths"].items():
        if path.startswith(NOT_MANAGEMENT):
            continue
        for method, operation in methods.items():
            for parameter in operation.get("parameters", ()):
                where, name = parameter["in"], parameter["name"]
                if (where == "path" and name not in VALUES) or (where == "query" and _ID.search(name)):
                    yield Place(method.upper(), path, where, name)
            if path.startswith("/presets"):
                # The body is a request of a dialect.
                continue
            for media in operation.get("requestBody", {}).get("content", {}).values():
                schema = media["schema"]
                if "$ref" in schema:
                    schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
                for name, member in schema.get("properties", {}).items():
                    if _ID.search(name):
                        yield Place(method.upper(), path, "list" if "array" in str(member) else "body", name)


async def ask(call: Call, place: Place, value: str, own: Tenant, token: str) -> Reply:
    """Name something in one place, and one's own everywhere else."""
    path, body = place.path, bodies(own).get(place.route)
    for part in re.findall(r"\{([^}]+)\}", place.path):
        mine = Place(place.method, place.path, "path", part)
        given = value if (place.where, place.name) == ("path", part) else VALUES.get(part) or mine.named.of(own)
        path = path.replace(f"{{{part}}}", given)
    if place.where == "query":
        path += f"?{place.name}={value}"
    if place.where in ("body", "list"):
        assert body is not None, f"{place.route}: say in bodies() what a good body is"
        body = {**body, place.name: [value] if place.where == "list" else value}
    return await call(place.method, path, body, token=token)


async def test_s09_what_another_organisation_has_is_answered_as_what_nobody_has(
    call: Call, accounts: grpc.aio.Channel, tenant: Tenant
) -> None:
    other = await new_tenant(call, accounts)
    before = await everything(call, other)
    document = (await call("GET", "/openapi.json")).document
    found = [place for place in places(document) if f"{place.route} {place.name}" not in NO_NAMES]
    assert {place.where for place in found} == {"path", "query", "body", "list"}
    assert len(found) >= 55
    wrong: list[str] = []
    asked: set[Place] = set()
    for place in found:
        for token in (tenant.management_key, tenant.owner_token, tenant.key):
            theirs = await ask(call, place, place.named.of(other), tenant, token)
            nobodys = await ask(call, place, place.named.made_up(), tenant, token)
            refused = {404} if place.where == "path" else {400, 404}
            if theirs.status not in (401, 403):
                asked.add(place)
            # A filter of a list finds nothing; a kind of key or a role that may not ask is told that first, and a session asks no models.
            empty = place.where == "query" and theirs.status == 200 and theirs.document["data"] == []
            forbidden = theirs.status in (401, 403)
            same = (theirs.status, _without_ids(theirs)) == (nobodys.status, _without_ids(nobodys))
            good = same and (theirs.status in refused or empty or forbidden)
            if f"{place.route} {place.name}" == OF_WHO_ASKS and token == tenant.owner_token:
                good = theirs.document["data"]["creator_user_id"] == tenant.owner_id
            if not good or leaks(theirs, other):
                wrong.append(
                    f"{place.route} {place.name} as {token[:8]}: {theirs.status} {theirs.document}, {nobodys.document}"
                )
    assert wrong == []
    # Somebody was let through to each place, or nothing was tried there.
    assert [place for place in found if place not in asked] == []
    assert await everything(call, other) == before


def _without_ids(reply: Reply) -> str:
    """What was answered, without what was asked for and who asked when."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{64}|gen-\d+-\w+|theirs-\w+", "...", str(reply.document))


def leaks(reply: Reply, other: Tenant) -> bool:
    """Whether an answer says what only the other organisation knows."""
    return any(
        each in str(reply.document) for each in (other.org_id, other.owner_email, "theirs@", other.workspace_slug)
    )


async def everything(call: Call, other: Tenant) -> dict[str, Any]:
    """What the other organisation has, as it sees it."""
    paths = (
        f"/keys/{other.key_hash}", f"/workspaces/{other.workspace_id}", f"/guardrails/{other.guardrail_id}",
        f"/guardrails/{other.guardrail_id}/assignments/keys", f"/byok/{other.provider_key_id}", "/organization/members",
        f"/observability/destinations/{other.destination_id}", f"/workspaces/{other.workspace_id}/budgets", "/keys", "/guardrails", "/byok",
    )  # fmt: skip
    found = {path: await call("GET", path, token=other.management_key) for path in paths}
    found["/presets"] = await call("GET", f"/presets/{other.preset_slug}", token=other.key)
    assert {each.status for each in found.values()} == {200}, found
    return {path: _settled(reply.document) for path, reply in found.items()}


def _settled(document: Any) -> Any:
    """The document without figures of usage, which are settled when they are."""
    if isinstance(document, dict):
        return {
            name: _settled(value) for name, value in document.items() if "usage" not in name and name != "last_used_at"
        }
    return [_settled(each) for each in document] if isinstance(document, list) else document


async def test_s09_a_preset_of_the_same_name_is_one_of_ones_own(
    call: Call, accounts: grpc.aio.Channel, tenant: Tenant
) -> None:
    other = await new_tenant(call, accounts)
    before = await call("GET", f"/presets/{other.preset_slug}", token=other.key)
    texts: dict[str, dict[str, Any]] = {
        "chat/completions": {"messages": [{"role": "system", "content": "mine"}]},
        "messages": {"system": "mine", "max_tokens": 5},
        "responses": {"instructions": "mine"},
    }
    for dialect, body in texts.items():
        made = await call(
            "POST", f"/presets/{other.preset_slug}/{dialect}", {"model": "sim/echo", **body}, token=tenant.key
        )
        assert made.status in (200, 201), made
    assert "theirs" not in str((await call("GET", f"/presets/{other.preset_slug}", token=tenant.key)).document).replace(
        other.preset_slug, ""
    )
    after = await call("GET", f"/presets/{other.preset_slug}", token=other.key)
    assert after.document == before.document
    missing = await call("GET", f"/presets/{other.preset_slug}/versions/4", token=other.key)
    assert missing.status == 404
    # Nor is it used: a request that names it gets one's own, or none.
    name = f"@preset/{(await new_tenant(call, accounts)).preset_slug}"
    body = {"model": name, "messages": [{"role": "user", "content": "hello"}]}
    assert (await call("POST", "/chat/completions", body, token=tenant.key)).status in (400, 404)
