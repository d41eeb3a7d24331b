"""A key may be looked up by a digest under a later pepper than the one that it was made under."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# Without a default, so that no row is written; `digest` stays, because it is the public hash of the key.
ADD_COLUMNS = """
    ALTER TABLE api_keys
        ADD COLUMN lookup_digest text CHECK (length(lookup_digest) = 64),
        ADD COLUMN pepper_id text CHECK (length(pepper_id) = 16)
"""
ADD_INDEX = """
    CREATE UNIQUE INDEX api_keys_lookup_digest ON api_keys (lookup_digest) WHERE lookup_digest IS NOT NULL
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(ADD_COLUMNS)
    op.execute(ADD_INDEX)
