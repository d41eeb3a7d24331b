"""What the edge needs from whoever sells credit. Every method may raise RefusedError, NotFoundError and DependencyError."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edge.domain.actor import Actor
from turnpike.accounts.v1 import payment_service_pb2


@dataclass(frozen=True, slots=True)
class NewPurchase:
    """Credit to buy.

    Attributes:
        credit_nano: how much, in nano-dollars.
        idempotency_key: makes the call repeatable.
        success_url: where the payer is sent after paying.
        cancel_url: where the payer is sent who gives up.
        keep_payment_method: keep the means of payment for buying without asking.
        actor: in whose name.
    """

    org_id: str
    credit_nano: int
    idempotency_key: str
    success_url: str
    cancel_url: str
    keep_payment_method: bool
    actor: Actor = field(default=Actor())


class CreditSales(Protocol):
    """Purchases, topping up and statements."""

    async def buy(self, new: NewPurchase) -> payment_service_pb2.CreatePurchaseResponse:
        """Start a purchase."""
        ...

    async def purchases(self, org_id: str, offset: int, limit: int) -> payment_service_pb2.ListPurchasesResponse:
        """List purchases, newest first."""
        ...

    async def take_webhook(self, payload: bytes, signature: str) -> None:
        """Hand on what the payment provider says."""
        ...

    async def top_up(self, org_id: str) -> payment_service_pb2.TopUp:
        """Return the rules of buying without asking."""
        ...

    async def set_top_up(
        self, org_id: str, rules: payment_service_pb2.TopUp, actor: Actor
    ) -> payment_service_pb2.TopUp:
        """Change them."""
        ...

    async def notices(self, org_id: str) -> payment_service_pb2.ListNoticesResponse:
        """List what the organisation was told."""
        ...

    async def statement(self, org_id: str, month: str) -> payment_service_pb2.GetStatementResponse:
        """Return what moved credit in a month."""
        ...
