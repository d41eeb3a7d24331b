"""Destinations of broadcast, sealed, and what became of the deliveries to them."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE destinations (
        destination_id uuid PRIMARY KEY,
        org_id uuid NOT NULL REFERENCES orgs,
        workspace_id uuid NOT NULL,
        type smallint NOT NULL,
        name text NOT NULL,
        enabled boolean NOT NULL,
        privacy_mode boolean NOT NULL,
        sampling_rate double precision NOT NULL,
        allowed_digests text[],
        filter_rules bytea,
        broadcasts_cost boolean NOT NULL,
        broadcasts_identity boolean NOT NULL,
        broadcasts_request_context boolean NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        version integer NOT NULL,
        -- AES-256-GCM: the configuration under a data key, the data key under the key-encryption key of this id.
        kek_id text NOT NULL,
        wrapped_key bytea NOT NULL,
        key_nonce bytea NOT NULL,
        ciphertext bytea NOT NULL,
        nonce bytea NOT NULL,
        stopped_at timestamptz,
        deleted_at timestamptz,
        revision bigint NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX destinations_of_workspace ON destinations (org_id, workspace_id, created_at) WHERE deleted_at IS NULL",
    "CREATE UNIQUE INDEX destinations_by_revision ON destinations (revision)",
    "CREATE INDEX destinations_by_kek ON destinations (kek_id, destination_id) WHERE deleted_at IS NULL",
    "SELECT protect_tenant('destinations')",
    """
    CREATE TABLE destination_deliveries (
        destination_id uuid NOT NULL REFERENCES destinations,
        org_id uuid NOT NULL REFERENCES orgs,
        sender text NOT NULL,
        -- The message turnpike.accounts.v1.DeliveryState.
        state bytea NOT NULL,
        reported_at timestamptz NOT NULL,
        PRIMARY KEY (destination_id, sender)
    )
    """,
    "SELECT protect_tenant('destination_deliveries')",
    # A row rather than a sequence: whoever counts holds it until the commit, so revisions become visible in order, and a
    # reader that goes on after the highest it saw misses none.
    "CREATE TABLE destination_revision (value bigint NOT NULL)",
    "INSERT INTO destination_revision VALUES (0)",
    """
    CREATE FUNCTION count_destination_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE destination_revision SET value = value + 1 RETURNING value INTO NEW.revision;
        RETURN NEW;
    END
    $$
    """,
    """
    CREATE TRIGGER destination_changed BEFORE INSERT OR UPDATE ON destinations
    FOR EACH ROW EXECUTE FUNCTION count_destination_change()
    """,
    # A workspace in which broadcasting is switched, or which is deleted, changes its destinations.
    """
    CREATE FUNCTION touch_destinations() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE destinations SET workspace_id = workspace_id WHERE workspace_id = NEW.workspace_id AND deleted_at IS NULL;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER workspace_broadcast_changed
    AFTER UPDATE OF is_observability_broadcast_enabled, deleted_at ON workspaces FOR EACH ROW
    WHEN (OLD.is_observability_broadcast_enabled IS DISTINCT FROM NEW.is_observability_broadcast_enabled
          OR OLD.deleted_at IS DISTINCT FROM NEW.deleted_at)
    EXECUTE FUNCTION touch_destinations()
    """,
)


def upgrade() -> None:
    """Make the tables, and count changes."""
    for statement in STATEMENTS:
        op.execute(statement)
