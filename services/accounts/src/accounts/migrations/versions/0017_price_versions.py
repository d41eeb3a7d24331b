"""The price book: every price version that usage may be charged at."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE price_versions (
        version text PRIMARY KEY,
        endpoint_id text NOT NULL,
        -- turnpike.usage.v1.Price: the amounts, for ever.
        price bytea NOT NULL,
        learned_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TRIGGER price_versions_are_immutable BEFORE UPDATE OR DELETE ON price_versions
        FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER price_versions_are_not_truncated BEFORE TRUNCATE ON price_versions
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    "CREATE INDEX suspended_usage_by_price ON suspended_usage (price_version, suspense_id) WHERE state = 1",
)


def upgrade() -> None:
    """Make the table."""
    for statement in STATEMENTS:
        op.execute(statement)
