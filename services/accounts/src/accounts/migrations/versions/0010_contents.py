"""What was said in generations of keys that opted in, encrypted; and what people think of generations."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE api_keys ADD COLUMN logs_content boolean NOT NULL DEFAULT false",
    """
    CREATE TABLE generation_contents (
        generation_id text PRIMARY KEY,
        org_id uuid NOT NULL REFERENCES orgs (org_id),
        key_id uuid NOT NULL,
        -- AES-256-GCM under a key of the organisation: nonce, then ciphertext.
        sealed bytea NOT NULL,
        kept_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX generation_contents_by_end ON generation_contents (expires_at)",
    """
    CREATE TABLE generation_feedback (
        org_id uuid NOT NULL REFERENCES orgs (org_id),
        generation_id text NOT NULL,
        number integer NOT NULL,
        category text NOT NULL,
        comment text NOT NULL,
        submitted_at timestamptz NOT NULL,
        PRIMARY KEY (org_id, generation_id, number)
    )
    """,
    "SELECT protect_tenant('generation_contents')",
    "SELECT protect_tenant('generation_feedback')",
)


def upgrade() -> None:
    """Make the tables, and the switch of a key."""
    for statement in STATEMENTS:
        op.execute(statement)
