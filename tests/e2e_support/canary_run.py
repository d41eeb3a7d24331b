"""One run of the whole system in which every secret and everything that is said is a canary."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import grpc
from aiohttp import web

from accounts.testing.oidc_provider import OidcProviderApp
from e2e_support.canaries import Canaries
from e2e_support.canary_prompts import REDACTED, prompts
from e2e_support.stack import Stack, wait_until_async
from turnpike.accounts.v1 import member_service_pb2
from turnpike.accounts.v1.member_service_pb2_grpc import MemberServiceStub

PERSON = "somebody@example.com"


@asynccontextmanager
async def oidc_provider(port: int, client_secret: str) -> AsyncIterator[None]:
    """Run an OpenID provider that knows this secret."""
    runner = web.AppRunner(OidcProviderApp(f"http://127.0.0.1:{port}", client_secret).application())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Answer:
    """What came back: `body` is empty where the connection broke before there was any."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON in it."""
        return json.loads(self.body)


@dataclass
class CanaryRun:
    """Asks for everything once. `seen` is every answer by what was asked for, but for those whose purpose is to give out a secret."""

    stack: Stack
    canaries: Canaries
    http: aiohttp.ClientSession
    seen: list[tuple[str, bytes]] = field(default_factory=list)
    generations: list[str] = field(default_factory=list)

    async def everything(self) -> None:
        """Ask, and wait until what it leaves has arrived everywhere."""
        self._take_secrets_of_the_installation()
        manage = self.stack.run["management_key"]
        key = await self._new_key(manage, logs_content=False)
        opted_in = await self._new_key(manage, logs_content=True)
        await self._people()
        await self._openid()
        await self._applications(key)
        await self._own_provider_key(manage)
        await self._destinations(manage)
        await self._guardrail(manage, (key, opted_in))
        await self._preset(key)
        await self._payments(manage)
        await self._refused_credentials()
        unexpected = [
            (prompt.path, answer.status, answer.body[:300])
            for prompt in prompts(self.canaries)
            if (answer := await self.call("POST", prompt.path, prompt.body, key, headers=prompt.headers)).status
            != (prompt.status or answer.status)
        ]
        assert unexpected == []
        await self._left_midway(key)
        await self._opted_in(opted_in)

    def _take_secrets_of_the_installation(self) -> None:
        for path in sorted((self.stack.state_dir / "secrets").iterdir()):
            text = path.read_text(encoding="utf-8").strip()
            if path.suffix == ".yaml":
                text = text.rpartition(": ")[2].strip('"')
            self.canaries.given(path.stem, text)
        self.canaries.given("the first key", self.stack.api_key)
        self.canaries.given("the first management key", self.stack.run["management_key"])

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str = "",
        *,
        secret: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a request. With `secret`, its answer is there to give out a secret."""
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        collected = b""
        url = path if path.startswith("http") else self.stack.base_url + path
        async with self.http.request(method, url, data=data, headers=sent, allow_redirects=False) as answer:
            try:
                async for piece in answer.content.iter_any():
                    collected += piece
            except aiohttp.ClientError:
                collected += b"(cut)"
            if generation := answer.headers.get("X-Generation-Id"):
                self.generations.append(generation)
        if not secret:
            self.seen.append((f"{method} {path}", collected))
        return Answer(answer.status, answer.headers, collected)

    async def _good(self, method: str, path: str, body: Any = None, token: str = "", **more: Any) -> Any:
        answer = await self.call(method, path, body, token, **more)
        assert answer.status in (200, 201), (path, answer)
        return answer.document

    async def _new_key(self, manage: str, *, logs_content: bool) -> str:
        named = {"name": self.canaries.text("name: of a key"), "logs_content": logs_content}
        made = await self._good("POST", "/keys", named, manage, secret=True)
        return self.canaries.given("a key", made["key"])

    async def _people(self) -> None:
        """Somebody signs up by an invitation, in by a password, changes it, and meets every refusal on the way."""
        org_id = json.loads((self.stack.state_dir / "credentials.json").read_text())["org_id"]
        target = self.stack.run["processes"]["accounts"]["grpc_target"]
        async with grpc.aio.insecure_channel(target) as channel:
            request = member_service_pb2.CreateInvitationRequest(
                org_id=org_id, email=PERSON, role=member_service_pb2.ROLE_OWNER
            )
            invited = await MemberServiceStub(channel).CreateInvitation(request)
        invitation = self.canaries.given("an invitation", invited.token)
        text = self.canaries.text
        password, changed = text("a password"), text("a new password")
        body = {"invitation": invitation, "password": password, "first_name": text("name: of a person")}
        opened = await self._good("POST", "/auth/sign-up", body | {"as_token": True}, secret=True)
        token = self.canaries.given("a session", opened["token"])
        wrong = {"email": PERSON, "password": text("a wrong password")}
        assert (await self.call("POST", "/auth/sign-in", wrong)).status == 401
        cookie = await self.call("POST", "/auth/sign-in", {"email": PERSON, "password": password}, secret=True)
        self.canaries.given("a session in a cookie", cookie.headers["Set-Cookie"].partition("=")[2].partition(";")[0])
        self.canaries.given("a proof against other sites", cookie.document["csrf_token"])
        body = {"old_password": password, "new_password": changed}
        moved = await self._good("POST", "/auth/password", body, token, secret=True)
        token = self.canaries.given("a session after a new password", moved["token"])
        sent = {"email": "else@example.com", "role": "viewer"}
        other = await self._good("POST", "/organization/invitations", sent, token, secret=True)
        self.canaries.given("another invitation", other["data"].get("token") or other["token"])
        await self._applications(token)

    async def _openid(self) -> None:
        """Somebody signs in at an OpenID provider, whose code comes back once rightly and once forged."""
        begun = await self.call("GET", "/auth/oidc", secret=True)
        where = f"{begun.headers['Location']}&login_hint={PERSON}"
        cookie = begun.headers["Set-Cookie"].partition(";")[0]
        self.canaries.given("the state of a sign-in", cookie.partition("=")[2])
        went = await self.call("GET", where, secret=True)
        query = parse_qs(urlsplit(went.headers["Location"]).query)
        code = self.canaries.given("a code of the OpenID provider", query["code"][0])
        state = query["state"][0]
        back = await self.call(
            "GET", f"/auth/oidc/callback?code={code}&state={state}", secret=True, headers={"Cookie": cookie}
        )
        assert back.status == 302, back
        self.canaries.given("a session of OpenID", back.headers["Set-Cookie"].partition("=")[2].partition(";")[0])
        forged = self.canaries.text("a forged code")
        refused = await self.call("GET", f"/auth/oidc/callback?code={forged}&state={state}", headers={"Cookie": cookie})
        assert refused.status == 401, refused

    async def _applications(self, token: str) -> None:
        """An application gets a key with each kind of challenge, and shows a wrong verifier before the right one."""
        for method in ("S256", "plain"):
            verifier = self.canaries.text("a verifier") + self.canaries.text("a verifier")
            challenge = verifier
            if method == "S256":
                digest = hashlib.sha256(verifier.encode()).digest()
                challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            asked = {
                "callback_url": "http://localhost:1/",
                "code_challenge": challenge,
                "code_challenge_method": method,
            }
            made = await self._good("POST", "/auth/keys/code", asked, token, secret=True)
            code = self.canaries.given("a code of an application", made["data"]["id"])
            wrong = {"code": code, "code_verifier": self.canaries.text("a wrong verifier") * 2}
            assert (await self.call("POST", "/auth/keys", wrong)).status == 403
            # A code that is never exchanged stays where codes are kept.
            kept = await self._good("POST", "/auth/keys/code", asked, token, secret=True)
            self.canaries.given("a code that nobody exchanged", kept["data"]["id"])
            made = await self._good("POST", "/auth/keys/code", asked, token, secret=True)
            body = {"code": self.canaries.given("a code", made["data"]["id"]), "code_verifier": verifier}
            exchanged = await self._good("POST", "/auth/keys", body, secret=True)
            self.canaries.given("a key of an application", exchanged["key"])

    async def _own_provider_key(self, manage: str) -> None:
        own = self.canaries.text("a customer's provider key")
        body = {"provider": "sim", "key": own, "name": self.canaries.text("name: of a provider key")}
        stored = await self._good("POST", "/byok", body, manage)
        changed = {"key": self.canaries.text("a customer's changed provider key")}
        await self._good("PATCH", f"/byok/{stored['data']['id']}", changed, manage)
        refused = {"provider": "sim", "odd": 1, "key": self.canaries.text("a customer's refused provider key")}
        assert (await self.call("POST", "/byok", refused, manage)).status == 400

        async def used() -> bool:
            asked = {
                "model": "sim/echo",
                "messages": [{"role": "user", "content": "Hi"}],
                "provider": {"only": ["sim"]},
            }
            answer = await self._good("POST", "/chat/completions", asked, self.stack.api_key)
            return bool(answer["usage"].get("is_byok"))

        await wait_until_async(used, "the customer's key was not used")

    async def _destinations(self, manage: str) -> None:
        """Usage is broadcast to places whose addresses and keys are secrets, none of which answers."""
        text = self.canaries.text
        for kind, config in (
            (
                "webhook",
                {
                    "url": f"https://hooks.invalid/{text('the address of a webhook')}",
                    "headers": {"X-Token": text("a header of a webhook")},
                },
            ),
            (
                "otel-collector",
                {"endpoint": "https://otel.invalid", "headers": {"Authorization": text("a header of a collector")}},
            ),
            (
                "s3",
                {
                    "bucketName": "bucket",
                    "accessKeyId": text("the id of a key of a bucket"),
                    "secretAccessKey": text("a key of a bucket"),
                    "endpoint": "https://s3.invalid",
                },
            ),
        ):
            body = {"type": kind, "name": text("name: of a destination"), "config": config}
            made = await self._good("POST", "/observability/destinations", body, manage, secret=True)
            if shown := made["data"]["config"].get("signingSecret"):
                self.canaries.given("the secret that signs a webhook", shown.removeprefix("whsec_"))

    async def _guardrail(self, manage: str, keys: tuple[str, ...]) -> None:
        pattern = {"pattern": f"{REDACTED}-[a-z0-9]+", "action": "redact", "label": "LABEL"}
        other = {"pattern": self.canaries.text("name: a pattern of a guardrail"), "action": "block"}
        named = {"name": self.canaries.text("name: of a guardrail"), "content_filters": [pattern, other]}
        made = await self._good("POST", "/guardrails", named, manage)
        listed = (await self._good("GET", "/keys", token=manage))["data"]
        hashes = [each["hash"] for each in listed if each["label"][-4:] in {key[-4:] for key in keys}]
        assert len(hashes) == len(keys)
        path = f"/guardrails/{made['data']['id']}/assignments/keys"
        await self._good("POST", path, {"key_hashes": hashes}, manage)

        async def redacts() -> bool:
            content = f"{REDACTED}-{self.canaries.text('what a guardrail redacts')} end"
            body = {"model": "sim/echo", "messages": [{"role": "user", "content": content}]}
            answer = await self.call("POST", "/chat/completions", body, keys[0])
            # 503 while the edge knows of the guardrail and not what it says.
            assert answer.status in (200, 503), answer
            return b"[LABEL] end" in answer.body

        await wait_until_async(redacts, "the guardrail does not redact")
        body = {"model": "sim/echo", "messages": [{"role": "user", "content": other["pattern"]}]}
        assert (await self.call("POST", "/chat/completions", body, keys[0])).status == 403

    async def _preset(self, key: str) -> None:
        text = self.canaries.text
        body = {"model": "sim/echo", "messages": [{"role": "system", "content": text("name: text of a preset")}]}
        await self._good("POST", "/presets/canary/chat/completions", body, key)
        asked = {"model": "@preset/canary", "messages": [{"role": "user", "content": text("a question with a preset")}]}
        await self._good("POST", "/chat/completions", asked, key)

    async def _payments(self, manage: str) -> None:
        """Credit is bought, which needs the key of the payment provider; webhooks come rightly and forged."""
        body = {"amount": 25, "success_url": "http://127.0.0.1/yes", "cancel_url": "http://127.0.0.1/no"}
        bought = await self._good("POST", "/credits/purchases", body, manage, headers={"Idempotency-Key": "canaries"})
        paid = await self.call("POST", bought["checkout_url"], b"")
        assert paid.status == 303
        url = self.stack.base_url.removesuffix("/api/v1") + "/webhooks/payments"
        forged = {"id": self.canaries.text("a forged webhook")}
        assert (await self.call("POST", url, forged, headers={"Stripe-Signature": f"t=1,v1={'0' * 64}"})).status == 400

    async def _refused_credentials(self) -> None:
        """Credentials that are none, where people put them by mistake."""
        text = self.canaries.text
        body = {"model": "sim/echo", "messages": [{"role": "user", "content": text("a question of a stranger")}]}
        cut_key = self.stack.api_key[:-1]
        self.canaries.given("a key with a slip", cut_key + ("a" if self.stack.api_key[-1] != "a" else "b"))
        for token in (text("a key that is none"), cut_key + ("a" if self.stack.api_key[-1] != "a" else "b")):
            assert (await self.call("POST", "/chat/completions", body, token)).status == 401
        assert (await self.call("POST", f"/chat/completions?key={text('a key in an address')}", body)).status in (
            400,
            401,
        )
        assert (
            await self.call("GET", f"/keys/{text('a key in a path')}", token=self.stack.run["management_key"])
        ).status == 404
        assert (await self.call("GET", f"/{text('a path that is none')}")).status == 404
        cookie = f"turnpike_session={text('a cookie that is none')}"
        assert (await self.call("GET", "/keys", headers={"Cookie": cookie})).status == 401
        assert (await self.call("GET", "/key", headers={"X-Api-Key": text("a key in another header")})).status == 401

    async def _left_midway(self, key: str) -> None:
        """A caller goes away in the middle of an answer."""
        body = {
            "model": "sim/lorem",
            "messages": [{"role": "user", "content": self.canaries.text("an abandoned question")}],
            "stream": True,
        }
        headers = {"Authorization": f"Bearer {key}"}
        async with self.http.post(f"{self.stack.base_url}/chat/completions", json=body, headers=headers) as answer:
            await answer.content.readany()
            answer.close()

    async def _opted_in(self, key: str) -> None:
        """What a key that opted in says is kept, and given back to it."""
        said = self.canaries.text("what is kept by opt-in")
        body = {"model": "sim/echo", "messages": [{"role": "user", "content": said}]}
        answer = await self.call("POST", "/chat/completions", body, key)
        generation = answer.headers["X-Generation-Id"]

        async def kept() -> bool:
            found = await self.call("GET", f"/generation/content?id={generation}", token=key)
            return found.status == 200 and said.encode() in found.body

        await wait_until_async(kept, "the content is not there")
        comment = {"generation_id": generation, "category": "other", "comment": self.canaries.text("name: a comment")}

        async def commented() -> bool:
            path = "/generation/feedback"
            return (await self.call("POST", path, comment, self.stack.run["management_key"])).status in (200, 201)

        await wait_until_async(commented, "the feedback is not taken")
        # What is batched, sent and exported every few seconds has gone by then.
        await asyncio.sleep(6)
