"""What the routes of buying credit say about themselves."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from edge.api.billing.answers import NewPurchase, Notices, PurchasePage, Received, StatementAnswer, TopUpAnswer
from edge.api.http.operations import Operation

HTML: Final = "text/html"
CSV: Final = "text/csv"


class PurchaseBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Credit to buy, in dollars."""

    amount: Annotated[float, Meta(ge=5, le=25_000, description="credit, in whole cents; the fee is added")]
    success_url: Annotated[str, Meta(description="https address to return to after paying")]
    cancel_url: Annotated[str, Meta(description="https address to return to without paying")]
    save_payment_method: bool | None = None


class TopUpBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All the rules; what is absent is off."""

    enabled: bool | None = None
    threshold: Annotated[float, Meta(ge=0)] | None = None
    amount: Annotated[float, Meta(ge=0)] | None = None
    monthly_limit: Annotated[float, Meta(ge=0)] | None = None
    notice_below: Annotated[float, Meta(ge=0)] | None = None


class PurchasesQuery(Struct, frozen=True, kw_only=True):
    """Which purchases."""

    offset: Annotated[int, Meta(ge=0, le=1_000_000, description="purchases to pass over")] | None = None
    limit: Annotated[int, Meta(ge=1, le=100, description="most purchases of a page")] | None = None


class StatementQuery(Struct, frozen=True, kw_only=True):
    """In which form."""

    format: Literal["json", "csv", "html"] | None = None


class PurchaseHeaders(Struct, frozen=True, kw_only=True):
    """Headers of a call that may be repeated."""

    idempotency_key: (
        Annotated[str, Meta(max_length=100, description="a repeat with the same one returns the same purchase")] | None
    ) = field(name="Idempotency-Key", default=None)


class SignatureHeaders(Struct, frozen=True, kw_only=True):
    """Headers of a payment provider."""

    signature: Annotated[str, Meta(description="signs the body")] | None = field(name="Stripe-Signature", default=None)


BUY: Final = Operation(
    id="createPurchase",
    tag="Credits",
    summary="Start a purchase of credit",
    body=PurchaseBody,
    headers=PurchaseHeaders,
    answer=NewPurchase,
    status=201,
    errors=(409,),
)
LIST: Final = Operation(
    id="listPurchases", tag="Credits", summary="List purchases of credit", query=PurchasesQuery, answer=PurchasePage
)
TOP_UP: Final = Operation(id="getTopUp", tag="Credits", summary="Get the rules of topping up", answer=TopUpAnswer)
SET_TOP_UP: Final = Operation(
    id="setTopUp", tag="Credits", summary="Change the rules of topping up", body=TopUpBody, answer=TopUpAnswer
)
NOTICES: Final = Operation(id="listNotices", tag="Credits", summary="List notices about credit", answer=Notices)
STATEMENT: Final = Operation(
    id="getStatement",
    tag="Credits",
    summary="Get the statement of a month",
    query=StatementQuery,
    answer=StatementAnswer,
    content={CSV: None, HTML: None},
)
WEBHOOK: Final = Operation(
    id="takePaymentWebhook",
    tag="Credits",
    summary="Take in what the payment provider says",
    bodies={"application/json": None},
    headers=SignatureHeaders,
    answer=Received,
    errors=(409,),
    description="For the payment provider alone: what it does not sign is refused.",
)
