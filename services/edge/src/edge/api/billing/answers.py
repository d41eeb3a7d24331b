"""Types of the answers about buying credit. Amounts are dollars."""

from __future__ import annotations

from edge.api.http.answer import Answer, Data, Page


class Purchase(Answer, frozen=True, kw_only=True):
    """A purchase of credit. `status` is pending, paid or failed; what is paid is `credit` plus `fee`."""

    id: str
    status: str
    credit: float
    fee: float
    refunded: float
    disputed: float
    invoice_number: int | None
    automatic: bool
    created_at: str
    paid_at: str | None


class NewPurchase(Answer, frozen=True, kw_only=True):
    """A purchase that was started. It is paid at `checkout_url`, which is null once it is paid or has failed."""

    data: Purchase
    checkout_url: str | None


class TopUp(Answer, frozen=True, kw_only=True):
    """When credit is bought without asking, and when its owner is told that it runs low."""

    enabled: bool
    threshold: float
    amount: float
    monthly_limit: float | None
    notice_below: float | None
    has_payment_method: bool


class Notice(Answer, frozen=True, kw_only=True):
    """Something that the organisation was told."""

    id: str
    kind: str
    amount: float
    created_at: str


class Movement(Answer, frozen=True, kw_only=True):
    """What one kind of movement did to the balance."""

    reason: str
    entries: int
    amount: float


class ModelUsage(Answer, frozen=True, kw_only=True):
    """What one model cost."""

    model: str
    generations: int
    prompt_tokens: int
    completion_tokens: int
    cost: float


class ModelDifference(Answer, frozen=True, kw_only=True):
    """A model of which ledger and analytics do not say the same. Amounts are dollars."""

    model: str
    ledger_cost: float
    analytics_cost: float
    ledger_generations: int
    analytics_generations: int


class Reconciliation(Answer, frozen=True, kw_only=True):
    """Usage of the month out of the ledger and counted a second time out of the usage events. Amounts are dollars.

    `difference` is what analytics counts beyond the ledger, 0 to the nano-dollar where they agree; the ledger is what was
    charged. `models` are those that differ.
    """

    ledger_cost: float
    analytics_cost: float
    difference: float
    ledger_generations: int
    analytics_generations: int
    models: list[ModelDifference]


class Statement(Answer, frozen=True, kw_only=True):
    """A month. The opening balance and the movements add up to the closing balance, exactly.

    `reconciliation` is null while the usage events cannot be asked.
    """

    month: str
    organization: str
    opening_balance: float
    closing_balance: float
    movements: list[Movement]
    usage: list[ModelUsage]
    purchases: list[Purchase]
    reconciliation: Reconciliation | None


class Received(Answer, frozen=True, kw_only=True):
    """It was taken in."""

    received: bool


PurchasePage = Page[Purchase]
TopUpAnswer = Data[TopUp]
Notices = Data[list[Notice]]
StatementAnswer = Data[Statement]
