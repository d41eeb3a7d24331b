"""Row-level security: a transaction sees the rows of the organisation that it names.

`turnpike.org_id` is set for each transaction; `*` stands for the installation itself. Without it there are no rows.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    # For later migrations: `SELECT protect_tenant('table')` right after the table was made.
    """
    CREATE FUNCTION protect_tenant(tenant_table regclass) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY tenant ON %s USING ((SELECT current_setting(''turnpike.org_id'', true)) IN (''*'', org_id::text))',
            tenant_table);
    END
    $$
    """,
    "ALTER TABLE key_spend_daily ADD COLUMN org_id uuid REFERENCES orgs",
    """
    UPDATE key_spend_daily AS spend SET org_id = event.org_id
    FROM (SELECT DISTINCT ON (key_id) key_id, org_id FROM settled_events ORDER BY key_id) AS event
    WHERE event.key_id = spend.key_id
    """,
    # A sum without an event can only be one that was corrected to nothing under another key.
    "DELETE FROM key_spend_daily WHERE org_id IS NULL AND nano = 0",
    "ALTER TABLE key_spend_daily ALTER COLUMN org_id SET NOT NULL",
    "SELECT protect_tenant('orgs')",
    "SELECT protect_tenant('api_keys')",
    "SELECT protect_tenant('key_spend_daily')",
    "SELECT protect_tenant('ledger_entries')",
    "SELECT protect_tenant('grants')",
    "SELECT protect_tenant('settled_events')",
)


def upgrade() -> None:
    """Protect the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
