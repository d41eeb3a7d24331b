"""Customers' own provider keys, sealed, and what is spent with them."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE byok_keys (
        byok_key_id uuid PRIMARY KEY,
        org_id uuid NOT NULL REFERENCES orgs,
        workspace_id uuid NOT NULL,
        provider text NOT NULL,
        label text NOT NULL,
        sort_order integer NOT NULL,
        created_at timestamptz NOT NULL,
        version integer NOT NULL,
        name text NOT NULL,
        disabled boolean NOT NULL,
        is_fallback boolean NOT NULL,
        is_required boolean NOT NULL,
        allowed_models text[],
        allowed_digests text[],
        allowed_user_ids text[],
        -- AES-256-GCM: the key under a data key, the data key under the key-encryption key of this id.
        kek_id text NOT NULL,
        wrapped_key bytea NOT NULL,
        key_nonce bytea NOT NULL,
        ciphertext bytea NOT NULL,
        nonce bytea NOT NULL,
        deleted_at timestamptz
    )
    """,
    "CREATE INDEX byok_keys_of_org ON byok_keys (org_id, provider, sort_order) WHERE deleted_at IS NULL",
    "CREATE INDEX byok_keys_by_kek ON byok_keys (kek_id, byok_key_id) WHERE deleted_at IS NULL",
    "SELECT protect_tenant('byok_keys')",
    """
    ALTER TABLE orgs
        ADD COLUMN byok_revision bigint NOT NULL DEFAULT 0,
        -- At list price, in the latest month that anything was spent in.
        ADD COLUMN byok_month date NOT NULL DEFAULT '1970-01-01',
        ADD COLUMN byok_month_nano bigint NOT NULL DEFAULT 0
    """,
    "ALTER TABLE settled_events ADD COLUMN is_byok boolean NOT NULL DEFAULT false",
)


def upgrade() -> None:
    """Make the table and add the columns."""
    for statement in STATEMENTS:
        op.execute(statement)
