"""What a key may do besides its limit, and what it spent with customers' own provider keys."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    ALTER TABLE api_keys
        ADD COLUMN limit_reset smallint NOT NULL DEFAULT 0,
        ADD COLUMN include_byok_in_limit boolean NOT NULL DEFAULT false,
        ADD COLUMN allowed_models text[] NOT NULL DEFAULT '{}',
        ADD COLUMN allowed_providers text[] NOT NULL DEFAULT '{}',
        ADD COLUMN ip_ranges text[] NOT NULL DEFAULT '{}',
        ADD COLUMN rate_limits jsonb NOT NULL DEFAULT '[]',
        ADD COLUMN creator_user_id text NOT NULL DEFAULT '',
        ADD COLUMN byok_spent_nano bigint NOT NULL DEFAULT 0,
        ADD COLUMN last_used_at timestamptz
    """,
    "ALTER TABLE key_spend_daily ADD COLUMN byok_nano bigint NOT NULL DEFAULT 0",
)


def upgrade() -> None:
    """Add the columns."""
    for statement in STATEMENTS:
        op.execute(statement)
