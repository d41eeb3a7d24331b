"""Whoever sells credit, over gRPC."""

from __future__ import annotations

from datetime import timedelta

import grpc

from edge.adapters.accounts_client import answered
from edge.adapters.control_plane import actor_metadata
from edge.domain.actor import Actor
from edge.payment_ports import NewPurchase
from turnpike.accounts.v1 import payment_service_pb2, payment_service_pb2_grpc


class GrpcCreditSales:
    """CreditSales of accounts."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta) -> None:
        self._stub = payment_service_pb2_grpc.PaymentServiceStub(channel)
        self._timeout_s = timeout.total_seconds()

    async def buy(self, new: NewPurchase) -> payment_service_pb2.CreatePurchaseResponse:
        """Start a purchase."""
        request = payment_service_pb2.CreatePurchaseRequest(
            org_id=new.org_id,
            credit_nano_usd=new.credit_nano,
            idempotency_key=new.idempotency_key,
            success_url=new.success_url,
            cancel_url=new.cancel_url,
            keep_payment_method=new.keep_payment_method,
        )
        return await answered(
            self._stub.CreatePurchase(request, timeout=self._timeout_s, metadata=actor_metadata(new.actor))
        )

    async def purchases(self, org_id: str, offset: int, limit: int) -> payment_service_pb2.ListPurchasesResponse:
        """List purchases, newest first."""
        request = payment_service_pb2.ListPurchasesRequest(org_id=org_id, offset=offset, limit=limit)
        return await answered(self._stub.ListPurchases(request, timeout=self._timeout_s))

    async def take_webhook(self, payload: bytes, signature: str) -> None:
        """Hand on what the payment provider says."""
        request = payment_service_pb2.HandlePaymentWebhookRequest(payload=payload, signature=signature)
        await answered(self._stub.HandlePaymentWebhook(request, timeout=self._timeout_s))

    async def top_up(self, org_id: str) -> payment_service_pb2.TopUp:
        """Return the rules of buying without asking."""
        request = payment_service_pb2.GetTopUpRequest(org_id=org_id)
        found = await answered(self._stub.GetTopUp(request, timeout=self._timeout_s))
        return found.top_up

    async def set_top_up(
        self, org_id: str, rules: payment_service_pb2.TopUp, actor: Actor
    ) -> payment_service_pb2.TopUp:
        """Change them."""
        request = payment_service_pb2.SetTopUpRequest(org_id=org_id, top_up=rules)
        changed = await answered(self._stub.SetTopUp(request, timeout=self._timeout_s, metadata=actor_metadata(actor)))
        return changed.top_up

    async def notices(self, org_id: str) -> payment_service_pb2.ListNoticesResponse:
        """List what the organisation was told."""
        request = payment_service_pb2.ListNoticesRequest(org_id=org_id)
        return await answered(self._stub.ListNotices(request, timeout=self._timeout_s))

    async def statement(self, org_id: str, month: str) -> payment_service_pb2.GetStatementResponse:
        """Return what moved credit in a month."""
        request = payment_service_pb2.GetStatementRequest(org_id=org_id, month=month)
        return await answered(self._stub.GetStatement(request, timeout=self._timeout_s))
