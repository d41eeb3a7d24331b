"""People, members, invitations, workspaces with their budgets, sessions, codes, and the audit log."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    # A person belongs to no organisation, or to many; these four are the installation's.
    """
    CREATE TABLE users (
        user_id uuid PRIMARY KEY,
        -- Lower case: two spellings of one address are one person.
        email text NOT NULL UNIQUE CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 254),
        first_name text,
        last_name text,
        -- argon2id; NULL for people who sign in elsewhere only.
        password_hash text,
        created_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE user_identities (
        issuer text NOT NULL,
        subject text NOT NULL,
        user_id uuid NOT NULL REFERENCES users,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (issuer, subject)
    )
    """,
    """
    CREATE TABLE sessions (
        session_id uuid PRIMARY KEY,
        token_digest text NOT NULL UNIQUE CHECK (length(token_digest) = 64),
        user_id uuid NOT NULL REFERENCES users,
        -- The organisation that the session is in; NULL while its user is in none.
        current_org_id uuid,
        method text NOT NULL,
        ip text NOT NULL,
        created_at timestamptz NOT NULL,
        used_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        ended_at timestamptz
    )
    """,
    "CREATE INDEX sessions_of_user ON sessions (user_id) WHERE ended_at IS NULL",
    """
    CREATE TABLE sign_in_failures (
        -- An address, or the digest of an account's email.
        subject text PRIMARY KEY,
        count integer NOT NULL,
        since timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE oidc_flows (
        state_digest text PRIMARY KEY,
        nonce text NOT NULL,
        code_verifier text NOT NULL,
        expires_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE members (
        org_id uuid NOT NULL REFERENCES orgs,
        user_id uuid NOT NULL REFERENCES users,
        role smallint NOT NULL CHECK (role BETWEEN 1 AND 5),
        created_at timestamptz NOT NULL,
        PRIMARY KEY (org_id, user_id)
    )
    """,
    "CREATE INDEX members_of_user ON members (user_id)",
    """
    CREATE TABLE invitations (
        invitation_id uuid PRIMARY KEY,
        org_id uuid NOT NULL REFERENCES orgs,
        email text NOT NULL,
        role smallint NOT NULL CHECK (role BETWEEN 1 AND 5),
        token_digest text NOT NULL UNIQUE,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        accepted_at timestamptz,
        revoked_at timestamptz
    )
    """,
    # One open invitation for an address.
    """
    CREATE UNIQUE INDEX open_invitations ON invitations (org_id, email)
        WHERE accepted_at IS NULL AND revoked_at IS NULL
    """,
    """
    CREATE TABLE workspaces (
        workspace_id uuid PRIMARY KEY,
        org_id uuid NOT NULL REFERENCES orgs,
        name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
        slug text NOT NULL CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(slug) <= 50),
        description text,
        default_text_model text,
        default_image_model text,
        default_provider_sort text,
        io_logging_api_key_ids bigint[],
        io_logging_sampling_rate text NOT NULL DEFAULT '1',
        is_data_discount_logging_enabled boolean NOT NULL DEFAULT false,
        is_observability_broadcast_enabled boolean NOT NULL DEFAULT false,
        is_observability_io_logging_enabled boolean NOT NULL DEFAULT false,
        include_byok_in_budgets boolean NOT NULL DEFAULT false,
        spent_nano bigint NOT NULL DEFAULT 0,
        created_by uuid,
        created_at timestamptz NOT NULL,
        updated_at timestamptz,
        deleted_at timestamptz,
        CHECK (workspace_id <> org_id OR deleted_at IS NULL)
    )
    """,
    "CREATE UNIQUE INDEX workspace_slugs ON workspaces (org_id, slug) WHERE deleted_at IS NULL",
    # The default workspace has the id of its organisation, so that it needs no look-up.
    """
    INSERT INTO workspaces (workspace_id, org_id, name, slug, created_at, spent_nano)
    SELECT org_id, org_id, 'Default', 'default', created_at, usage_nano FROM orgs
    """,
    """
    CREATE TABLE workspace_members (
        membership_id uuid PRIMARY KEY,
        org_id uuid NOT NULL,
        workspace_id uuid NOT NULL REFERENCES workspaces,
        user_id uuid NOT NULL,
        created_at timestamptz NOT NULL,
        UNIQUE (workspace_id, user_id),
        -- Who leaves the organisation leaves its workspaces.
        FOREIGN KEY (org_id, user_id) REFERENCES members ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE workspace_budgets (
        budget_id uuid NOT NULL,
        org_id uuid NOT NULL REFERENCES orgs,
        workspace_id uuid NOT NULL REFERENCES workspaces,
        -- 1 daily, 2 weekly, 3 monthly, 4 lifetime.
        interval smallint NOT NULL CHECK (interval BETWEEN 1 AND 4),
        limit_nano bigint NOT NULL CHECK (limit_nano > 0),
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (workspace_id, interval)
    )
    """,
    "CREATE INDEX workspace_budgets_of_org ON workspace_budgets (org_id)",
    """
    CREATE TABLE workspace_spend_daily (
        workspace_id uuid NOT NULL,
        org_id uuid NOT NULL,
        day date NOT NULL,
        nano bigint NOT NULL,
        PRIMARY KEY (workspace_id, day)
    )
    """,
    # What was spent before there were workspaces was spent in the default one.
    """
    INSERT INTO workspace_spend_daily (workspace_id, org_id, day, nano)
    SELECT org_id, org_id, day, sum(nano) FROM key_spend_daily GROUP BY org_id, day
    """,
    "ALTER TABLE api_keys ADD COLUMN workspace_id uuid REFERENCES workspaces",
    "UPDATE api_keys SET workspace_id = org_id",
    "ALTER TABLE api_keys ALTER COLUMN workspace_id SET NOT NULL",
    "CREATE INDEX api_keys_of_workspace ON api_keys (workspace_id) WHERE deleted_at IS NULL",
    """
    CREATE TABLE auth_codes (
        code_digest text PRIMARY KEY,
        code_id uuid NOT NULL,
        org_id uuid NOT NULL REFERENCES orgs,
        workspace_id uuid NOT NULL REFERENCES workspaces,
        user_id uuid,
        challenge text,
        challenge_method text,
        key_label text NOT NULL,
        limit_nano bigint,
        limit_reset smallint NOT NULL DEFAULT 0,
        key_expires_at timestamptz,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE audit_entries (
        org_id uuid NOT NULL REFERENCES orgs,
        sequence bigint NOT NULL CHECK (sequence > 0),
        occurred_at timestamptz NOT NULL,
        actor_kind text NOT NULL,
        actor_id text NOT NULL,
        action text NOT NULL,
        target text NOT NULL,
        -- Canonical JSON, as it was hashed.
        before text NOT NULL,
        after text NOT NULL,
        ip text NOT NULL,
        request_id text NOT NULL,
        previous_digest text NOT NULL,
        digest text NOT NULL,
        PRIMARY KEY (org_id, sequence)
    )
    """,
    # Where the chain of an organisation ends: the row that appending locks.
    """
    CREATE TABLE audit_heads (
        org_id uuid PRIMARY KEY REFERENCES orgs,
        sequence bigint NOT NULL,
        digest text NOT NULL
    )
    """,
    """
    CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% is append-only: add a correction instead', TG_TABLE_NAME;
    END
    $$
    """,
    """
    CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON audit_entries
        FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER audit_is_not_truncated BEFORE TRUNCATE ON audit_entries
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    "SELECT protect_tenant('members')",
    "SELECT protect_tenant('invitations')",
    "SELECT protect_tenant('workspaces')",
    "SELECT protect_tenant('workspace_members')",
    "SELECT protect_tenant('workspace_budgets')",
    "SELECT protect_tenant('workspace_spend_daily')",
    "SELECT protect_tenant('auth_codes')",
    "SELECT protect_tenant('audit_entries')",
    "SELECT protect_tenant('audit_heads')",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
