"""When credit is bought without asking, and when its owner is told that it runs low. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.domain.accounts import MAX_AMOUNT_NANO
from accounts.domain.errors import InvalidFieldError
from accounts.domain.payments import checked_purchase

LOW_BALANCE = "low_balance"
TOP_UP_FAILED = "top_up_failed"
DISPUTE_OPENED = "dispute_opened"
DISPUTE_CLOSED = "dispute_closed"
ORG_FROZEN = "org_frozen"
ORG_UNFROZEN = "org_unfrozen"


@dataclass(frozen=True, slots=True)
class TopUp:
    """The rules of one organisation. Amounts in nano-dollars.

    Attributes:
        enabled: whether credit is bought without asking.
        threshold: buys below this balance.
        amount: buys this much.
        monthly_limit: buys at most this much in a month (UTC); 0 means no bound.
        notice: tells below this balance; 0 means never.
        payer_ref: whom the payment provider charges; empty when no means of payment is kept.
        method_ref: by what means; likewise.
    """

    enabled: bool = False
    threshold: int = 0
    amount: int = 0
    monthly_limit: int = 0
    notice: int = 0
    payer_ref: str = ""
    method_ref: str = ""

    @property
    def has_method(self) -> bool:
        """Whether a means of payment is kept."""
        return bool(self.payer_ref and self.method_ref)


@dataclass(frozen=True, slots=True)
class Due:
    """An organisation whose balance is below one of its bounds; amounts in nano-dollars.

    `orders` counts its automatic purchases that the payment provider knows of, however they ended.
    """

    org_id: UUID
    balance: int
    rules: TopUp
    bought_this_month: int
    orders: int


@dataclass(frozen=True, slots=True)
class Notice:
    """What an organisation was told. `amount` is what it is about, in nano-dollars."""

    notice_id: UUID
    org_id: UUID
    kind: str
    amount: int
    created_at: datetime


def checked_rules(rules: TopUp) -> TopUp:
    """Return rules.

    Raises:
        InvalidFieldError: an amount is out of bounds, or there is nothing to pay with.
    """
    for name, amount in (
        ("threshold_nano_usd", rules.threshold),
        ("monthly_limit_nano_usd", rules.monthly_limit),
        ("notice_nano_usd", rules.notice),
    ):
        if not 0 <= amount <= MAX_AMOUNT_NANO:
            raise InvalidFieldError(name, "must be between 0 and 1000000 dollars")
    if rules.enabled:
        checked_purchase(rules.amount)
        if not rules.has_method:
            raise InvalidFieldError("enabled", "needs a kept means of payment: make a purchase that keeps it first")
    elif not 0 <= rules.amount <= MAX_AMOUNT_NANO:
        raise InvalidFieldError("amount_nano_usd", "must be between 0 and 1000000 dollars")
    return rules


def may_buy(due: Due) -> bool:
    """Whether credit is to be bought for an organisation without asking."""
    rules = due.rules
    if not rules.enabled or not rules.has_method or due.balance >= rules.threshold:
        return False
    return not rules.monthly_limit or due.bought_this_month + rules.amount <= rules.monthly_limit


def is_low(due: Due) -> bool:
    """Whether the owner is to be told."""
    return 0 < due.rules.notice > due.balance
