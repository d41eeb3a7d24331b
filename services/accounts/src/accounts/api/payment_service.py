"""The gRPC service of purchases, refunds, topping up and statements: parse, call, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from accounts.api.actors import actor_of
from accounts.api.errors import aborting
from accounts.domain.accounts import checked_id
from accounts.domain.payments import Purchase
from accounts.domain.statements import StatementStore, checked_month
from accounts.domain.top_ups import TopUp
from accounts.payments import Payments
from accounts.records import timestamp
from accounts.top_ups import TopUps
from turnpike.accounts.v1 import payment_service_pb2 as messages
from turnpike.accounts.v1 import payment_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["PaymentService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class PaymentServicer(stubs.PaymentServiceServicer):
    """Purchases and what follows from them. The names of the methods are those of the wire."""

    def __init__(self, payments: Payments, top_ups: TopUps, statements: StatementStore) -> None:
        self._payments = payments
        self._top_ups = top_ups
        self._statements = statements

    async def CreatePurchase(  # noqa: N802 - named by the wire
        self, request: messages.CreatePurchaseRequest, context: Context
    ) -> messages.CreatePurchaseResponse:
        """Start a purchase."""
        async with aborting(context):
            purchase, url = await self._payments.buy(
                request.org_id,
                request.credit_nano_usd,
                request.idempotency_key,
                request.success_url,
                request.cancel_url,
                keep_method=request.keep_payment_method,
                actor=actor_of(context),
            )
            return messages.CreatePurchaseResponse(purchase=purchase_to_proto(purchase), checkout_url=url)

    async def HandlePaymentWebhook(  # noqa: N802 - named by the wire
        self, request: messages.HandlePaymentWebhookRequest, context: Context
    ) -> messages.HandlePaymentWebhookResponse:
        """Take in what the payment provider says."""
        async with aborting(context):
            await self._payments.handle_webhook(request.payload, request.signature)
            return messages.HandlePaymentWebhookResponse()

    async def ListPurchases(  # noqa: N802 - named by the wire
        self, request: messages.ListPurchasesRequest, context: Context
    ) -> messages.ListPurchasesResponse:
        """List purchases."""
        async with aborting(context):
            page, total = await self._payments.page(request.org_id, request.offset, request.limit)
            return messages.ListPurchasesResponse(
                purchases=[purchase_to_proto(purchase) for purchase in page], total_count=total
            )

    async def RefundPurchase(  # noqa: N802 - named by the wire
        self, request: messages.RefundPurchaseRequest, context: Context
    ) -> messages.RefundPurchaseResponse:
        """Order a purchase to be paid back."""
        async with aborting(context):
            purchase = await self._payments.refund_purchase(
                request.org_id,
                request.purchase_id,
                request.amount_nano_usd,
                request.idempotency_key,
                actor_of(context),
            )
            return messages.RefundPurchaseResponse(purchase=purchase_to_proto(purchase))

    async def WinDispute(  # noqa: N802 - named by the wire
        self, request: messages.WinDisputeRequest, context: Context
    ) -> messages.WinDisputeResponse:
        """Give back what was taken for a dispute."""
        async with aborting(context):
            purchase, is_frozen = await self._payments.win_dispute(
                request.org_id, request.purchase_id, request.reason, actor_of(context)
            )
            return messages.WinDisputeResponse(purchase=purchase_to_proto(purchase), is_frozen=is_frozen)

    async def RefundUsage(  # noqa: N802 - named by the wire
        self, request: messages.RefundUsageRequest, context: Context
    ) -> messages.RefundUsageResponse:
        """Give back a charge."""
        async with aborting(context):
            refunded = await self._payments.refund_usage(
                request.org_id,
                request.generation_id,
                request.amount_nano_usd,
                request.idempotency_key,
                request.reason,
                actor_of(context),
            )
            return messages.RefundUsageResponse(refunded_nano_usd=refunded)

    async def GetTopUp(  # noqa: N802 - named by the wire
        self, request: messages.GetTopUpRequest, context: Context
    ) -> messages.GetTopUpResponse:
        """Return the rules."""
        async with aborting(context):
            return messages.GetTopUpResponse(top_up=_rules_to_proto(await self._top_ups.get(request.org_id)))

    async def SetTopUp(  # noqa: N802 - named by the wire
        self, request: messages.SetTopUpRequest, context: Context
    ) -> messages.SetTopUpResponse:
        """Change the rules."""
        async with aborting(context):
            rules = await self._top_ups.set(request.org_id, _rules_from_proto(request.top_up), actor_of(context))
            return messages.SetTopUpResponse(top_up=_rules_to_proto(rules))

    async def ListNotices(  # noqa: N802 - named by the wire
        self, request: messages.ListNoticesRequest, context: Context
    ) -> messages.ListNoticesResponse:
        """List notices."""
        async with aborting(context):
            notices = [
                messages.Notice(
                    notice_id=str(notice.notice_id),
                    kind=notice.kind,
                    amount_nano_usd=notice.amount,
                    created_at=timestamp(notice.created_at),
                )
                for notice in await self._top_ups.notices(request.org_id)
            ]
            return messages.ListNoticesResponse(notices=notices)

    async def GetStatement(  # noqa: N802 - named by the wire
        self, request: messages.GetStatementRequest, context: Context
    ) -> messages.GetStatementResponse:
        """Return a statement."""
        async with aborting(context):
            month = checked_month(request.month)
            found = await self._statements.statement(checked_id("org_id", request.org_id), month)
            return messages.GetStatementResponse(
                org_name=found.org_name,
                opening_nano_usd=found.opening,
                closing_nano_usd=found.closing,
                movements=[
                    messages.StatementMovement(reason=each.reason, entries=each.entries, amount_nano_usd=each.amount)
                    for each in found.movements
                ],
                usage=[
                    messages.StatementUsage(
                        model=each.model,
                        generations=each.generations,
                        prompt_tokens=each.prompt_tokens,
                        completion_tokens=each.completion_tokens,
                        cost_nano_usd=each.cost,
                    )
                    for each in found.usage
                ],
                purchases=[purchase_to_proto(purchase) for purchase in found.purchases],
            )


def purchase_to_proto(purchase: Purchase) -> messages.Purchase:
    """Put a purchase on the wire."""
    return messages.Purchase(
        purchase_id=str(purchase.purchase_id),
        org_id=str(purchase.org_id),
        status=messages.PurchaseStatus.ValueType(purchase.status),
        credit_nano_usd=purchase.credit,
        fee_nano_usd=purchase.fee,
        refunded_nano_usd=purchase.refunded,
        disputed_nano_usd=purchase.disputed,
        invoice_number=purchase.invoice_number,
        created_at=timestamp(purchase.created_at),
        paid_at=timestamp(purchase.paid_at),
        automatic=purchase.automatic,
    )


def _rules_from_proto(message: messages.TopUp) -> TopUp:
    return TopUp(
        enabled=message.enabled,
        threshold=message.threshold_nano_usd,
        amount=message.amount_nano_usd,
        monthly_limit=message.monthly_limit_nano_usd,
        notice=message.notice_nano_usd,
    )


def _rules_to_proto(rules: TopUp) -> messages.TopUp:
    return messages.TopUp(
        enabled=rules.enabled,
        threshold_nano_usd=rules.threshold,
        amount_nano_usd=rules.amount,
        monthly_limit_nano_usd=rules.monthly_limit,
        notice_nano_usd=rules.notice,
        has_payment_method=rules.has_method,
    )
