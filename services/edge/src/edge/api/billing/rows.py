"""What accounts says of purchases and statements, as members of JSON. Amounts are exact decimal numbers."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts import money
from edge.api.billing.reconciliation import Reconciliation
from edge.api.http.timestamps import timestamp_json
from turnpike.accounts.v1 import payment_service_pb2

_STATUSES = {
    payment_service_pb2.PURCHASE_STATUS_PENDING: "pending",
    payment_service_pb2.PURCHASE_STATUS_PAID: "paid",
    payment_service_pb2.PURCHASE_STATUS_FAILED: "failed",
}


def usd(nano: int) -> msgspec.Raw:
    """An amount of nano-dollars as a JSON number of dollars."""
    return msgspec.Raw(money.usd_text(nano).encode())


def purchase_row(purchase: payment_service_pb2.Purchase) -> dict[str, Any]:
    """Describe a purchase."""
    return {
        "id": purchase.purchase_id,
        "status": _STATUSES.get(purchase.status, "pending"),
        "credit": usd(purchase.credit_nano_usd),
        "fee": usd(purchase.fee_nano_usd),
        "refunded": usd(purchase.refunded_nano_usd),
        "disputed": usd(purchase.disputed_nano_usd),
        "invoice_number": purchase.invoice_number or None,
        "automatic": purchase.automatic,
        "created_at": timestamp_json(purchase.created_at),
        "paid_at": timestamp_json(purchase.paid_at) if purchase.HasField("paid_at") else None,
    }


def top_up_row(rules: payment_service_pb2.TopUp) -> dict[str, Any]:
    """Describe the rules of topping up."""
    return {
        "enabled": rules.enabled,
        "threshold": usd(rules.threshold_nano_usd),
        "amount": usd(rules.amount_nano_usd),
        "monthly_limit": usd(rules.monthly_limit_nano_usd) if rules.monthly_limit_nano_usd else None,
        "notice_below": usd(rules.notice_nano_usd) if rules.notice_nano_usd else None,
        "has_payment_method": rules.has_payment_method,
    }


def notice_row(notice: payment_service_pb2.Notice) -> dict[str, Any]:
    """Describe a notice."""
    return {
        "id": notice.notice_id,
        "kind": notice.kind,
        "amount": usd(notice.amount_nano_usd),
        "created_at": timestamp_json(notice.created_at),
    }


def statement_row(
    statement: payment_service_pb2.GetStatementResponse, month: str, reconciliation: Reconciliation | None
) -> dict[str, Any]:
    """Describe a statement."""
    return {
        "month": month,
        "organization": statement.org_name,
        "opening_balance": usd(statement.opening_nano_usd),
        "closing_balance": usd(statement.closing_nano_usd),
        "movements": [
            {"reason": each.reason, "entries": each.entries, "amount": usd(each.amount_nano_usd)}
            for each in statement.movements
        ],
        "usage": [
            {
                "model": each.model,
                "generations": each.generations,
                "prompt_tokens": each.prompt_tokens,
                "completion_tokens": each.completion_tokens,
                "cost": usd(each.cost_nano_usd),
            }
            for each in statement.usage
        ],
        "purchases": [purchase_row(each) for each in statement.purchases],
        "reconciliation": None if reconciliation is None else _reconciliation_row(reconciliation),
    }


def _reconciliation_row(found: Reconciliation) -> dict[str, Any]:
    return {
        "ledger_cost": usd(found.ledger_nano),
        "analytics_cost": usd(found.counted_nano),
        "difference": usd(found.difference_nano),
        "ledger_generations": found.ledger_generations,
        "analytics_generations": found.counted_generations,
        "models": [
            {
                "model": each.model,
                "ledger_cost": usd(each.ledger_nano),
                "analytics_cost": usd(each.counted_nano),
                "ledger_generations": each.ledger_generations,
                "analytics_generations": each.counted_generations,
            }
            for each in found.differences
        ],
    }
