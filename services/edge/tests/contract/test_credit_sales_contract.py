"""What every CreditSales does: the double itself, and the real gRPC client of a server that the double answers behind."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta

import grpc
import pytest

from contracts.errors import ErrorReason
from edge.adapters.payments_client import GrpcCreditSales
from edge.domain.actor import Actor
from edge.domain.errors import DependencyError, RefusedError
from edge.payment_ports import CreditSales, NewPurchase
from edge.testing.payments import SIGNATURE, MemoryCreditSales, PaymentServicer, register_payments
from servicekit.testing import run_servicer
from turnpike.accounts.v1 import payment_service_pb2

TIMEOUT = timedelta(seconds=20)
USD = 10**9


@pytest.fixture
def sold() -> MemoryCreditSales:
    return MemoryCreditSales()


@pytest.fixture
async def sales(kind: str, sold: MemoryCreditSales, opened: AsyncExitStack) -> CreditSales:
    if kind == "double":
        return sold

    def register(server: grpc.aio.Server) -> list[str]:
        register_payments(server, sold)
        return [payment_service_pb2.DESCRIPTOR.services_by_name["PaymentService"].full_name]

    return GrpcCreditSales(await opened.enter_async_context(run_servicer(register)), TIMEOUT)


def purchase(org_id: str = "org", key: str = "k1", credit: int = 10 * USD) -> NewPurchase:
    return NewPurchase(org_id, credit, key, "https://a.example/yes", "https://a.example/no", keep_payment_method=True)


async def test_a_purchase_has_a_fee_and_an_address(sales: CreditSales) -> None:
    bought = await sales.buy(purchase())
    assert (bought.purchase.credit_nano_usd, bought.purchase.fee_nano_usd) == (10 * USD, USD // 2)
    assert "keep=True" in bought.checkout_url
    assert bought.checkout_url.endswith("to=https://a.example/yes")


async def test_a_repeat_is_the_same_purchase(sales: CreditSales) -> None:
    first, again = await sales.buy(purchase()), await sales.buy(purchase())
    other = await sales.buy(purchase(key="k2"))
    assert first.purchase == again.purchase != other.purchase
    page = await sales.purchases("org", 0, 1)
    assert (list(page.purchases), page.total_count) == ([other.purchase], 2)
    assert (await sales.purchases("another", 0, 0)).total_count == 0


async def test_what_is_wrong_is_refused_with_its_field(sales: CreditSales) -> None:
    with pytest.raises(RefusedError) as caught:
        await sales.buy(purchase(credit=1))
    assert caught.value.reason is ErrorReason.INVALID_REQUEST
    assert caught.value.metadata["param"] == "credit_nano_usd"


async def test_webhooks_arrive_word_for_word_and_signed(sales: CreditSales, sold: MemoryCreditSales) -> None:
    await sales.take_webhook(b'{"a":\n1}', SIGNATURE)
    with pytest.raises(RefusedError):
        await sales.take_webhook(b"{}", "t=1,v1=bad")
    assert sold.webhooks == [b'{"a":\n1}']


async def test_rules_notices_and_statements_pass(sales: CreditSales, sold: MemoryCreditSales) -> None:
    assert await sales.top_up("org") == payment_service_pb2.TopUp()
    rules = payment_service_pb2.TopUp(enabled=True, threshold_nano_usd=1, amount_nano_usd=2, notice_nano_usd=3)
    assert await sales.set_top_up("org", rules, Actor()) == await sales.top_up("org") == rules
    sold.told["org"] = [payment_service_pb2.Notice(notice_id="n", kind="low_balance", amount_nano_usd=-1)]
    assert [notice.kind for notice in (await sales.notices("org")).notices] == ["low_balance"]
    sold.statements["org", "2026-01"] = payment_service_pb2.GetStatementResponse(opening_nano_usd=5)
    assert (await sales.statement("org", "2026-01")).opening_nano_usd == 5


async def test_an_outage_is_said_to_be_one(sales: CreditSales, sold: MemoryCreditSales) -> None:
    sold.down = True
    with pytest.raises(DependencyError):
        await sales.buy(purchase())


def test_the_servicer_answers_everything_that_the_port_asks() -> None:
    asked = {
        "CreatePurchase",
        "HandlePaymentWebhook",
        "ListPurchases",
        "GetTopUp",
        "SetTopUp",
        "ListNotices",
        "GetStatement",
    }
    assert asked <= set(vars(PaymentServicer))
