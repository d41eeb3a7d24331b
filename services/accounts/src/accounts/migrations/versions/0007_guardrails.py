"""Guardrails, and the keys and members that they bind."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE guardrails (
        guardrail_id uuid PRIMARY KEY,
        org_id uuid NOT NULL REFERENCES orgs,
        workspace_id uuid NOT NULL,
        name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
        description text NOT NULL DEFAULT '',
        is_workspace_default boolean NOT NULL DEFAULT false,
        policy jsonb NOT NULL,
        -- Of the policy: where there is one, edges must know what keys spend.
        limit_nano bigint CHECK (limit_nano >= 0),
        created_at timestamptz NOT NULL,
        updated_at timestamptz,
        -- Kept after deletion: a new broker must learn that it is gone.
        deleted_at timestamptz,
        revision bigint NOT NULL
    )
    """,
    "CREATE INDEX guardrails_of_workspace ON guardrails (org_id, workspace_id, created_at DESC) WHERE deleted_at IS NULL",
    """
    CREATE TABLE guardrail_keys (
        key_id uuid PRIMARY KEY REFERENCES api_keys,
        assignment_id uuid NOT NULL UNIQUE,
        org_id uuid NOT NULL REFERENCES orgs,
        guardrail_id uuid NOT NULL REFERENCES guardrails,
        assigned_by text NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX guardrail_keys_of_guardrail ON guardrail_keys (org_id, guardrail_id, created_at DESC)",
    """
    CREATE TABLE guardrail_members (
        org_id uuid NOT NULL REFERENCES orgs,
        user_id text NOT NULL,
        assignment_id uuid NOT NULL UNIQUE,
        guardrail_id uuid NOT NULL REFERENCES guardrails,
        assigned_by text NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (org_id, user_id)
    )
    """,
    "CREATE INDEX guardrail_members_of_guardrail ON guardrail_members (org_id, guardrail_id, created_at DESC)",
    "SELECT protect_tenant('guardrails')",
    "SELECT protect_tenant('guardrail_keys')",
    "SELECT protect_tenant('guardrail_members')",
    "CREATE INDEX api_keys_of_creator ON api_keys (org_id, creator_user_id) WHERE creator_user_id <> ''",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
