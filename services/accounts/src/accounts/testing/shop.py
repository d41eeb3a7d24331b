"""For tests: accounts' side of selling credit, with the local payment provider behind Stripe's own client library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any, Final
from uuid import UUID, uuid4

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.payment_store import PostgresPaymentStore
from accounts.adapters.postgres.top_up_store import PostgresTopUpStore
from accounts.adapters.stripe_payments import StripePayments
from accounts.domain.payments import Purchase
from accounts.payments import Payments
from accounts.top_ups import TopUps
from localstack.payments.__main__ import LocalPayments, signature
from servicekit.clock import SystemClock

WEBHOOK_SECRET: Final = "whsec_of_tests_only"  # noqa: S105 - a secret of tests
ADDRESSES: Final = ("https://shop.example/yes", "https://shop.example/no")
_USD: Final = 10**9


@dataclass
class Shop:
    """Accounts' side of selling credit, and the provider on real sockets."""

    payments: Payments
    top_ups: TopUps
    provider: StripePayments
    http: aiohttp.ClientSession
    heard: list[tuple[bytes, str]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def bought(self, org_id: UUID, credit: int = 10 * _USD, key: str = "k", *, keep: bool = False) -> Purchase:
        """Buy, pay, and take in what the provider says of it."""
        purchase, url = await self.payments.buy(str(org_id), credit, key, *ADDRESSES, keep_method=keep)
        async with self.http.post(url, allow_redirects=False) as answer:
            assert answer.status == 303
        await self.take_in(2)
        return purchase

    async def wait_for(self, count: int) -> None:
        """Wait until so many webhooks are here."""
        async with asyncio.timeout(20):
            while True:
                if len(self.heard) >= count:
                    return
                self.news.clear()
                await self.news.wait()

    async def take_in(self, count: int) -> None:
        """Wait for so many webhooks and take them in."""
        await self.wait_for(count)
        taken = self.heard[:count]
        del self.heard[:count]
        for payload, signed in taken:
            await self.payments.handle_webhook(payload, signed)

    async def say(self, kind: str, event_id: str = "", **about: Any) -> None:
        """Take in an event that the provider could send."""
        event = {"id": event_id or f"evt_{uuid4().hex}", "type": kind, "data": {"object": {"id": "x", **about}}}
        body = json.dumps(event).encode()
        await self.payments.handle_webhook(body, signature(body, WEBHOOK_SECRET))


@asynccontextmanager
async def open_shop(database: Database, audit: PostgresAuditLog, port: int) -> AsyncIterator[Shop]:
    """Sell credit, with the provider at a port of this machine."""
    heard: list[tuple[bytes, str]] = []
    news = asyncio.Event()

    async def hear(request: web.Request) -> web.Response:
        heard.append((await request.read(), request.headers["Stripe-Signature"]))
        news.set()
        return web.Response()

    listener = web.Application()
    listener.router.add_post("/", hear)
    async with TestServer(listener) as ears, aiohttp.ClientSession() as http:
        origin = f"http://127.0.0.1:{port}"
        local = LocalPayments(origin, str(ears.make_url("/")), WEBHOOK_SECRET)
        async with TestServer(local.application(), port=port):
            provider = StripePayments("sk_test_local", WEBHOOK_SECRET, api_base=origin, timeout=timedelta(seconds=10))
            store, clock = PostgresPaymentStore(database, audit), SystemClock()
            payments = Payments(store, provider, clock, Random(), fee_basis_points=500)
            rules = PostgresTopUpStore(database, audit)
            top_ups = TopUps(rules, store, payments, provider, clock, interval=timedelta(seconds=1))
            yield Shop(payments, top_ups, provider, http, heard, news)
            await provider.close()
