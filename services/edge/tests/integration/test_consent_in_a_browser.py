"""The page that asks for consent in a real browser: its cookies, its policy and its forms as Chromium understands them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from edge.settings import SessionsSettings
from edge.testing.sessions import PASSWORD
from edge.testing.stack import EdgeStack, OpenEdge

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
CHALLENGE = "c" * 43


class GoneError(Exception):
    """The page that was asked is going away."""


class Tab:
    """A tab of Chromium, over its DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        """Make a call and wait for its answer; what the browser complains about meanwhile is kept."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive(timeout=30)).data)
            if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["source"] == "security":
                self.complaints.append(message["params"]["entry"]["text"])
            if message.get("id") == self._number:
                if "error" in message:
                    raise GoneError(message["error"])
                return message["result"]

    async def run(self, script: str) -> Any:
        """Value of an expression in the page, as DevTools may run it whatever the page's policy is."""
        found = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return found["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until a page is there as a whole and an expression is true; one that is just going away is not yet the next."""
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(GoneError):
                    if await self.run(f"document.readyState == 'complete' && ({script})"):
                        return
                await asyncio.sleep(0.05)

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def type(self, id: str, text: str) -> None:
        """Write into a field as somebody does."""
        await self.run(f"document.getElementById({json.dumps(id)}).focus()")
        await self.call("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        await self.run(f"document.querySelector({json.dumps(selector)}).click()")


@pytest_asyncio.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    assert CHROMIUM is not None
    arguments = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--remote-debugging-port=0",
    )
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, *arguments, f"--user-data-dir={tmp_path / 'profile'}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while b"DevTools listening on ws://" not in (line := await process.stderr.readline()):
                assert line, "Chromium did not start"
        port = line.decode().split("ws://")[1].split("/")[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{port}/json/list") as answer:
                (page,) = [each for each in await answer.json() if each["type"] == "page"]
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Log", "Runtime"):
                    await tab.call(f"{domain}.enable")
                yield tab
    finally:
        process.kill()
        await process.communicate()


class App:
    """An application of another site: `localhost`, where the edge is 127.0.0.1. It sends browsers to the page and takes them back."""

    def __init__(self) -> None:
        self.returned: list[dict[str, list[str]]] = []
        self.url = ""
        self.edge = ""

    async def home(self, request: web.Request) -> web.Response:
        asked = urlencode(
            {"callback_url": f"{self.url}/back", "code_challenge": CHALLENGE, "code_challenge_method": "S256"}
        )
        link = f"{self.edge}/auth?{asked}".replace("&", "&amp;")
        frame = f'<iframe src="{link}"></iframe>' if "framed" in request.query else ""
        return web.Response(text=f'<title>App</title><a href="{link}">Sign in</a>{frame}', content_type="text/html")

    async def back(self, request: web.Request) -> web.Response:
        self.returned.append(parse_qs(request.query_string))
        return web.Response(text="<title>Back</title>", content_type="text/html")


@pytest_asyncio.fixture
async def edge(open_edge: OpenEdge) -> EdgeStack:
    return await open_edge(sessions=SessionsSettings(secure=False))


@pytest_asyncio.fixture
async def app(edge: EdgeStack) -> AsyncIterator[App]:
    served = App()
    application = web.Application()
    application.router.add_get("/", served.home)
    application.router.add_get("/back", served.back)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        served.url, served.edge = f"http://localhost:{port}", f"http://127.0.0.1:{edge.port}"
        yield served
    finally:
        await runner.cleanup()


async def test_somebody_signs_in_allows_and_is_known_the_next_time(edge: EdgeStack, app: App, tab: Tab) -> None:
    assert edge.around.sessions.open(edge.org.org_id)
    (member,) = edge.around.sessions.organizations.members[edge.org.org_id]
    await tab.open(app.url)
    await tab.until("document.title == 'App'")
    await tab.click("a")
    await tab.until("document.title.startsWith('Sign in')")
    assert (
        await tab.run(
            "document.querySelector('.first') && getComputedStyle(document.querySelector('main')).borderTopWidth"
        )
        == "1px"
    )
    await tab.type("email", member.user.email)
    await tab.type("password", PASSWORD)
    await tab.click("button.first")
    await tab.until("document.title.startsWith('Allow')")
    assert "localhost" in await tab.run("document.querySelector('h1').textContent")
    await tab.type("limit", "1.5")
    await tab.click("button[value=allow]")
    await tab.until("document.title == 'Back'")
    assert set(app.returned[0]) == {"code"}
    (made,) = edge.around.sessions.made
    assert made.limit_nano_usd == 1_500_000_000
    # Another site sends the browser here again: the cookie is for our own pages only, and still nobody has to sign in.
    await tab.open(app.url)
    await tab.until("document.title == 'App'")
    await tab.click("a")
    await tab.until("document.title.startsWith('Allow')")
    await tab.click("button[value=deny]")
    await tab.until("document.title == 'Back'")
    assert app.returned[1] == {"error": ["access_denied"]}
    assert tab.complaints == []


async def test_no_other_site_puts_the_page_into_a_frame(app: App, tab: Tab) -> None:
    await tab.open(f"{app.url}/?framed")
    await tab.until("document.title == 'App'")
    async with asyncio.timeout(30):
        while True:
            await tab.run("1")
            if any("frame-ancestors" in each or "X-Frame-Options" in each for each in tab.complaints):
                return
            await asyncio.sleep(0.05)
