"""Rate limits of organisations and of their workspaces."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column: lists of workspace or "", quantity, interval, amount, model."""
    op.execute("ALTER TABLE orgs ADD COLUMN rate_limits jsonb NOT NULL DEFAULT '[]'")
