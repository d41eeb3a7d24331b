"""Purchases of credit, refunds, rules of topping up, notices."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE purchases (
        purchase_id uuid PRIMARY KEY,
        org_id uuid NOT NULL REFERENCES orgs,
        idempotency_key text NOT NULL,
        status smallint NOT NULL,
        credit_nano bigint NOT NULL CHECK (credit_nano > 0),
        fee_nano bigint NOT NULL CHECK (fee_nano >= 0),
        refunded_nano bigint NOT NULL DEFAULT 0 CHECK (refunded_nano >= 0),
        disputed_nano bigint NOT NULL DEFAULT 0 CHECK (disputed_nano >= 0),
        -- What the payment provider calls the order and the payment.
        checkout_ref text NOT NULL DEFAULT '',
        payment_ref text NOT NULL DEFAULT '',
        invoice_number bigint UNIQUE,
        automatic boolean NOT NULL,
        created_at timestamptz NOT NULL,
        paid_at timestamptz,
        UNIQUE (org_id, idempotency_key),
        CHECK (refunded_nano + disputed_nano <= credit_nano + fee_nano)
    )
    """,
    "CREATE INDEX purchases_of_org ON purchases (org_id, created_at DESC, purchase_id)",
    "CREATE UNIQUE INDEX purchases_by_checkout ON purchases (checkout_ref) WHERE checkout_ref <> ''",
    "CREATE UNIQUE INDEX purchases_by_payment ON purchases (payment_ref) WHERE payment_ref <> ''",
    # Statements of the payment provider that were taken in: a replay is known by its id.
    """
    CREATE TABLE payment_statements (
        statement_id text PRIMARY KEY,
        org_id uuid NOT NULL REFERENCES orgs,
        purchase_id uuid NOT NULL REFERENCES purchases,
        kind text NOT NULL,
        amount_nano bigint NOT NULL,
        received_at timestamptz NOT NULL
    )
    """,
    # One row; numbers of invoices have no gaps, so they are counted in the transaction that uses them.
    """
    CREATE TABLE invoice_numbers (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        last bigint NOT NULL
    )
    """,
    "INSERT INTO invoice_numbers (last) VALUES (0)",
    """
    CREATE TABLE usage_refunds (
        org_id uuid NOT NULL REFERENCES orgs,
        idempotency_key text NOT NULL,
        refund_id uuid NOT NULL,
        event_id uuid NOT NULL REFERENCES settled_events,
        nano bigint NOT NULL CHECK (nano > 0),
        refunded_at timestamptz NOT NULL,
        PRIMARY KEY (org_id, idempotency_key)
    )
    """,
    "CREATE INDEX usage_refunds_of_event ON usage_refunds (event_id)",
    """
    CREATE TABLE top_ups (
        org_id uuid PRIMARY KEY REFERENCES orgs,
        enabled boolean NOT NULL DEFAULT false,
        threshold_nano bigint NOT NULL DEFAULT 0,
        amount_nano bigint NOT NULL DEFAULT 0,
        monthly_limit_nano bigint NOT NULL DEFAULT 0,
        notice_nano bigint NOT NULL DEFAULT 0,
        payer_ref text NOT NULL DEFAULT '',
        method_ref text NOT NULL DEFAULT '',
        -- Whether its owner knows that credit is low; false again once it is not.
        is_told boolean NOT NULL DEFAULT false
    )
    """,
    """
    CREATE TABLE notices (
        notice_id uuid PRIMARY KEY,
        org_id uuid NOT NULL REFERENCES orgs,
        kind text NOT NULL,
        amount_nano bigint NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX notices_of_org ON notices (org_id, created_at DESC)",
    """
    CREATE TRIGGER payment_statements_are_append_only BEFORE UPDATE OR DELETE ON payment_statements
        FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER usage_refunds_are_append_only BEFORE UPDATE OR DELETE ON usage_refunds
        FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    "SELECT protect_tenant('purchases')",
    "SELECT protect_tenant('payment_statements')",
    "SELECT protect_tenant('usage_refunds')",
    "SELECT protect_tenant('top_ups')",
    "SELECT protect_tenant('notices')",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
