"""The page that asks people for a key for an application: what it shows, takes and refuses, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import pytest_asyncio

from edge.settings import AccountsSettings, HttpSettings, SessionsSettings
from edge.testing.sessions import PASSWORD
from edge.testing.stack import Answer, EdgeStack, OpenEdge
from servicekit.durations import parse_duration
from turnpike.accounts.v1 import member_service_pb2

VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
CALLBACK = "https://app.example/back?from=there"
ASKED = {"callback_url": CALLBACK, "code_challenge": CHALLENGE, "code_challenge_method": "S256", "state": "s 1"}
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


class Browser:
    """What a browser does with the pages, without one: forms are sent as they are written, cookies come back."""

    def __init__(self, edge: EdgeStack, cookie: str = "") -> None:
        self.edge = edge
        self.cookie = cookie

    async def get(self, asked: Mapping[str, str] | str, headers: Mapping[str, str] | None = None) -> Answer:
        """Open the page with what an application asks for, or any other."""
        path = asked if isinstance(asked, str) else f"/auth?{urlencode(asked)}"
        return await self._call("GET", path, None, headers or {})

    async def send(self, page: Answer, headers: Mapping[str, str] | None = None, **fields: str) -> Answer:
        """Send the form of a page, with these fields besides the hidden ones."""
        text = page.body.decode()
        action = re.search(r'<form method="post" action="([^"]*)"', text)
        assert action is not None, text
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', text))
        return await self._call("POST", unescape(action[1]), hidden | fields, OWN_PAGE if headers is None else headers)

    async def _call(self, method: str, path: str, fields: Any, headers: Mapping[str, str]) -> Answer:
        sent = dict(headers)
        if self.cookie:
            sent["Cookie"] = self.cookie
        data = None
        if fields is not None:
            data = urlencode(fields).encode()
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        url = f"http://127.0.0.1:{self.edge.port}{path}"
        async with self.edge.http.request(method, url, data=data, headers=sent, allow_redirects=False) as response:
            answer = Answer(response.status, response.headers, await response.read())
        if "Set-Cookie" in answer.headers:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return answer


@pytest_asyncio.fixture
async def edge(open_edge: OpenEdge) -> EdgeStack:
    return await open_edge(sessions=SessionsSettings(secure=False, openid=True))


@pytest.fixture
def signed_in(edge: EdgeStack) -> Browser:
    return Browser(edge, f"turnpike_session={edge.around.sessions.open(edge.org.org_id)}")


async def exchange(edge: EdgeStack, code: str) -> Answer:
    body = {"code": code, "code_verifier": VERIFIER, "code_challenge_method": "S256"}
    return await edge.call("POST", "/auth/keys", body, key="")


async def test_an_application_gets_a_key_by_way_of_sign_in_and_consent(edge: EdgeStack) -> None:
    assert edge.around.sessions.open(edge.org.org_id)
    (member,) = edge.around.sessions.organizations.members[edge.org.org_id]
    browser = Browser(edge)
    who = await browser.get(ASKED | {"key_label": "An app", "limit": "2.50", "usage_limit_type": "monthly"})
    assert who.status == 200
    assert b"<strong>app.example</strong>" in who.body
    wrong = await browser.send(who, email=member.user.email, password="wrong")
    assert (wrong.status, b'role="alert"' in wrong.body) == (401, True)
    into = await browser.send(wrong, email=member.user.email, password=PASSWORD)
    assert (into.status, into.headers["Location"].partition("?")[0]) == (303, "/auth")
    assert {"HttpOnly", "SameSite=Strict"} <= set(into.headers["Set-Cookie"].split("; "))
    page = await browser.get(into.headers["Location"])
    text = page.body.decode()
    for part in (
        "Allow app.example?",
        "<q>An app</q>",
        member.user.email,
        " a month",
        'value="2.5"',
        "cannot manage keys",
    ):
        assert part in text, part
    back = await browser.send(page, decision="allow", limit="1.25")
    assert back.status == 303, back
    where = urlsplit(back.headers["Location"])
    found = parse_qs(where.query)
    assert (where.netloc, where.path, found["from"], found["state"]) == ("app.example", "/back", ["there"], ["s 1"])
    assert (await exchange(edge, found["code"][0])).status == 200
    (asked,) = [each for each in edge.around.sessions.made if each.key_label == "An app"]
    assert (asked.limit_nano_usd, asked.user_id, asked.code_challenge) == (
        1_250_000_000,
        member.user.user_id,
        CHALLENGE,
    )


async def test_denial_goes_back_with_an_error_and_no_code(edge: EdgeStack, signed_in: Browser) -> None:
    page = await signed_in.get(ASKED)
    back = await signed_in.send(page, decision="deny")
    assert parse_qs(urlsplit(back.headers["Location"]).query) == {
        "from": ["there"], "error": ["access_denied"], "state": ["s 1"],
    }  # fmt: skip
    assert edge.around.sessions.made == []


async def test_without_an_address_the_code_is_shown(edge: EdgeStack, signed_in: Browser) -> None:
    page = await signed_in.get({"code_challenge": CHALLENGE, "code_challenge_method": "S256"})
    shown = await signed_in.send(page, decision="allow", limit="")
    code = re.search(r"<code>([^<]+)</code>", shown.body.decode())
    assert code is not None, shown
    assert (await exchange(edge, code[1])).status == 200
    denied = await signed_in.send(page, decision="deny")
    assert (denied.status, "Location" in denied.headers) == (200, False)


@pytest.mark.parametrize(
    "callback_url",
    [
        "http://app.example/", "javascript:alert(1)", "https://user:pw@app.example/", "https://app.example/#x", "https:///", "app.example",
        "http://localhost.app.example/", "https://app.example\\@localhost/", "https://app.example/\r\nX: y", "https://app.example;x/",
        "http://127.0.0.1@app.example/", "https://app example/", "data:text/html,x", "//app.example", "http://[::2]/", "https://[",
    ],
)  # fmt: skip
@pytest.mark.parametrize("signed", [True, False])
async def test_nobody_is_sent_where_no_code_may_go(
    edge: EdgeStack, signed_in: Browser, callback_url: str, signed: bool
) -> None:
    browser = signed_in if signed else Browser(edge)
    asked = ASKED | {"callback_url": callback_url}
    page = await browser.get(asked)
    assert (page.status, b"callback_url" in page.body, b"<form" in page.body) == (400, True, False)
    answer = await browser._call("POST", f"/auth?{urlencode(asked)}", {"decision": "deny"}, OWN_PAGE)
    assert (answer.status, "Location" in answer.headers) == (400, False)


@pytest.mark.parametrize(
    "callback_url", ["http://localhost:3000/cb", "http://127.0.0.1/", "http://[::1]:8080/x", "https://a.example:8443"]
)
async def test_this_machine_may_have_a_code_and_is_named_with_its_port(signed_in: Browser, callback_url: str) -> None:
    page = await signed_in.get(ASKED | {"callback_url": callback_url})
    assert page.status == 200
    host = urlsplit(callback_url).netloc.replace("[", "").replace("]", "")
    assert f"Allow {host}?" in page.body.decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "-1"), ("limit", "1e3"), ("limit", "0.0000000001"), ("usage_limit_type", "hourly"), ("expires_at", "tomorrow"),
        ("code_challenge_method", "S512"),
    ],
)  # fmt: skip
async def test_s12_a_wrong_wish_is_a_page_that_names_it(signed_in: Browser, name: str, value: str) -> None:
    page = await signed_in.get(ASKED | {name: value})
    assert (page.status, name.encode() in page.body) == (400, True)


async def test_a_limit_that_is_none_asks_again(edge: EdgeStack, signed_in: Browser) -> None:
    page = await signed_in.get(ASKED)
    again = await signed_in.send(page, decision="allow", limit="a lot")
    assert (again.status, b'role="alert"' in again.body, b"<form" in again.body) == (400, True, True)
    assert edge.around.sessions.made == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_form_of_another_site_decides_nothing_and_signs_nobody_in(
    edge: EdgeStack, signed_in: Browser, headers: dict[str, str]
) -> None:
    page = await signed_in.get(ASKED)
    assert (await signed_in.send(page, headers, decision="allow")).status == 403
    who = await Browser(edge).get(ASKED)
    refused = await Browser(edge).send(who, headers, email="a@example.com", password=PASSWORD)
    assert (refused.status, "Set-Cookie" in refused.headers) == (403, False)
    assert edge.around.sessions.made == []


async def test_browsers_that_say_only_the_origin_are_believed(edge: EdgeStack, signed_in: Browser) -> None:
    page = await signed_in.get(ASKED)
    origin = {"Origin": f"http://127.0.0.1:{edge.port}"}
    assert (await signed_in.send(page, origin, decision="deny")).status == 303


@pytest.mark.parametrize("token", ["", "0" * 64])
async def test_a_form_without_the_proof_of_this_session_decides_nothing(
    edge: EdgeStack, signed_in: Browser, token: str
) -> None:
    page = await signed_in.get(ASKED)
    assert (await signed_in.send(page, decision="allow", csrf_token=token)).status == 403
    other = Browser(edge, f"turnpike_session={edge.around.sessions.open(edge.org.org_id)}")
    assert (await other.send(page, decision="allow")).status == 403
    assert edge.around.sessions.made == []


async def test_what_others_chose_is_text_and_nothing_else(signed_in: Browser) -> None:
    nasty = '"><script>alert(1)</script>'
    page = await signed_in.get(ASKED | {"key_label": nasty, "state": nasty})
    assert page.status == 200
    assert b"<script" not in page.body
    page = await Browser(signed_in.edge).get(ASKED | {"state": nasty})
    assert b"<script" not in page.body


async def test_pages_run_nothing_load_nothing_and_are_in_no_frame(edge: EdgeStack, signed_in: Browser) -> None:
    pages = [await signed_in.get(ASKED), await Browser(edge).get(ASKED), await signed_in.get({"callback_url": "x"})]
    pages.append(await signed_in.send(pages[0], decision="deny"))
    for page in pages:
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script" not in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert (page.headers["X-Frame-Options"], page.headers["Cache-Control"]) == ("DENY", "no-store")
        assert re.search(rb"<script|<img|<link|<iframe|\son[a-z]+=|style=", page.body) is None
    assert "form-action 'self' https://app.example;" in pages[0].headers["Content-Security-Policy"]


async def test_s36_no_other_origin_reads_the_page(open_edge: OpenEdge) -> None:
    edge = await open_edge(http=HttpSettings(port=0, cors_origins=("https://app.example",)))
    answer = await Browser(edge).get(ASKED, {"Origin": "https://app.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_who_was_sent_here_by_another_site_is_asked_again_with_the_cookie(edge: EdgeStack) -> None:
    there = {"Sec-Fetch-Site": "cross-site"}
    page = await Browser(edge).get(ASKED, there)
    assert re.search(rb'http-equiv="refresh" content="0;url=/auth\?', page.body) is not None
    assert b"<form" in (await Browser(edge).get(ASKED, OWN_PAGE)).body


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 200), ("admin", 200), ("developer", 200), ("billing", 403), ("viewer", 403)]
)
async def test_s10_whoever_may_make_no_key_allows_none(
    edge: EdgeStack, signed_in: Browser, role: str, status: int
) -> None:
    (member,) = edge.around.sessions.organizations.members[edge.org.org_id]
    number = member_service_pb2.Role.Value(f"ROLE_{role.upper()}")
    edge.around.sessions.set_role(member.user.user_id, number)
    page = await signed_in.get(ASKED)
    assert (page.status, b"<form" in page.body) == (status, status == 200)


async def test_somebody_else_can_sign_in(signed_in: Browser) -> None:
    page = await signed_in.get(ASKED)
    left = await signed_in.send(page, decision="leave")
    assert (left.status, "Max-Age=0" in left.headers["Set-Cookie"]) == (303, True)
    assert b'name="password"' in (await signed_in.get(left.headers["Location"])).body


async def test_a_session_that_is_over_is_a_sign_in(edge: EdgeStack) -> None:
    assert b'name="password"' in (await Browser(edge, "turnpike_session=tp_sess_over").get(ASKED)).body


async def test_the_way_over_the_openid_provider_leads_back_here(edge: EdgeStack) -> None:
    page = await Browser(edge).get(ASKED)
    link = re.search(r'href="(/auth/oidc\?[^"]*)"', page.body.decode())
    assert link is not None
    gone = await Browser(edge).get(unescape(link[1]))
    assert (gone.status, gone.headers["Location"]) == (302, "/api/v1/auth/oidc")
    assert {"HttpOnly", "SameSite=Lax"} <= set(gone.headers["Set-Cookie"].split("; "))


async def test_accounts_that_is_away_is_a_503_page(open_edge: OpenEdge) -> None:
    edge = await open_edge(
        accounts=AccountsSettings(target="127.0.0.1:1", timeout=parse_duration("200ms")),
        sessions=SessionsSettings(secure=False),
    )
    answer = await Browser(edge, "turnpike_session=tp_sess_x").get(ASKED)
    assert (answer.status, answer.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
