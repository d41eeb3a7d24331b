"""Sign-in through a browser (RFC 8252): the user decides on a page of the edge, and the answer comes to a port of this machine."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from turnpike_cli.errors import CommandError

PATIENCE = timedelta(minutes=5)
_KEY_LIFE = timedelta(days=30)
_LOOPBACK = "127.0.0.1"
_PATH = "/callback"
_PAGE = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>turnpike</title></head><body><p>{text} You can close this page.</p></body></html>'
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Proof:
    """What shows, when the code is exchanged, that it is we who asked for it (RFC 7636)."""

    verifier: str = field(repr=False)

    @classmethod
    def new(cls) -> Proof:
        """Make one of 256 random bits."""
        return cls(secrets.token_urlsafe(32))

    @property
    def challenge(self) -> str:
        """What is told beforehand."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


async def code_by_browser(
    base_url: str, proof: Proof, label: str, show: Callable[[str], None], *, patience: timedelta = PATIENCE
) -> str:
    """Have the user decide, and return the code.

    Args:
        base_url: of the API; the page is at the root of the same host.
        proof: whose challenge the code is bound to.
        label: of the key.
        show: opens an address, or shows it.
        patience: for the user.

    Raises:
        CommandError: denied, or not decided in time.
    """
    state = secrets.token_urlsafe(32)
    answer: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()

    async def take(request: web.Request) -> web.Response:
        # Any page can call this port: only the answer to our own question knows the state.
        if answer.done() or not hmac.compare_digest(request.query.get("state", "").encode(), state.encode()):
            return web.Response(status=404, headers=_HEADERS)
        code, error = request.query.get("code", ""), request.query.get("error", "")
        answer.set_result((code, error))
        text = "You are signed in." if code else "You are not signed in."
        return web.Response(text=_PAGE.format(text=text), content_type="text/html", headers=_HEADERS)

    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_get(_PATH, take)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, _LOOPBACK, 0).start()
        asked = {
            "callback_url": f"http://{_LOOPBACK}:{runner.addresses[0][1]}{_PATH}",
            "code_challenge": proof.challenge,
            "code_challenge_method": "S256",
            "key_label": label,
            "expires_at": (datetime.now(UTC) + _KEY_LIFE).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "state": state,
        }
        parts = urlsplit(base_url)
        show(f"{parts.scheme}://{parts.netloc}/auth?{urlencode(asked)}")
        try:
            code, error = await asyncio.wait_for(answer, patience.total_seconds())
        except TimeoutError:
            raise CommandError("nobody decided in the browser in time") from None
    if not code:
        raise CommandError(
            "denied in the browser" if error == "access_denied" else "the browser came back without a code"
        )
    return code
