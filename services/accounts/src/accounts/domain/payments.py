"""Purchases of credit as values, and what each thing that a payment provider says does to the books. Pure.

Double entry in nano-dollars:

| what happened                     | debit            | credit           |
|-----------------------------------|------------------|------------------|
| a purchase was paid               | `cash`           | `customer:<org>` |
| the fee on it                     | `cash`           | `revenue:fee`    |
| a purchase was paid back          | `customer:<org>` | `cash`           |
| the fee on it                     | `revenue:fee`    | `cash`           |
| a dispute was opened, or lost     | as paid back     |                  |
| a dispute was won                 | as paid          |                  |
| a charge for usage was given back | `revenue:refund` | `customer:<org>` |
| an amount that nobody asked for   | `cash`           | `suspense`       |

Only what a payment provider's signed statement says moves credit, never what a caller says (S44). Its amounts are cumulative, so
statements that are late, repeated or out of order post only what they add.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from fractions import Fraction
from uuid import UUID

from accounts.domain.accounts import MAX_AMOUNT_NANO
from accounts.domain.errors import InvalidFieldError
from accounts.domain.postings import customer

CASH = "cash"
REVENUE_FEE = "revenue:fee"
REVENUE_REFUND = "revenue:refund"
SUSPENSE = "suspense"
NANO_PER_CENT = 10**7
# What card networks take at least, and what no mistyped amount should exceed.
LEAST_PURCHASE_NANO = 5 * 10**9
MOST_PURCHASE_NANO = 25_000 * 10**9
_BASIS_POINTS = 10_000


class PurchaseStatus(IntEnum):
    """How far a purchase is; the numbers are those of the wire."""

    PENDING = 1
    PAID = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Purchase:
    """A purchase of credit. Amounts in nano-dollars.

    Attributes:
        credit: what is bought.
        fee: what it costs besides; what is paid is `gross`, the sum.
        refunded: of `gross`, what was paid back in all.
        disputed: of `gross`, what is disputed or was lost in a dispute.
        checkout_ref: what the payment provider calls the order to pay; empty before it has one.
        payment_ref: what it calls the payment; empty before there is one.
        invoice_number: 0 before it is paid.
        automatic: whether it was bought because credit ran low.
    """

    purchase_id: UUID
    org_id: UUID
    status: PurchaseStatus
    credit: int
    fee: int
    refunded: int
    disputed: int
    checkout_ref: str
    payment_ref: str
    invoice_number: int
    created_at: datetime
    paid_at: datetime | None
    automatic: bool

    @property
    def gross(self) -> int:
        """What is paid."""
        return self.credit + self.fee


@dataclass(frozen=True, slots=True)
class Movement:
    """One entry of the ledger: `nano` > 0 from `debit` to `credit`."""

    debit: str
    credit: str
    nano: int
    reason: str


class StatementKind(Enum):
    """What a payment provider can say."""

    PAID = "paid"
    FAILED = "failed"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    DISPUTE_WON = "dispute_won"
    IGNORED = "ignored"
    """Nothing that concerns the books."""


@dataclass(frozen=True, slots=True)
class PaymentStatement:
    """A signed statement of a payment provider. Amounts in nano-dollars, cumulative.

    Attributes:
        statement_id: the provider's id of it; a repeat has the same.
        kind: what it says.
        checkout_ref: the order that it is about; empty when it does not say.
        payment_ref: the payment that it is about; empty when there is none.
        purchase_id: ours, as we gave it to the provider; None when it does not say.
        amount: paid, or paid back in all, or disputed.
        payer_ref: what the provider calls who paid, where the means of payment is kept; else empty.
        method_ref: what it calls the means of payment, likewise.
    """

    statement_id: str
    kind: StatementKind
    checkout_ref: str = ""
    payment_ref: str = ""
    purchase_id: UUID | None = None
    amount: int = 0
    payer_ref: str = ""
    method_ref: str = ""


def fee_on(credit: int, basis_points: int) -> int:
    """The fee on a purchase in nano-dollars, to the cent, half a cent to the even one: what is paid is a number of cents."""
    cents = round(Fraction(credit * basis_points, _BASIS_POINTS * NANO_PER_CENT))
    return cents * NANO_PER_CENT


def checked_purchase(credit: int) -> int:
    """Return an amount of credit to buy.

    Raises:
        InvalidFieldError: out of bounds, or not a whole number of cents.
    """
    if not LEAST_PURCHASE_NANO <= credit <= MOST_PURCHASE_NANO:
        raise InvalidFieldError("credit_nano_usd", "must be between 5 and 25000 dollars")
    if credit % NANO_PER_CENT:
        raise InvalidFieldError("credit_nano_usd", "must be a whole number of cents")
    return credit


def checked_refund(amount: int, left: int) -> int:
    """Return an amount to give back (B13).

    Raises:
        InvalidFieldError: not above 0, or more than is left to give back.
    """
    if not 0 < amount <= min(left, MAX_AMOUNT_NANO):
        raise InvalidFieldError(
            "amount_nano_usd", f"must be more than 0 and at most {left} nano-dollars, which is what is left"
        )
    return amount


def credit_part(purchase: Purchase, gross: int) -> int:
    """How much of the credit a part of what was paid stands for, rounded half to even. All of it is exactly the credit."""
    return round(Fraction(purchase.credit * gross, purchase.gross))


def paid(purchase: Purchase) -> Iterator[Movement]:
    """The movements of a purchase that was paid."""
    yield Movement(CASH, customer(purchase.org_id), purchase.credit, "purchase")
    if purchase.fee:
        yield Movement(CASH, REVENUE_FEE, purchase.fee, "purchase_fee")


def returned(purchase: Purchase, before: int, after: int, reason: str) -> Iterator[Movement]:
    """The movements when what was returned of a purchase in all goes from `before` to `after` nano-dollars; back where it falls."""
    credit = credit_part(purchase, after) - credit_part(purchase, before)
    fee = (after - before) - credit
    for account, nano in ((customer(purchase.org_id), credit), (REVENUE_FEE, fee)):
        if nano > 0:
            yield Movement(account, CASH, nano, reason)
        elif nano < 0:
            yield Movement(CASH, account, -nano, reason)


def customer_change(org_id: UUID, movements: tuple[Movement, ...]) -> int:
    """What movements add to the balance of an organisation, in nano-dollars."""
    account = customer(org_id)
    return sum(each.nano * ((each.credit == account) - (each.debit == account)) for each in movements)
