"""Buying credit: purchases, topping up, notices, statements, and what the payment provider says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from random import Random
from typing import Final

import msgspec
from aiohttp import web

from edge.api.billing import operations
from edge.api.billing.operations import CSV, HTML, PurchasesQuery, StatementQuery
from edge.api.billing.reconciliation import reconciled
from edge.api.billing.rows import notice_row, purchase_row, statement_row, top_up_row
from edge.api.billing.statement_pages import statement_csv, statement_html
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.queries import read_query
from edge.api.http.routes import ROOT, Access, Route
from edge.api.management.members import read_members
from edge.domain.errors import InvalidInputError, NotFoundError
from edge.insight_ports import Analytics
from edge.payment_ports import CreditSales as Sales
from edge.payment_ports import NewPurchase
from turnpike.accounts.v1 import payment_service_pb2

_encode = msgspec.json.Encoder().encode
_MAX_IDEMPOTENCY_KEY: Final = 100
_MAX_SIGNATURE: Final = 4_096
_MAX_URL: Final = 2_000
_PURCHASE: Final = frozenset({"amount", "success_url", "cancel_url", "save_payment_method"})
_TOP_UP: Final = frozenset({"enabled", "threshold", "amount", "monthly_limit", "notice_below"})
# Nothing on a printed page may load or run anything.
_PAGE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


class CreditSales:
    """Serves what has to do with buying credit."""

    def __init__(self, sales: Sales, analytics: Analytics, bodies: JsonBodies, random: Random) -> None:
        """Make the handler.

        Args:
            sales: sells.
            analytics: counts what statements say a second time.
            bodies: reads requests.
            random: names purchases that the caller does not name; need not be secret.
        """
        self._sales = sales
        self._analytics = analytics
        self._bodies = bodies
        self._random = random

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        manager = Access.MANAGEMENT_KEY
        return (
            Route("POST", "/credits/purchases", manager, self.buy, operations.BUY),
            Route("GET", "/credits/purchases", manager, self.purchases, operations.LIST),
            Route("GET", "/credits/top-up", manager, self.top_up, operations.TOP_UP),
            Route("PUT", "/credits/top-up", manager, self.set_top_up, operations.SET_TOP_UP),
            Route("GET", "/credits/notices", manager, self.notices, operations.NOTICES),
            Route("GET", "/credits/statements/{month}", manager, self.statement, operations.STATEMENT),
            Route("POST", "/webhooks/payments", Access.ANYBODY, self.webhook, operations.WEBHOOK, prefixes=ROOT),
        )

    async def buy(self, exchange: Exchange) -> web.StreamResponse:
        """Start a purchase; who has no idempotency key gets a new one each time."""
        key = exchange.request.headers.get("Idempotency-Key", "")
        if len(key) > _MAX_IDEMPOTENCY_KEY:
            raise InvalidInputError(f"Idempotency-Key: longer than {_MAX_IDEMPOTENCY_KEY} characters")
        members = read_members(await self._bodies.read(exchange.request), _PURCHASE)
        amount = members.dollars("amount")
        if amount is None:
            raise members.wrong("amount", "required")
        new = NewPurchase(
            org_id=_org_id(exchange),
            credit_nano=amount,
            idempotency_key=key or f"{self._random.getrandbits(128):032x}",
            success_url=members.required_text("success_url", most=_MAX_URL),
            cancel_url=members.required_text("cancel_url", most=_MAX_URL),
            keep_payment_method=members.flag("save_payment_method") or False,
            actor=exchange.actor,
        )
        bought = await self._sales.buy(new)
        body = {"data": purchase_row(bought.purchase), "checkout_url": bought.checkout_url or None}
        return exchange.json(_encode(body), HTTPStatus.CREATED)

    async def purchases(self, exchange: Exchange) -> web.StreamResponse:
        """List purchases, newest first."""
        query = read_query(exchange.request, PurchasesQuery)
        found = await self._sales.purchases(_org_id(exchange), query.offset or 0, query.limit or 0)
        rows = [purchase_row(purchase) for purchase in found.purchases]
        return exchange.json(_encode({"data": rows, "total_count": found.total_count}))

    async def top_up(self, exchange: Exchange) -> web.StreamResponse:
        """Describe the rules of topping up."""
        return exchange.json(_encode({"data": top_up_row(await self._sales.top_up(_org_id(exchange)))}))

    async def set_top_up(self, exchange: Exchange) -> web.StreamResponse:
        """Change them; what the body does not name is off."""
        members = read_members(await self._bodies.read(exchange.request), _TOP_UP)
        rules = payment_service_pb2.TopUp(
            enabled=members.flag("enabled") or False,
            threshold_nano_usd=members.dollars("threshold") or 0,
            amount_nano_usd=members.dollars("amount") or 0,
            monthly_limit_nano_usd=members.dollars("monthly_limit") or 0,
            notice_nano_usd=members.dollars("notice_below") or 0,
        )
        return exchange.json(
            _encode({"data": top_up_row(await self._sales.set_top_up(_org_id(exchange), rules, exchange.actor))})
        )

    async def notices(self, exchange: Exchange) -> web.StreamResponse:
        """List notices, newest first."""
        found = await self._sales.notices(_org_id(exchange))
        return exchange.json(_encode({"data": [notice_row(notice) for notice in found.notices]}))

    async def statement(self, exchange: Exchange) -> web.StreamResponse:
        """Return the statement of a month, as JSON, CSV or a page."""
        form = read_query(exchange.request, StatementQuery).format or "json"
        month = exchange.params["month"]
        if not _is_month(month):
            raise NotFoundError("There is no such month")
        found = await self._sales.statement(_org_id(exchange), month)
        counted = await reconciled(self._analytics, _org_id(exchange), month, found)
        if form == "csv":
            return _text(
                exchange, statement_csv(found, month, counted), CSV, f'attachment; filename="statement-{month}.csv"'
            )
        if form == "html":
            return _text(exchange, statement_html(found, month, counted), HTML, "inline")
        return exchange.json(_encode({"data": statement_row(found, month, counted)}))

    async def webhook(self, exchange: Exchange) -> web.StreamResponse:
        """Hand on what the payment provider says; whoever signs it is checked where the secret is.

        Raises:
            InvalidInputError: there is no signature.
        """
        signature = exchange.request.headers.get("Stripe-Signature", "")
        if not 0 < len(signature) <= _MAX_SIGNATURE:
            raise InvalidInputError("Stripe-Signature: required")
        await self._sales.take_webhook(await self._bodies.read(exchange.request), signature)
        return exchange.json(b'{"received":true}')


def _org_id(exchange: Exchange) -> str:
    return exchange.principal.org.org_id


def _is_month(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y-%m").strftime("%Y-%m") == text  # noqa: DTZ007 - a month has no zone
    except ValueError:
        return False


def _text(exchange: Exchange, body: bytes, media_type: str, disposition: str) -> web.Response:
    headers = exchange.headers()
    headers["Content-Type"] = f"{media_type}; charset=utf-8"
    headers["Content-Disposition"] = disposition
    headers["Content-Security-Policy"] = _PAGE_POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    return web.Response(body=body, headers=headers)
