"""`python -m localstack.payments --port P --webhook URL --secret-file F`: the local payment provider, on 127.0.0.1."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import html
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from localstack.payments.ledger import Order, PaymentBooks, RefusedError, event
from localstack.ports import LOOPBACK

_TRIES: Final = 8
_MOST_NEWS: Final = 1_000
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Pay</title>
<body><main><h1>Local payment</h1><p>Turnpike credit: <strong>${amount}</strong>. No real money moves: this page exists on this machine only.</p>
<form method="post"><button>Pay ${amount}</button></form><p><a href="{cancel}">Cancel</a></p></main></body></html>"""


class LocalPayments:
    """The provider as an HTTP application."""

    def __init__(self, origin: str, webhook: str, secret: str) -> None:
        """Make a provider without orders.

        Args:
            origin: where it is reached itself.
            webhook: where it says what happened.
            secret: signs what it says.
        """
        self._origin = origin
        self._webhook = webhook
        self._secret = secret
        self._books = PaymentBooks()
        self._news: asyncio.Queue[bytes] = asyncio.Queue(_MOST_NEWS)

    def application(self) -> web.Application:
        """Make the application; webhooks are sent as long as it runs."""
        application = web.Application()
        application.router.add_post("/v1/checkout/sessions", self._answering(self._check_out))
        application.router.add_post("/v1/payment_intents", self._answering(self._charge))
        application.router.add_post("/v1/refunds", self._answering(self._refund))
        application.router.add_get("/pay/{order}", self._page)
        application.router.add_post("/pay/{order}", self._pay)
        application.cleanup_ctx.append(self._running)
        return application

    async def _running(self, _: web.Application) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            delivering = group.create_task(self._deliver())
            yield
            delivering.cancel()

    def _answering(self, call: Callable[[Mapping[str, str]], dict[str, Any]]) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.Response:
            form = {name: str(value) for name, value in (await request.post()).items()}
            key = request.headers.get("Idempotency-Key", secrets.token_hex(8))
            known = self._books.repeats.get(key)
            if known is None:
                try:
                    known = self._books.repeats[key] = call(form)
                except RefusedError as error:
                    return web.json_response(
                        {"error": {"type": error.kind, "message": str(error), "code": "card_declined"}},
                        status=error.status,
                    )
            return web.json_response(known)

        return answer

    def _check_out(self, form: Mapping[str, str]) -> dict[str, Any]:
        return self._books.order(form).session(self._origin)

    def _charge(self, form: Mapping[str, str]) -> dict[str, Any]:
        payment = self._books.charge(form)
        self._say(event("payment_intent.succeeded", payment.intent()))
        return payment.intent()

    def _refund(self, form: Mapping[str, str]) -> dict[str, Any]:
        payment = self._books.refund(form)
        self._say(event("charge.refunded", payment.charge()))
        return {"id": f"re_{secrets.token_hex(12)}", "object": "refund", "status": "succeeded"}

    async def _page(self, request: web.Request) -> web.Response:
        order = self._order(request)
        text = _PAGE.format(amount=f"{order.amount / 100:.2f}", cancel=html.escape(order.cancel_url, quote=True))
        return web.Response(text=text, content_type="text/html")

    async def _pay(self, request: web.Request) -> web.Response:
        order = self._order(request)
        payment = self._books.pay(order)
        self._say(event("payment_intent.succeeded", payment.intent()))
        self._say(event("checkout.session.completed", order.session(self._origin)))
        raise web.HTTPSeeOther(order.success_url)

    def _order(self, request: web.Request) -> Order:
        order = self._books.orders.get(request.match_info["order"])
        if order is None:
            raise web.HTTPNotFound
        return order

    def _say(self, what: Mapping[str, Any]) -> None:
        self._news.put_nowait(json.dumps(what).encode())

    async def _deliver(self) -> None:
        """Send webhooks one after the other, each until it is taken, waiting longer each time, as Stripe does over days."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while True:
                body = await self._news.get()
                for attempt in range(_TRIES):
                    if await self._send(session, body):
                        break
                    await asyncio.sleep(min(30.0, 0.25 * 2**attempt))

    async def _send(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        headers = {"Stripe-Signature": signature(body, self._secret), "Content-Type": "application/json"}
        try:
            async with session.post(self._webhook, data=body, headers=headers) as answer:
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False


def signature(body: bytes, secret: str) -> str:
    """Sign a webhook as Stripe does: `t=<seconds>,v1=<HMAC-SHA256 of "<seconds>.<body>">`."""
    moment = int(time.time())
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256)
    return f"t={moment},v1={mac.hexdigest()}"


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="localstack.payments", description="A payment provider for development.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--webhook", required=True, help="address that is told what happened")
    parser.add_argument("--secret-file", type=Path, required=True, help="signs what it is told")
    arguments = parser.parse_args()
    provider = LocalPayments(
        f"http://{LOOPBACK}:{arguments.port}",
        arguments.webhook,
        arguments.secret_file.read_text(encoding="utf-8").strip(),
    )
    web.run_app(provider.application(), host=LOOPBACK, port=arguments.port, print=lambda _: None)


if __name__ == "__main__":
    main()
