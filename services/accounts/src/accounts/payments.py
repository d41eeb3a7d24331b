"""Use cases of buying credit and giving it back."""

from __future__ import annotations

from datetime import datetime
from random import Random
from urllib.parse import urlsplit
from uuid import UUID

from accounts.domain.accounts import checked_id, checked_page, checked_text
from accounts.domain.errors import InvalidFieldError, PaymentsDisabledError
from accounts.domain.payment_ports import Addresses, PaymentProvider, PaymentStore, UsageRefund, WonDispute
from accounts.domain.payments import (
    NANO_PER_CENT,
    Purchase,
    PurchaseStatus,
    StatementKind,
    checked_purchase,
    checked_refund,
    fee_on,
)
from accounts.domain.people import OPERATOR, Actor
from servicekit.clock import Clock
from servicekit.logs import get_logger

_log = get_logger(__name__)

_MAX_IDEMPOTENCY_KEY = 100
_MAX_REASON = 200
_MAX_ADDRESS = 2_000
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class Payments:
    """What can be done with purchases. Credit moves only when the payment provider's signed statement says so (S44)."""

    def __init__(
        self,
        store: PaymentStore,
        provider: PaymentProvider | None,
        clock: Clock,
        random: Random,
        *,
        fee_basis_points: int,
    ) -> None:
        """Make the use cases.

        Args:
            store: keeps purchases.
            provider: takes payments; None where the installation sells no credit.
            clock: source of times.
            random: source of ids.
            fee_basis_points: the fee on bought credit, in hundredths of a percent of it.
        """
        self._store = store
        self._provider = provider
        self._clock = clock
        self._random = random
        self._fee_basis_points = fee_basis_points

    async def buy(
        self,
        org_id: str,
        credit: int,
        idempotency_key: str,
        success_url: str,
        cancel_url: str,
        *,
        keep_method: bool,
        actor: Actor = OPERATOR,
    ) -> tuple[Purchase, str]:
        """Start a purchase, once for an idempotency key. Returns it with the address at which it is paid."""
        provider = self._required_provider()
        checked_text("idempotency_key", idempotency_key, 1, _MAX_IDEMPOTENCY_KEY)
        addresses = Addresses(_checked_url("success_url", success_url), _checked_url("cancel_url", cancel_url))
        purchase = await self._store.add(
            self.order(checked_id("org_id", org_id), checked_purchase(credit), automatic=False),
            f"buy/{idempotency_key}",
            actor,
        )
        if purchase.credit != credit:
            raise InvalidFieldError("idempotency_key", "was used for another amount")
        if purchase.status is not PurchaseStatus.PENDING:
            return purchase, ""
        checkout = await provider.check_out(purchase, addresses, keep_method=keep_method)
        return await self._store.note_order(purchase.purchase_id, checkout.ref, ""), checkout.url

    def order(self, org_id: UUID, credit: int, *, automatic: bool) -> Purchase:
        """Make a purchase that nobody has paid yet."""
        return Purchase(
            purchase_id=UUID(int=self._random.getrandbits(128), version=4),
            org_id=org_id,
            status=PurchaseStatus.PENDING,
            credit=credit,
            fee=fee_on(credit, self._fee_basis_points),
            refunded=0,
            disputed=0,
            checkout_ref="",
            payment_ref="",
            invoice_number=0,
            created_at=self._now(),
            paid_at=None,
            automatic=automatic,
        )

    async def handle_webhook(self, payload: bytes, signature: str) -> None:
        """Take in what the payment provider says.

        Raises:
            UntrustedStatementError: it is not the provider's word.
            TooEarlyError: something that comes before it has not arrived; the provider sends it again.
        """
        statement = self._required_provider().read(payload, signature)
        if statement.kind is StatementKind.IGNORED:
            return
        ours = await self._store.apply(statement, self._now())
        _log.info("payment.stated", kind=statement.kind.value, statement_id=statement.statement_id, ours=ours)

    async def page(self, org_id: str, offset: int, limit: int) -> tuple[list[Purchase], int]:
        """List purchases, newest first, with how many there are in all."""
        offset, limit = checked_page(offset, limit)
        return await self._store.page(checked_id("org_id", org_id), offset, limit)

    async def refund_purchase(
        self, org_id: str, purchase_id: str, amount: int, idempotency_key: str, actor: Actor = OPERATOR
    ) -> Purchase:
        """Order a part of a purchase to be paid back; the books change when the provider says that it is."""
        provider = self._required_provider()
        checked_text("idempotency_key", idempotency_key, 1, _MAX_IDEMPOTENCY_KEY)
        purchase = await self._store.get(checked_id("org_id", org_id), checked_id("purchase_id", purchase_id))
        if purchase.status is not PurchaseStatus.PAID:
            raise InvalidFieldError("purchase_id", "is not a purchase that was paid")
        if amount % NANO_PER_CENT:
            raise InvalidFieldError("amount_nano_usd", "must be a whole number of cents")
        checked_refund(amount, purchase.gross - purchase.refunded - purchase.disputed)
        # Before it is asked for: money that leaves without an entry would be worse than an entry without money.
        await self._store.note_refund_order(purchase, amount, actor, self._now())
        await provider.refund(purchase, amount, idempotency_key)
        return purchase

    async def win_dispute(
        self, org_id: str, purchase_id: str, reason: str, actor: Actor = OPERATOR
    ) -> tuple[Purchase, bool]:
        """Give back what was taken for a dispute; returns the purchase, and whether the organisation is still frozen."""
        checked_text("reason", reason, 0, _MAX_REASON)
        won = WonDispute(checked_id("org_id", org_id), checked_id("purchase_id", purchase_id), reason)
        return await self._store.win_dispute(won, actor, self._now())

    async def refund_usage(
        self,
        org_id: str,
        generation_id: str,
        amount: int,
        idempotency_key: str,
        reason: str,
        actor: Actor = OPERATOR,
    ) -> int:
        """Give back what a generation was charged, or a part. Returns what was given back for it in all."""
        checked_text("idempotency_key", idempotency_key, 1, _MAX_IDEMPOTENCY_KEY)
        checked_text("generation_id", generation_id, 1, _MAX_IDEMPOTENCY_KEY)
        checked_text("reason", reason, 0, _MAX_REASON)
        if amount <= 0:
            raise InvalidFieldError("amount_nano_usd", "must be more than 0")
        refund = UsageRefund(checked_id("org_id", org_id), generation_id, amount, idempotency_key, reason)
        return await self._store.refund_usage(refund, actor, self._now())

    def _required_provider(self) -> PaymentProvider:
        if self._provider is None:
            raise PaymentsDisabledError("this installation does not sell credit")
        return self._provider

    def _now(self) -> datetime:
        return self._clock.now()


def _checked_url(field: str, url: str) -> str:
    checked_text(field, url, 1, _MAX_ADDRESS)
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS:
        return url
    raise InvalidFieldError(field, "must be an https address")
