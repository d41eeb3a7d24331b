"""Organisations, keys, the ledger, settlement, the outbox."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE orgs (
        org_id uuid PRIMARY KEY,
        name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
        status smallint NOT NULL,
        -- The customer account of the ledger: credits_nano - usage_nano, kept here so that a balance is one row.
        balance_nano bigint NOT NULL DEFAULT 0,
        credits_nano bigint NOT NULL DEFAULT 0 CHECK (credits_nano >= 0),
        usage_nano bigint NOT NULL DEFAULT 0 CHECK (usage_nano >= 0),
        settled_until timestamptz,
        revision bigint NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL,
        CHECK (balance_nano = credits_nano - usage_nano)
    )
    """,
    """
    CREATE TABLE api_keys (
        key_id uuid PRIMARY KEY,
        org_id uuid NOT NULL REFERENCES orgs,
        digest text NOT NULL UNIQUE CHECK (length(digest) = 64),
        name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
        label text NOT NULL,
        kind smallint NOT NULL,
        disabled boolean NOT NULL DEFAULT false,
        limit_nano bigint CHECK (limit_nano >= 0),
        spent_nano bigint NOT NULL DEFAULT 0,
        idempotency_key text,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        expires_at timestamptz,
        -- Kept after deletion: a new broker must learn that the key is gone, and its usage still has a name.
        deleted_at timestamptz,
        revision bigint NOT NULL DEFAULT 1,
        UNIQUE (org_id, idempotency_key)
    )
    """,
    "CREATE INDEX api_keys_of_org ON api_keys (org_id, created_at DESC, key_id) WHERE deleted_at IS NULL",
    """
    CREATE TABLE key_spend_daily (
        key_id uuid NOT NULL,
        day date NOT NULL,
        nano bigint NOT NULL,
        PRIMARY KEY (key_id, day)
    )
    """,
    """
    CREATE TABLE ledger_entries (
        entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        -- The usage event, or the grant, that caused it.
        cause_id uuid NOT NULL,
        org_id uuid NOT NULL REFERENCES orgs,
        debit text NOT NULL,
        credit text NOT NULL,
        nano bigint NOT NULL CHECK (nano > 0),
        price_version text NOT NULL DEFAULT '',
        reason text NOT NULL,
        posted_at timestamptz NOT NULL,
        CHECK (debit <> credit)
    )
    """,
    "CREATE INDEX ledger_entries_of_org ON ledger_entries (org_id, entry_id)",
    "CREATE INDEX ledger_entries_of_cause ON ledger_entries (cause_id)",
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the ledger is append-only: post a correction instead';
    END
    $$
    """,
    """
    CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE ON ledger_entries
        FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TRIGGER ledger_is_not_truncated BEFORE TRUNCATE ON ledger_entries
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """,
    """
    CREATE TABLE grants (
        org_id uuid NOT NULL REFERENCES orgs,
        idempotency_key text NOT NULL,
        grant_id uuid NOT NULL,
        nano bigint NOT NULL CHECK (nano > 0),
        PRIMARY KEY (org_id, idempotency_key)
    )
    """,
    """
    CREATE TABLE settled_events (
        event_id uuid PRIMARY KEY,
        rank smallint NOT NULL,
        generation_id text NOT NULL,
        org_id uuid NOT NULL REFERENCES orgs,
        key_id uuid NOT NULL,
        model text NOT NULL,
        provider text NOT NULL,
        endpoint_id text NOT NULL,
        price_version text NOT NULL,
        prompt_tokens bigint NOT NULL,
        completion_tokens bigint NOT NULL,
        cost_nano bigint NOT NULL CHECK (cost_nano >= 0),
        provider_cost_nano bigint NOT NULL CHECK (provider_cost_nano >= 0),
        ended_at timestamptz NOT NULL,
        settled_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX settled_events_of_org ON settled_events (org_id, ended_at)",
    """
    CREATE TABLE quarantine (
        cluster_id text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        record_offset bigint NOT NULL,
        reason text NOT NULL,
        record_key bytea NOT NULL,
        record_value bytea,
        quarantined_at timestamptz NOT NULL,
        PRIMARY KEY (cluster_id, topic, partition, record_offset)
    )
    """,
    """
    CREATE TABLE consumer_offsets (
        cluster_id text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        next_offset bigint NOT NULL,
        PRIMARY KEY (cluster_id, topic, partition)
    )
    """,
    """
    CREATE TABLE outbox (
        message_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        topic text NOT NULL,
        record_key text NOT NULL,
        record_value bytea,
        headers jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE publication (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        cluster_id text NOT NULL,
        published_at timestamptz NOT NULL
    )
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in STATEMENTS:
        op.execute(statement)
