"""What the buying of credit needs from outside. Every method of a store may raise StoreUnavailableError."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from accounts.domain.payments import PaymentStatement, Purchase
from accounts.domain.people import Actor
from accounts.domain.top_ups import Due, Notice, TopUp


@dataclass(frozen=True, slots=True)
class Checkout:
    """An order to pay: the payment provider's name for it, and where it is paid."""

    ref: str
    url: str


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a payer is sent afterwards."""

    success: str
    cancel: str


class PaymentProvider(Protocol):
    """Takes payments. Every method but `read` may raise PaymentProviderError."""

    async def check_out(self, purchase: Purchase, addresses: Addresses, *, keep_method: bool) -> Checkout:
        """Make an order to pay for a purchase; repeating it gives the same order."""
        ...

    async def charge(self, purchase: Purchase, payer_ref: str, method_ref: str) -> str:
        """Charge a kept means of payment; returns the provider's name of the payment. Repeating it charges once.

        Raises:
            PaymentDeclinedError: it will not be paid.
        """
        ...

    async def refund(self, purchase: Purchase, amount: int, idempotency_key: str) -> None:
        """Pay a part of a purchase back, in nano-dollars. Repeating it pays back once."""
        ...

    def read(self, payload: bytes, signature: str) -> PaymentStatement:
        """Check and read what the provider has sent.

        Raises:
            UntrustedStatementError: it is not signed by the provider, or too old.
        """
        ...


@dataclass(frozen=True, slots=True)
class UsageRefund:
    """A charge to give back, or a part of it; nano-dollars."""

    org_id: UUID
    generation_id: str
    amount: int
    idempotency_key: str
    reason: str


@dataclass(frozen=True, slots=True)
class WonDispute:
    """That a dispute was won, as an operator knows from somewhere."""

    org_id: UUID
    purchase_id: UUID
    reason: str


class PaymentStore(Protocol):
    """Purchases and what they do to the books."""

    async def add(self, purchase: Purchase, idempotency_key: str, actor: Actor) -> Purchase:
        """Store a new purchase; what is there already under the idempotency key is returned instead.

        Raises:
            NotFoundError: no such organisation.
        """
        ...

    async def note_order(self, purchase_id: UUID, checkout_ref: str, payment_ref: str) -> Purchase:
        """Note what the payment provider calls it."""
        ...

    async def fail(self, purchase_id: UUID, now: datetime) -> None:
        """Note that a pending purchase will not be paid."""
        ...

    async def note_refund_order(self, purchase: Purchase, amount: int, actor: Actor, now: datetime) -> None:
        """Note in the audit log that so many nano-dollars of a purchase are about to be paid back."""
        ...

    async def get(self, org_id: UUID, purchase_id: UUID) -> Purchase:
        """Return a purchase. Raises NotFoundError."""
        ...

    async def page(self, org_id: UUID, offset: int, limit: int) -> tuple[list[Purchase], int]:
        """Return purchases, newest first, and how many there are in all."""
        ...

    async def apply(self, statement: PaymentStatement, now: datetime) -> bool:
        """Post what a statement says, once for its id, all or nothing. False when it is about nothing of ours."""
        ...

    async def win_dispute(self, won: WonDispute, actor: Actor, now: datetime) -> tuple[Purchase, bool]:
        """Give back what was taken for a dispute, once; returns the purchase, and whether the organisation is still frozen.

        Raises:
            NotFoundError: the organisation has no such purchase.
            InvalidFieldError: it was never disputed.
        """
        ...

    async def refund_usage(self, refund: UsageRefund, actor: Actor, now: datetime) -> int:
        """Give back a charge, once for the idempotency key. Returns what was given back for the generation in all.

        Raises:
            NotFoundError: no such generation of this organisation has been settled.
            InvalidFieldError: more than is left of the charge.
        """
        ...


class TopUpStore(Protocol):
    """Rules of buying without asking, and notices."""

    async def rules(self, org_id: UUID) -> TopUp:
        """Return the rules of an organisation. Raises NotFoundError for the organisation."""
        ...

    async def set_rules(self, org_id: UUID, rules: TopUp, actor: Actor, now: datetime) -> TopUp:
        """Change them, but for the means of payment. Raises NotFoundError for the organisation."""
        ...

    async def due(self, now: datetime, limit: int) -> Sequence[Due]:
        """Return organisations that are below one of their bounds and neither buying nor told of it."""
        ...

    async def tell(self, notice: Notice) -> None:
        """Store a notice. Of a low balance there is one until the balance is above the bound again."""
        ...

    async def notices(self, org_id: UUID, limit: int) -> Sequence[Notice]:
        """Return notices, newest first."""
        ...
