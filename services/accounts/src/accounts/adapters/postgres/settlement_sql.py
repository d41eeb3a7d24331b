"""The statements of a settlement. Each takes whole columns, so that a batch costs a handful of round trips."""

from __future__ import annotations

from sqlalchemy import text

from accounts.adapters.postgres.rows import KEY_COLUMNS, ORG_COLUMNS

# Not `FOR UPDATE`, which checks of foreign keys wait for: who has locked a workspace or a key, and then adds a row of the
# organisation, would wait for settlement, and settlement for the workspace or the key.
LOCK_ORGS = text(
    "SELECT org_id FROM orgs WHERE org_id = ANY(CAST(:org_ids AS uuid[])) ORDER BY org_id FOR NO KEY UPDATE"
)

POSTED = text(
    """
    SELECT event_id, rank, org_id, key_id, provider, ended_at, cost_nano, provider_cost_nano,
           CAST(hedges AS text) AS hedges, is_byok
    FROM settled_events
    WHERE event_id = ANY(CAST(:event_ids AS uuid[])) ORDER BY event_id FOR UPDATE
    """
)

# All but the ids of events are texts of arrays, see `array_literals`.
_EVENTS = """
    unnest(CAST(:event_ids AS uuid[]), CAST(CAST(:ranks AS text) AS smallint[]),
           CAST(CAST(:generation_ids AS text) AS text[]), CAST(CAST(:org_ids AS text) AS uuid[]),
           CAST(CAST(:key_ids AS text) AS uuid[]), CAST(CAST(:models AS text) AS text[]),
           CAST(CAST(:providers AS text) AS text[]), CAST(CAST(:endpoint_ids AS text) AS text[]),
           CAST(CAST(:price_versions AS text) AS text[]), CAST(CAST(:prompt_tokens AS text) AS bigint[]),
           CAST(CAST(:completion_tokens AS text) AS bigint[]), CAST(CAST(:costs AS text) AS bigint[]),
           CAST(CAST(:provider_costs AS text) AS bigint[]), CAST(CAST(:hedges AS text) AS jsonb[]),
           CAST(CAST(:ended AS text) AS timestamptz[]), CAST(CAST(:byok AS text) AS boolean[]))
    AS event (event_id, rank, generation_id, org_id, key_id, model, provider, endpoint_id, price_version,
              prompt_tokens, completion_tokens, cost_nano, provider_cost_nano, hedges, ended_at,
              is_byok)
"""

# The interpolated parts below are constants of this module; every value is a parameter.
INSERT_EVENTS = text(
    f"""
    INSERT INTO settled_events (event_id, rank, generation_id, org_id, key_id, model, provider, endpoint_id,
        price_version, prompt_tokens, completion_tokens, cost_nano, provider_cost_nano, hedges, ended_at, is_byok,
        settled_at)
    SELECT event.*, CAST(:now AS timestamptz) FROM {_EVENTS}
    """  # noqa: S608 - constant columns
)

CORRECT_EVENTS = text(
    f"""
    UPDATE settled_events AS settled SET rank = event.rank, key_id = event.key_id, model = event.model, provider = event.provider,
        endpoint_id = event.endpoint_id, price_version = event.price_version, prompt_tokens = event.prompt_tokens,
        completion_tokens = event.completion_tokens, cost_nano = event.cost_nano,
        provider_cost_nano = event.provider_cost_nano, hedges = event.hedges, ended_at = event.ended_at,
        is_byok = event.is_byok,
        settled_at = CAST(:now AS timestamptz)
    FROM {_EVENTS} WHERE settled.event_id = event.event_id
    """  # noqa: S608 - constant columns
)

INSERT_ENTRIES = text(
    """
    INSERT INTO ledger_entries (cause_id, org_id, debit, credit, nano, price_version, reason, posted_at)
    SELECT entry.*, CAST(:now AS timestamptz)
    FROM unnest(CAST(:cause_ids AS uuid[]), CAST(CAST(:org_ids AS text) AS uuid[]),
                CAST(CAST(:debits AS text) AS text[]), CAST(CAST(:credits AS text) AS text[]),
                CAST(CAST(:nanos AS text) AS bigint[]), CAST(CAST(:price_versions AS text) AS text[]),
                CAST(CAST(:reasons AS text) AS text[])) AS entry
    """
)

# The rows are locked by LOCK_ORGS already, in order.
CHARGE_ORGS = text(
    f"""
    UPDATE orgs SET balance_nano = balance_nano - charge.nano, usage_nano = usage_nano + charge.nano,
        settled_until = greatest(settled_until, charge.until), revision = revision + 1,
        -- The latest month only: what is spent in it decides the fee.
        byok_month_nano = CASE WHEN byok_month = charge.month THEN greatest(byok_month_nano + charge.byok, 0)
                               WHEN byok_month > charge.month THEN byok_month_nano ELSE greatest(charge.byok, 0) END,
        byok_month = greatest(byok_month, charge.month)
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:nanos AS bigint[]), CAST(:untils AS timestamptz[]),
                CAST(:months AS date[]), CAST(:byok AS bigint[]))
        AS charge (charged_id, nano, until, month, byok)
    WHERE orgs.org_id = charge.charged_id RETURNING {ORG_COLUMNS}
    """  # noqa: S608 - constant columns
)

