"""The statements of purchases and refunds."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import text

from accounts.adapters.postgres.rows import ORG_COLUMNS
from accounts.domain.payments import Purchase, PurchaseStatus

PURCHASE_COLUMNS: Final = (
    "purchase_id, org_id, status, credit_nano, fee_nano, refunded_nano, disputed_nano, checkout_ref, payment_ref, "
    "coalesce(invoice_number, 0) AS invoice_number, created_at, paid_at, automatic"
)

# The interpolated parts below are constants of this package; every value is a parameter.
INSERT = text(
    f"""
    INSERT INTO purchases (purchase_id, org_id, idempotency_key, status, credit_nano, fee_nano, automatic, created_at)
    VALUES (:purchase_id, :org_id, :idempotency_key, :status, :credit, :fee, :automatic, :created_at)
    ON CONFLICT (org_id, idempotency_key) DO NOTHING RETURNING {PURCHASE_COLUMNS}
    """  # noqa: S608 - constant columns
)
BY_IDEMPOTENCY_KEY = text(
    f"SELECT {PURCHASE_COLUMNS} FROM purchases WHERE org_id = :org_id AND idempotency_key = :idempotency_key"  # noqa: S608 - constant columns
)
NOTE_ORDER = text(
    f"""
    UPDATE purchases SET checkout_ref = coalesce(nullif(:checkout_ref, ''), checkout_ref),
        payment_ref = coalesce(nullif(:payment_ref, ''), payment_ref)
    WHERE purchase_id = :purchase_id RETURNING {PURCHASE_COLUMNS}
    """  # noqa: S608 - constant columns
)
FAIL = text(
    "UPDATE purchases SET status = :failed WHERE purchase_id = :purchase_id AND status = :pending RETURNING org_id"
)
GET = text(
    f"SELECT {PURCHASE_COLUMNS} FROM purchases WHERE org_id = :org_id AND purchase_id = :purchase_id"  # noqa: S608 - constant columns
)
PAGE = text(
    f"""
    SELECT {PURCHASE_COLUMNS} FROM purchases WHERE org_id = :org_id
    ORDER BY created_at DESC, purchase_id LIMIT :limit OFFSET :offset
    """  # noqa: S608 - constant columns
)
COUNT = text("SELECT count(*) FROM purchases WHERE org_id = :org_id")

# By our own id where the statement has it, because that is known before the provider's names are.
FIND = text(
    """
    SELECT purchase_id, org_id FROM purchases
    WHERE purchase_id = CAST(:purchase_id AS uuid)
       OR (CAST(:purchase_id AS uuid) IS NULL AND checkout_ref <> '' AND checkout_ref = :checkout_ref)
       OR (CAST(:purchase_id AS uuid) IS NULL AND payment_ref <> '' AND payment_ref = :payment_ref)
    LIMIT 1
    """
)
LOCK_ORG = text(f"SELECT {ORG_COLUMNS} FROM orgs WHERE org_id = :org_id FOR NO KEY UPDATE")  # noqa: S608 - constant columns
LOCK = text(
    f"SELECT {PURCHASE_COLUMNS} FROM purchases WHERE purchase_id = :purchase_id FOR UPDATE"  # noqa: S608 - constant columns
)
REMEMBER = text(
    """
    INSERT INTO payment_statements (statement_id, org_id, purchase_id, kind, amount_nano, received_at)
    VALUES (:statement_id, :org_id, :purchase_id, :kind, :amount, :now)
    ON CONFLICT (statement_id) DO NOTHING RETURNING statement_id
    """
)
NEXT_INVOICE = text("UPDATE invoice_numbers SET last = last + 1 RETURNING last")
PAY = text(
    """
    UPDATE purchases SET status = :paid, paid_at = :now, invoice_number = :invoice_number,
        checkout_ref = coalesce(nullif(:checkout_ref, ''), checkout_ref),
        payment_ref = coalesce(nullif(:payment_ref, ''), payment_ref)
    WHERE purchase_id = :purchase_id
    """
)
RETURN = text(
    "UPDATE purchases SET refunded_nano = :refunded, disputed_nano = :disputed WHERE purchase_id = :purchase_id"
)
ENTRY = text(
    """
    INSERT INTO ledger_entries (cause_id, org_id, debit, credit, nano, reason, posted_at)
    VALUES (:cause_id, :org_id, :debit, :credit, :nano, :reason, :now)
    """
)
CHANGE_CREDIT = text(
    f"""
    UPDATE orgs SET balance_nano = balance_nano + :change, credits_nano = credits_nano + :change,
        status = CASE WHEN :may_freeze AND balance_nano + :change < 0 THEN :frozen ELSE status END, revision = revision + 1
    WHERE org_id = :org_id RETURNING {ORG_COLUMNS}
    """  # noqa: S608 - constant columns
)
# Who owes nothing may spend again; who was frozen for something else is not named by a dispute.
UNFREEZE = text(
    f"""
    UPDATE orgs SET status = :active, revision = revision + 1
    WHERE org_id = :org_id AND status = :frozen AND balance_nano >= 0 RETURNING {ORG_COLUMNS}
    """  # noqa: S608 - constant columns
)
WAS_DISPUTED = text(
    "SELECT EXISTS (SELECT FROM payment_statements WHERE purchase_id = :purchase_id AND org_id = :org_id AND kind = :kind)"
)
KEEP_METHOD = text(
    """
    INSERT INTO top_ups (org_id, payer_ref, method_ref) VALUES (:org_id, :payer_ref, :method_ref)
    ON CONFLICT (org_id) DO UPDATE SET payer_ref = excluded.payer_ref, method_ref = excluded.method_ref
    """
)

CHARGED = text("SELECT cost_nano FROM settled_events WHERE event_id = :event_id AND org_id = :org_id FOR UPDATE")
REFUNDED = text("SELECT coalesce(sum(nano), 0)::bigint FROM usage_refunds WHERE event_id = :event_id")
REFUND = text(
    """
    INSERT INTO usage_refunds (org_id, idempotency_key, refund_id, event_id, nano, refunded_at)
    VALUES (:org_id, :idempotency_key, :refund_id, :event_id, :nano, :now)
    ON CONFLICT (org_id, idempotency_key) DO NOTHING RETURNING refund_id
    """
)


def purchase_from_row(row: Any) -> Purchase:
    """Read a row of PURCHASE_COLUMNS."""
    return Purchase(
        purchase_id=row.purchase_id,
        org_id=row.org_id,
        status=PurchaseStatus(row.status),
        credit=row.credit_nano,
        fee=row.fee_nano,
        refunded=row.refunded_nano,
        disputed=row.disputed_nano,
        checkout_ref=row.checkout_ref,
        payment_ref=row.payment_ref,
        invoice_number=row.invoice_number,
        created_at=row.created_at,
        paid_at=row.paid_at,
        automatic=row.automatic,
    )
