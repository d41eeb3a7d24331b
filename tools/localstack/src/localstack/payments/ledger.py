"""Orders, payments and refunds of the local payment provider, in memory. Amounts in cents."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DECLINED_METHOD = "pm_card_chargeDeclined"
"""A kept means of payment that is always declined; Stripe's test cards have one of the same name."""


class RefusedError(Exception):
    """A call cannot be done. `status` is that of HTTP, `kind` Stripe's type of error."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


@dataclass
class Payment:
    """A payment, as Stripe's PaymentIntent and its charge."""

    payment_id: str
    amount: int
    metadata: Mapping[str, str]
    customer: str | None
    method: str
    refunded: int = 0

    def intent(self) -> dict[str, Any]:
        """As a PaymentIntent."""
        return {
            "id": self.payment_id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_received": self.amount,
            "currency": "usd",
            "customer": self.customer,
            "payment_method": self.method,
            "metadata": dict(self.metadata),
            "status": "succeeded",
        }

    def charge(self) -> dict[str, Any]:
        """As a Charge."""
        return {
            "id": f"ch_{self.payment_id[3:]}",
            "object": "charge",
            "amount": self.amount,
            "amount_refunded": self.refunded,
            "currency": "usd",
            "payment_intent": self.payment_id,
            "metadata": dict(self.metadata),
        }


@dataclass
class Order:
    """An order to pay, as Stripe's Checkout Session."""

    order_id: str
    amount: int
    metadata: Mapping[str, str]
    success_url: str
    cancel_url: str
    keeps_method: bool
    payment_id: str | None = None

    def session(self, origin: str) -> dict[str, Any]:
        """As a Checkout Session."""
        return {
            "id": self.order_id,
            "object": "checkout.session",
            "amount_total": self.amount,
            "currency": "usd",
            "metadata": dict(self.metadata),
            "payment_intent": self.payment_id,
            "payment_status": "unpaid" if self.payment_id is None else "paid",
            "url": f"{origin}/pay/{self.order_id}",
        }


@dataclass
class PaymentBooks:
    """Everything that the provider knows."""

    orders: dict[str, Order] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    repeats: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Answers by idempotency key."""

    def order(self, form: Mapping[str, str]) -> Order:
        """Make an order."""
        lines = {name.split("[")[1].rstrip("]") for name in form if name.startswith("line_items[")}
        amount = sum(
            int(form[f"line_items[{line}][price_data][unit_amount]"]) * int(form[f"line_items[{line}][quantity]"])
            for line in lines
        )
        order = Order(
            f"cs_local_{secrets.token_hex(12)}",
            amount,
            _metadata(form, "metadata"),
            form["success_url"],
            form["cancel_url"],
            keeps_method=form.get("payment_intent_data[setup_future_usage]") == "off_session",
        )
        self.orders[order.order_id] = order
        return order

    def pay(self, order: Order) -> Payment:
        """Pay an order, once."""
        if order.payment_id is None:
            customer = f"cus_{secrets.token_hex(8)}" if order.keeps_method else None
            payment = self._payment(order.amount, order.metadata, customer, f"pm_{secrets.token_hex(8)}")
            order.payment_id = payment.payment_id
        return self.payments[order.payment_id]

    def charge(self, form: Mapping[str, str]) -> Payment:
        """Charge a kept means of payment.

        Raises:
            RefusedError: it is declined.
        """
        if form["payment_method"] == DECLINED_METHOD:
            raise RefusedError(402, "card_error", "Your card was declined.")
        metadata = _metadata(form, "metadata")
        return self._payment(int(form["amount"]), metadata, form["customer"], form["payment_method"])

    def refund(self, form: Mapping[str, str]) -> Payment:
        """Pay back a part of a payment.

        Raises:
            RefusedError: there is no such payment, or not as much is left.
        """
        payment = self.payments.get(form["payment_intent"])
        if payment is None:
            raise RefusedError(404, "invalid_request_error", "No such payment_intent")
        amount = int(form.get("amount", payment.amount))
        if not 0 < amount <= payment.amount - payment.refunded:
            raise RefusedError(400, "invalid_request_error", "Refund amount is greater than what is left on the charge")
        payment.refunded += amount
        return payment

    def _payment(self, amount: int, metadata: Mapping[str, str], customer: str | None, method: str) -> Payment:
        payment = Payment(f"pi_local_{secrets.token_hex(12)}", amount, metadata, customer, method)
        self.payments[payment.payment_id] = payment
        return payment


def event(kind: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """Make an event as Stripe's webhooks carry it."""
    return {
        "id": f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "type": kind,
        "created": int(time.time()),
        "data": {"object": dict(about)},
    }


def _metadata(form: Mapping[str, str], name: str) -> dict[str, str]:
    prefix = f"{name}["
    return {key[len(prefix) : -1]: value for key, value in form.items() if key.startswith(prefix)}