# Organisations where a guardrail has a budget: their edges must know what every key spends, and what its maker does.
BUDGETED_ORGS = text(
    """
    SELECT DISTINCT org_id FROM guardrails
    WHERE org_id = ANY(CAST(:org_ids AS uuid[])) AND limit_nano IS NOT NULL AND deleted_at IS NULL
    """
)

KEYS_OF_SAME_CREATORS = text(
    """
    SELECT other.key_id FROM api_keys AS used JOIN api_keys AS other USING (org_id, creator_user_id)
    WHERE used.key_id = ANY(CAST(:key_ids AS uuid[])) AND used.org_id = ANY(CAST(:org_ids AS uuid[]))
      AND used.creator_user_id <> '' AND other.deleted_at IS NULL
    """
)

LOCK_KEYS = text(
    "SELECT key_id FROM api_keys WHERE key_id = ANY(CAST(:key_ids AS uuid[])) ORDER BY key_id FOR NO KEY UPDATE"
)

CHARGE_KEYS = text(
    f"""
    UPDATE api_keys SET spent_nano = spent_nano + charge.nano, byok_spent_nano = byok_spent_nano + charge.byok,
        revision = revision + 1, last_used_at = greatest(last_used_at, charge.used_at)
    FROM unnest(CAST(:key_ids AS uuid[]), CAST(:nanos AS bigint[]), CAST(:byok AS bigint[]), CAST(:used AS timestamptz[]))
        AS charge (charged_id, nano, byok, used_at)
    WHERE api_keys.key_id = charge.charged_id RETURNING {KEY_COLUMNS}, deleted_at
    """  # noqa: S608 - constant columns
)

ADD_DAILY_SPEND = text(
    """
    INSERT INTO key_spend_daily (key_id, org_id, day, nano, byok_nano)
    SELECT * FROM unnest(CAST(:key_ids AS uuid[]), CAST(:org_ids AS uuid[]), CAST(:days AS date[]),
                         CAST(:nanos AS bigint[]), CAST(:byok AS bigint[]))
    ON CONFLICT (key_id, day) DO UPDATE SET nano = key_spend_daily.nano + excluded.nano,
        byok_nano = key_spend_daily.byok_nano + excluded.byok_nano
    """
)

# Before CHARGE_ORGS, which reads what workspaces spent. The rows are safe from others, because their organisations are locked.
# What an unknown key spent is the default workspace's.
CHARGE_WORKSPACES = text(
    """
    WITH spent AS (
        SELECT coalesce(key.workspace_id, spend.org_id) AS workspace_id, spend.org_id, spend.day, sum(spend.nano) AS nano,
               sum(spend.byok_nano) AS byok_nano
        FROM unnest(CAST(:key_ids AS uuid[]), CAST(:org_ids AS uuid[]), CAST(:days AS date[]), CAST(:nanos AS bigint[]),
                    CAST(:byok AS bigint[])) AS spend (key_id, org_id, day, nano, byok_nano)
        LEFT JOIN api_keys AS key ON key.key_id = spend.key_id AND key.org_id = spend.org_id
        GROUP BY 1, 2, 3
    ), by_day AS (
        INSERT INTO workspace_spend_daily (workspace_id, org_id, day, nano, byok_nano)
        SELECT workspace_id, org_id, day, nano, byok_nano FROM spent
        ON CONFLICT (workspace_id, day) DO UPDATE SET nano = workspace_spend_daily.nano + excluded.nano,
            byok_nano = workspace_spend_daily.byok_nano + excluded.byok_nano
    )
    UPDATE workspaces SET spent_nano = spent_nano + total.nano, byok_spent_nano = byok_spent_nano + total.byok_nano
    FROM (SELECT workspace_id, sum(nano) AS nano, sum(byok_nano) AS byok_nano FROM spent GROUP BY 1) AS total
    WHERE workspaces.workspace_id = total.workspace_id
    """
)

QUARANTINE = text(
    """
    INSERT INTO quarantine (cluster_id, topic, partition, record_offset, reason, record_key, record_value,
                            quarantined_at)
    VALUES (:cluster_id, :topic, :partition, :record_offset, :reason, :record_key, :record_value, :now)
    ON CONFLICT DO NOTHING
    """
)

# Backwards too, as when a topic was made anew: what is read again counts once, what is skipped would be lost.
MOVE_OFFSET = text(
    """
    INSERT INTO consumer_offsets (cluster_id, topic, partition, next_offset)
    VALUES (:cluster_id, :topic, :partition, :next_offset)
    ON CONFLICT (cluster_id, topic, partition)
    DO UPDATE SET next_offset = excluded.next_offset
    """
)
