"""For tests: accounts' side of selling credit, with the local payment provider behind Stripe's own client library."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import aiohttp

from accounts.domain.payment_ports import PaymentProvider
from accounts.domain.payments import Purchase
from accounts.payments import Payments
from accounts.top_ups import TopUps
from localstack.payments.__main__ import signature

WEBHOOK_SECRET: Final = "whsec_of_tests_only"  # noqa: S105 - a secret of tests
ADDRESSES: Final = ("https://shop.example/yes", "https://shop.example/no")
_USD: Final = 10**9


@dataclass
class Shop:
    """Accounts' side of selling credit, and the provider on real sockets."""

    payments: Payments
    top_ups: TopUps
    provider: PaymentProvider
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
