"""Leases: what is lent to edges, what accounts hold for it, and the youngest process of each edge."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE leases (
        org_id uuid NOT NULL REFERENCES orgs,
        -- Made by the edge, so it names a lease among those of its organisation only.
        lease_id uuid NOT NULL,
        key_id uuid,
        edge_id text NOT NULL,
        edge_epoch bigint NOT NULL,
        resource smallint NOT NULL,
        windowed boolean NOT NULL,
        -- Names in lease_accounts: each holds greatest(granted - returned - spent, 0) for it until it is closed.
        accounts text[] NOT NULL,
        granted bigint NOT NULL CHECK (granted > 0),
        returned bigint NOT NULL DEFAULT 0 CHECK (returned BETWEEN 0 AND granted),
        spent bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
        acquired_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        closes_at timestamptz NOT NULL,
        released_at timestamptz,
        closed_at timestamptz,
        PRIMARY KEY (org_id, lease_id)
    )
    """,
    "CREATE INDEX leases_open ON leases (org_id) WHERE closed_at IS NULL",
    "CREATE INDEX leases_due ON leases (closes_at) WHERE closed_at IS NULL",
    "CREATE INDEX leases_closed ON leases (closed_at) WHERE closed_at IS NOT NULL",
    """
    CREATE TABLE lease_accounts (
        org_id uuid NOT NULL REFERENCES orgs,
        name text NOT NULL,
        -- Lent and neither settled nor given back.
        held bigint NOT NULL CHECK (held >= 0),
        -- Of windows of rate limits only: what is spent of money stands where it is settled.
        spent bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
        amount bigint,
        ends_at timestamptz,
        PRIMARY KEY (org_id, name)
    )
    """,
    "CREATE INDEX lease_accounts_by_end ON lease_accounts (ends_at) WHERE ends_at IS NOT NULL",
    """
    CREATE TABLE lease_edges (
        edge_id text PRIMARY KEY,
        epoch bigint NOT NULL,
        seen_at timestamptz NOT NULL
    )
    """,
    "SELECT protect_tenant('leases')",
    "SELECT protect_tenant('lease_accounts')",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
