"""What workspaces spend with the organisation's own provider keys, beside what they spend of credit."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE workspaces ADD COLUMN byok_spent_nano bigint NOT NULL DEFAULT 0",
    "ALTER TABLE workspace_spend_daily ADD COLUMN byok_nano bigint NOT NULL DEFAULT 0",
    # What was spent so far is known by key, and a key belongs to one workspace for good.
    """
    INSERT INTO workspace_spend_daily AS daily (workspace_id, org_id, day, nano, byok_nano)
    SELECT coalesce(key.workspace_id, spend.org_id), spend.org_id, spend.day, 0, sum(spend.byok_nano)
    FROM key_spend_daily AS spend LEFT JOIN api_keys AS key USING (key_id)
    WHERE spend.byok_nano <> 0 GROUP BY 1, 2, 3
    ON CONFLICT (workspace_id, day) DO UPDATE SET byok_nano = excluded.byok_nano
    """,
    """
    UPDATE workspaces SET byok_spent_nano = total.nano
    FROM (SELECT workspace_id, sum(byok_nano) AS nano FROM workspace_spend_daily GROUP BY 1) AS total
    WHERE workspaces.workspace_id = total.workspace_id
    """,
)


def upgrade() -> None:
    """Add the columns."""
    for statement in STATEMENTS:
        op.execute(statement)
