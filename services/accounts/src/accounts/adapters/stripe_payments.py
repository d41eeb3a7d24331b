"""Stripe as the payment provider, through its own library.

A purchase is a Checkout Session, an automatic one an off-session PaymentIntent. Both carry our id of the purchase as metadata, and an
idempotency key made of it, so that repeating a call after a crash makes nothing twice. Sources: Stripe's API reference for Checkout
Sessions, PaymentIntents, Refunds and webhook signatures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import aiohttp
import msgspec
import stripe

from accounts.domain.errors import PaymentDeclinedError, PaymentProviderError, UntrustedStatementError
from accounts.domain.payment_ports import Addresses, Checkout
from accounts.domain.payments import NANO_PER_CENT, PaymentStatement, Purchase, StatementKind
from servicekit.logs import get_logger

_log = get_logger(__name__)

TOLERANCE: Final = timedelta(minutes=5)
_PURCHASE: Final = "turnpike_purchase_id"
_CURRENCY: Final = "usd"


class _Object(msgspec.Struct):
    """What concerns us of the object that an event is about; the kinds of objects share one form."""

    id: str
    metadata: dict[str, str] = {}
    currency: str | None = None
    payment_status: str = ""
    status: str | None = None
    payment_intent: str | None = None
    customer: str | None = None
    payment_method: str | None = None
    amount: int | None = None
    amount_total: int | None = None
    amount_received: int | None = None
    amount_refunded: int | None = None


class _Data(msgspec.Struct):
    object: _Object


class _Event(msgspec.Struct):
    id: str
    type: str
    data: _Data


_decode = msgspec.json.Decoder(_Event).decode


class StripePayments:
    """The PaymentProvider of Stripe."""

    def __init__(self, api_key: str, webhook_secret: str, *, api_base: str | None, timeout: timedelta) -> None:
        """Make a client.

        Args:
            api_key: secret key of the Stripe account.
            webhook_secret: of the endpoint that events are sent to.
            api_base: address of the API; None for Stripe's own.
            timeout: of a call.

        Raises:
            ValueError: no webhook secret: anybody could then give themselves credit (S43).
        """
        if not webhook_secret.strip():
            raise ValueError("a webhook secret is needed")
        self._secret = webhook_secret
        self._http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=timeout.total_seconds()))
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else {},
            max_network_retries=0,
            http_client=self._http,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]  # published without a type

    async def check_out(self, purchase: Purchase, addresses: Addresses, *, keep_method: bool) -> Checkout:
        """Make a Checkout Session; repeating it gives the same one.

        Raises:
            PaymentProviderError: Stripe does not answer, or refuses.
        """
        metadata = {_PURCHASE: str(purchase.purchase_id)}
        intent: dict[str, Any] = {"metadata": metadata}
        if keep_method:
            intent["setup_future_usage"] = "off_session"
        lines = [("Credit", purchase.credit), ("Fee", purchase.fee)]
        params: dict[str, Any] = {
            "mode": "payment",
            "client_reference_id": str(purchase.org_id),
            "metadata": metadata,
            "payment_intent_data": intent,
            "success_url": addresses.success,
            "cancel_url": addresses.cancel,
            "line_items": [_line(name, nano) for name, nano in lines if nano],
        }
        if keep_method:
            params["customer_creation"] = "always"
        async with _calling():
            session = await self._client.v1.checkout.sessions.create_async(
                params,  # type: ignore[arg-type]  # typed as one TypedDict a field, which the parts above would have to repeat
                {"idempotency_key": f"checkout-{purchase.purchase_id}"},
            )
        return Checkout(session.id, session.url or "")

    async def charge(self, purchase: Purchase, payer_ref: str, method_ref: str) -> str:
        """Charge a kept means of payment; returns the id of the PaymentIntent. Repeating it charges once.

        Raises:
            PaymentDeclinedError: it will not be paid.
            PaymentProviderError: Stripe does not answer.
        """
        async with _calling():
            intent = await self._client.v1.payment_intents.create_async(
                {
                    "amount": _cents(purchase.gross),
                    "currency": _CURRENCY,
                    "customer": payer_ref,
                    "payment_method": method_ref,
                    "off_session": True,
                    "confirm": True,
                    "metadata": {_PURCHASE: str(purchase.purchase_id), "turnpike_automatic": "true"},
                },
                {"idempotency_key": f"charge-{purchase.purchase_id}"},
            )
        return intent.id

    async def refund(self, purchase: Purchase, amount: int, idempotency_key: str) -> None:
        """Pay a part of a purchase back. Repeating it pays back once.

        Raises:
            PaymentProviderError: Stripe does not answer, or refuses.
        """
        async with _calling():
            await self._client.v1.refunds.create_async(
                {"payment_intent": purchase.payment_ref, "amount": _cents(amount)},
                {"idempotency_key": f"refund-{purchase.purchase_id}-{idempotency_key}"},
            )

    def read(self, payload: bytes, signature: str) -> PaymentStatement:
        """Check and read an event (S43): the signature, and that it is at most five minutes old.

        Raises:
            UntrustedStatementError: it is not signed with our secret, or too old, or no event.
        """
        try:
            stripe.WebhookSignature.verify_header(payload, signature, self._secret, int(TOLERANCE.total_seconds()))
            event = _decode(payload)
        except (stripe.SignatureVerificationError, UnicodeDecodeError, msgspec.MsgspecError) as error:
            raise UntrustedStatementError("the webhook is not signed by the payment provider") from error
        return _statement(event)


def _statement(event: _Event) -> PaymentStatement:
    about = event.data.object
    purchase_id = _purchase_id(about.metadata)
    if about.currency is not None and about.currency != _CURRENCY:
        return PaymentStatement(event.id, StatementKind.IGNORED)
    match event.type:
        case "checkout.session.completed" | "checkout.session.async_payment_succeeded" if (
            about.payment_status == "paid"
        ):
            return PaymentStatement(
                event.id,
                StatementKind.PAID,
                about.id,
                about.payment_intent or "",
                purchase_id,
                _nano(about.amount_total),
            )
        case "checkout.session.expired" | "checkout.session.async_payment_failed":
            return PaymentStatement(event.id, StatementKind.FAILED, about.id, "", purchase_id)
        case "payment_intent.succeeded":
            return _intent_paid(event.id, about, purchase_id)
        case "payment_intent.payment_failed" if "turnpike_automatic" in about.metadata:
            return PaymentStatement(event.id, StatementKind.FAILED, "", about.id, purchase_id)
        case "charge.refunded":
            intent = about.payment_intent or ""
            return PaymentStatement(
                event.id, StatementKind.REFUNDED, "", intent, purchase_id, _nano(about.amount_refunded)
            )
        case "charge.dispute.created":
            intent = about.payment_intent or ""
            return PaymentStatement(event.id, StatementKind.DISPUTED, "", intent, purchase_id, _nano(about.amount))
        case "charge.dispute.closed" if about.status == "won":
            return PaymentStatement(event.id, StatementKind.DISPUTE_WON, "", about.payment_intent or "", purchase_id)
    return PaymentStatement(event.id, StatementKind.IGNORED)


def _intent_paid(event_id: str, about: _Object, purchase_id: UUID | None) -> PaymentStatement:
    """Of a Checkout Session this comes besides the session's own event: whichever is first counts, and it has the kept means."""
    return PaymentStatement(
        event_id,
        StatementKind.PAID,
        "",
        about.id,
        purchase_id,
        _nano(about.amount_received),
        payer_ref=about.customer or "",
        method_ref=(about.payment_method or "") if about.customer else "",
    )


def _purchase_id(metadata: Mapping[str, str]) -> UUID | None:
    try:
        return UUID(metadata[_PURCHASE])
    except (KeyError, ValueError):
        return None


def _line(name: str, nano: int) -> dict[str, Any]:
    price = {"currency": _CURRENCY, "unit_amount": _cents(nano), "product_data": {"name": name}}
    return {"quantity": 1, "price_data": price}


def _cents(nano: int) -> int:
    cents, rest = divmod(nano, NANO_PER_CENT)
    if rest:
        raise ValueError("not a whole number of cents")
    return cents


def _nano(cents: int | None) -> int:
    return (cents or 0) * NANO_PER_CENT


@asynccontextmanager
async def _calling() -> AsyncIterator[None]:
    """Turn the library's errors into ours. Their texts may hold what was sent, so they go no further than their kind."""
    try:
        yield
    except stripe.CardError as error:
        raise PaymentDeclinedError("the payment was declined") from error
    except stripe.StripeError as error:
        _log.warning("payment_provider.failed", error=type(error).__name__, status=error.http_status)
        raise PaymentProviderError("the payment provider does not answer") from error
