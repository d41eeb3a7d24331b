"""Whoever sells credit, in memory, and behind a real gRPC server."""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

import grpc

from contracts.errors import ErrorReason
from edge.domain.actor import NOBODY, Actor
from edge.domain.errors import DependencyError, RefusedError
from edge.payment_ports import CreditSales, NewPurchase
from edge.testing.refusals import Context, aborting
from turnpike.accounts.v1 import payment_service_pb2 as messages
from turnpike.accounts.v1 import payment_service_pb2_grpc as stubs

SIGNATURE = "t=1,v1=good"
_CREATED_S = 1_790_000_000
_LEAST, _MOST = 5 * 10**9, 25_000 * 10**9


class MemoryCreditSales:
    """CreditSales that charges a fee of 5 %, and knows the statements that it is given."""

    def __init__(self) -> None:
        self.down = False
        self.webhooks: list[bytes] = []
        self.statements: dict[tuple[str, str], messages.GetStatementResponse] = {}
        self.told: dict[str, list[messages.Notice]] = {}
        self._purchases: dict[tuple[str, str], messages.Purchase] = {}
        self._rules: dict[str, messages.TopUp] = {}

    async def buy(self, new: NewPurchase) -> messages.CreatePurchaseResponse:
        """Start a purchase, once for an idempotency key."""
        self._check_up()
        if not _LEAST <= new.credit_nano <= _MOST:
            message = "credit_nano_usd must be between 5 and 25000 dollars"
            raise RefusedError(ErrorReason.INVALID_REQUEST, message, {"param": "credit_nano_usd"})
        key = (new.org_id, new.idempotency_key)
        if key not in self._purchases:
            purchase = messages.Purchase(
                purchase_id=str(uuid5(NAMESPACE_URL, "/".join(key))),
                org_id=new.org_id,
                status=messages.PURCHASE_STATUS_PENDING,
                credit_nano_usd=new.credit_nano,
                fee_nano_usd=new.credit_nano // 20,
            )
            purchase.created_at.FromSeconds(_CREATED_S + len(self._purchases))
            self._purchases[key] = purchase
        found = self._purchases[key]
        url = f"https://pay.example/{found.purchase_id}?keep={new.keep_payment_method}&to={new.success_url}"
        return messages.CreatePurchaseResponse(purchase=found, checkout_url=url)

    async def purchases(self, org_id: str, offset: int, limit: int) -> messages.ListPurchasesResponse:
        """List purchases, newest first."""
        self._check_up()
        own = [purchase for purchase in reversed(self._purchases.values()) if purchase.org_id == org_id]
        page = own[offset : offset + (limit or 100)]
        return messages.ListPurchasesResponse(purchases=page, total_count=len(own))

    async def take_webhook(self, payload: bytes, signature: str) -> None:
        """Keep what is signed."""
        self._check_up()
        if signature != SIGNATURE:
            raise RefusedError(ErrorReason.INVALID_REQUEST, "the webhook is not signed by the payment provider")
        self.webhooks.append(payload)

    async def top_up(self, org_id: str) -> messages.TopUp:
        """Return the rules."""
        self._check_up()
        return self._rules.get(org_id, messages.TopUp())

    async def set_top_up(self, org_id: str, rules: messages.TopUp, actor: Actor = NOBODY) -> messages.TopUp:
        """Change the rules."""
        self._check_up()
        self._rules[org_id] = rules
        return rules

    async def notices(self, org_id: str) -> messages.ListNoticesResponse:
        """List notices."""
        self._check_up()
        return messages.ListNoticesResponse(notices=self.told.get(org_id, []))

    async def statement(self, org_id: str, month: str) -> messages.GetStatementResponse:
        """Return a statement; an empty one of a month that nothing happened in."""
        self._check_up()
        return self.statements.get((org_id, month), messages.GetStatementResponse(org_name="Acme"))

    def _check_up(self) -> None:
        if self.down:
            raise DependencyError("accounts")


class PaymentServicer(stubs.PaymentServiceServicer):
    """CreditSales on the wire. The names of the methods are those of the wire."""

    def __init__(self, sales: CreditSales) -> None:
        self._sales = sales

    async def CreatePurchase(  # noqa: N802 - named by the wire
        self, request: messages.CreatePurchaseRequest, context: Context
    ) -> messages.CreatePurchaseResponse:
        """Start a purchase."""
        new = NewPurchase(
            request.org_id,
            request.credit_nano_usd,
            request.idempotency_key,
            request.success_url,
            request.cancel_url,
            request.keep_payment_method,
        )
        async with aborting(context):
            return await self._sales.buy(new)

    async def HandlePaymentWebhook(  # noqa: N802 - named by the wire
        self, request: messages.HandlePaymentWebhookRequest, context: Context
    ) -> messages.HandlePaymentWebhookResponse:
        """Take in a webhook."""
        async with aborting(context):
            await self._sales.take_webhook(request.payload, request.signature)
            return messages.HandlePaymentWebhookResponse()

    async def ListPurchases(  # noqa: N802 - named by the wire
        self, request: messages.ListPurchasesRequest, context: Context
    ) -> messages.ListPurchasesResponse:
        """List purchases."""
        async with aborting(context):
            return await self._sales.purchases(request.org_id, request.offset, request.limit)

    async def GetTopUp(  # noqa: N802 - named by the wire
        self, request: messages.GetTopUpRequest, context: Context
    ) -> messages.GetTopUpResponse:
        """Return the rules."""
        async with aborting(context):
            return messages.GetTopUpResponse(top_up=await self._sales.top_up(request.org_id))

    async def SetTopUp(  # noqa: N802 - named by the wire
        self, request: messages.SetTopUpRequest, context: Context
    ) -> messages.SetTopUpResponse:
        """Change the rules."""
        async with aborting(context):
            return messages.SetTopUpResponse(
                top_up=await self._sales.set_top_up(request.org_id, request.top_up, NOBODY)
            )

    async def ListNotices(  # noqa: N802 - named by the wire
        self, request: messages.ListNoticesRequest, context: Context
    ) -> messages.ListNoticesResponse:
        """List notices."""
        async with aborting(context):
            return await self._sales.notices(request.org_id)

    async def GetStatement(  # noqa: N802 - named by the wire
        self, request: messages.GetStatementRequest, context: Context
    ) -> messages.GetStatementResponse:
        """Return a statement."""
        async with aborting(context):
            return await self._sales.statement(request.org_id, request.month)


def register_payments(server: grpc.aio.Server, sales: CreditSales) -> None:
    """Serve the selling of credit."""
    stubs.add_PaymentServiceServicer_to_server(PaymentServicer(sales), server)  # type: ignore[abstract]  # the edge asks nothing else
