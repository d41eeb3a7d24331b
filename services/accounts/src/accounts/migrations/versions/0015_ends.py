"""Finds settled events by their end, whosever they are."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# Events come nearly in the order of their ends, so a few bytes a block find them, and settlement hardly writes more.
ADD_INDEX = "CREATE INDEX settled_events_by_end ON settled_events USING brin (ended_at) WITH (autosummarize = on)"


def upgrade() -> None:
    """Add the index."""
    op.execute(ADD_INDEX)
