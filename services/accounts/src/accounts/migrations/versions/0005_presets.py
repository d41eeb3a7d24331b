"""Presets and their versions."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE presets (
        preset_id uuid PRIMARY KEY,
        org_id uuid NOT NULL REFERENCES orgs (org_id),
        slug text NOT NULL,
        creator_id text NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        -- The newest version is the designated one.
        versions integer NOT NULL,
        UNIQUE (org_id, slug)
    )
    """,
    """
    CREATE TABLE preset_versions (
        preset_id uuid NOT NULL REFERENCES presets (preset_id),
        org_id uuid NOT NULL,
        version integer NOT NULL,
        version_id uuid NOT NULL UNIQUE,
        config bytea NOT NULL,
        system_prompt text,
        creator_id text NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (preset_id, version)
    )
    """,
    "CREATE INDEX presets_by_change ON presets (org_id, updated_at DESC)",
    "SELECT protect_tenant('presets')",
    "SELECT protect_tenant('preset_versions')",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
