"""What providers are owed for cancelled copies of a request."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# By provider, in nano-dollars. Events that were settled before had no copies.
ADD_HEDGES = "ALTER TABLE settled_events ADD COLUMN hedges jsonb NOT NULL DEFAULT '{}'"


def upgrade() -> None:
    """Add the column."""
    op.execute(ADD_HEDGES)
