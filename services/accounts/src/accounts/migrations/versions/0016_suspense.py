"""Usage that could not be priced, and what providers are owed for it meanwhile."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE suspended_usage (
        suspense_id uuid PRIMARY KEY,
        -- Null where the record names no organisation of ours.
        org_id uuid REFERENCES orgs,
        -- Null where the record does not name its generation soundly.
        event_id uuid,
        generation_id text NOT NULL,
        rank smallint NOT NULL,
        price_version text NOT NULL,
        reason text NOT NULL,
        -- By provider, in nano-dollars: what it will charge for all that is known, and what of it the ledger holds in suspense.
        estimate jsonb NOT NULL,
        held jsonb NOT NULL,
        state smallint NOT NULL,
        record_value bytea,
        suspended_at timestamptz NOT NULL,
        resolved_at timestamptz,
        resolved_by text NOT NULL DEFAULT '',
        note text NOT NULL DEFAULT ''
    )
    """,
    # What a valid statement about the same generation takes back: open ones, and those that were written off.
    "CREATE INDEX suspended_usage_of_org ON suspended_usage (org_id, event_id) WHERE state IN (1, 3)",
    "CREATE INDEX suspended_usage_in_order ON suspended_usage (suspended_at, suspense_id)",
)


def upgrade() -> None:
    """Make the table."""
    for statement in STATEMENTS:
        op.execute(statement)
