"""Finds entries of the ledger by when they were posted, whosever they are."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# Entries come in the order of their posting: a few bytes a block find them.
ADD_INDEX = "CREATE INDEX ledger_entries_by_posting ON ledger_entries USING brin (posted_at) WITH (autosummarize = on)"


def upgrade() -> None:
    """Add the index."""
    op.execute(ADD_INDEX)
