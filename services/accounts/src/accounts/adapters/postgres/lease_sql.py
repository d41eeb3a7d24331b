"""The statements of leases. The row of the organisation is locked first, here as in settlement, and everything else after it."""

from __future__ import annotations

from sqlalchemy import text

from accounts.adapters.postgres.guardrail_sql import COLUMNS as GUARDRAIL_COLUMNS
from accounts.adapters.postgres.rows import KEY_COLUMNS, ORG_COLUMNS

LEASE_COLUMNS = (
    "org_id, lease_id, key_id, edge_id, edge_epoch, resource, windowed, accounts, granted, returned, spent, expires_at, "
    "closes_at, released_at, closed_at"
)

# In the order of their ids and as weakly as settlement locks them too.
LOCK_ORGS = text(
    """
    SELECT org_id, clock_timestamp() AS now FROM orgs
    WHERE org_id = ANY(CAST(:org_ids AS uuid[])) ORDER BY org_id FOR NO KEY UPDATE
    """
)
LOCK_IDLE_ORGS = text(
    """
    SELECT org_id, clock_timestamp() AS now FROM orgs
    WHERE org_id = ANY(CAST(:org_ids AS uuid[])) ORDER BY org_id FOR NO KEY UPDATE SKIP LOCKED
    """
)
LOCK_IDLE_ORG = text("SELECT org_id FROM orgs WHERE org_id = :org_id FOR NO KEY UPDATE SKIP LOCKED")
# After the lock, so that it sees what the one who had it wrote. The columns are constants; every value is a parameter.
ORGS = text(f"SELECT {ORG_COLUMNS} FROM orgs WHERE org_id = ANY(CAST(:org_ids AS uuid[]))")  # noqa: S608 - constant columns
LEASES = text(
    f"""
    SELECT {LEASE_COLUMNS} FROM leases
    WHERE (org_id, lease_id) IN (SELECT * FROM unnest(CAST(:org_ids AS uuid[]), CAST(:lease_ids AS uuid[])))
    """  # noqa: S608 - constant columns
)
KEYS = text(
    f"""
    SELECT {KEY_COLUMNS}, deleted_at FROM api_keys
    WHERE (org_id, key_id) IN (SELECT * FROM unnest(CAST(:org_ids AS uuid[]), CAST(:key_ids AS uuid[])))
    """  # noqa: S608 - constant columns
)
GUARDRAILS = text(
    f"""
    SELECT {GUARDRAIL_COLUMNS} FROM guardrails
    WHERE (org_id, guardrail_id) IN (SELECT * FROM unnest(CAST(:org_ids AS uuid[]), CAST(:guardrail_ids AS uuid[])))
      AND deleted_at IS NULL
    """  # noqa: S608 - constant columns
)
ACCOUNTS = text(
    """
    SELECT org_id, name, held, spent, amount, ends_at FROM lease_accounts
    WHERE (org_id, name) IN (SELECT * FROM unnest(CAST(:org_ids AS uuid[]), CAST(:names AS text[])))
    """
)
FENCES = text("SELECT edge_id, epoch FROM lease_edges WHERE edge_id = ANY(CAST(:edge_ids AS text[]))")
EDGES = text(
    """
    SELECT DISTINCT org_id, edge_id FROM leases
    WHERE org_id = ANY(CAST(:org_ids AS uuid[])) AND closed_at IS NULL AND released_at IS NULL AND expires_at > :now
    """
)

WRITE_LEASES = text(
    """
    INSERT INTO leases (org_id, lease_id, key_id, edge_id, edge_epoch, resource, windowed, accounts, granted, returned,
        spent, expires_at, closes_at, released_at, closed_at, acquired_at)
    SELECT lease.org_id, lease.lease_id, lease.key_id, lease.edge_id, lease.edge_epoch, lease.resource,
           lease.windowed, ARRAY(SELECT jsonb_array_elements_text(lease.accounts)), lease.granted, lease.returned, lease.spent,
           lease.expires_at, lease.closes_at, lease.released_at, lease.closed_at, CAST(:now AS timestamptz)
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:lease_ids AS uuid[]), CAST(:key_ids AS uuid[]), CAST(:edge_ids AS text[]),
                CAST(:edge_epochs AS bigint[]), CAST(:resources AS smallint[]), CAST(:windowed AS boolean[]),
                CAST(:accounts AS jsonb[]), CAST(:granted AS bigint[]), CAST(:returned AS bigint[]),
                CAST(:spent AS bigint[]), CAST(:expires_at AS timestamptz[]), CAST(:closes_at AS timestamptz[]),
                CAST(:released_at AS timestamptz[]), CAST(:closed_at AS timestamptz[]))
        AS lease (org_id, lease_id, key_id, edge_id, edge_epoch, resource, windowed, accounts, granted, returned, spent,
                  expires_at, closes_at, released_at, closed_at)
    ON CONFLICT (org_id, lease_id) DO UPDATE SET accounts = excluded.accounts, granted = excluded.granted,
        returned = excluded.returned, spent = excluded.spent, expires_at = excluded.expires_at,
        closes_at = excluded.closes_at, released_at = excluded.released_at, closed_at = excluded.closed_at
    """
)
WRITE_ACCOUNTS = text(
    """
    INSERT INTO lease_accounts (org_id, name, held, spent, amount, ends_at)
    SELECT account.*
    FROM unnest(CAST(:org_ids AS uuid[]), CAST(:names AS text[]), CAST(:held AS bigint[]), CAST(:spent AS bigint[]),
                CAST(:amounts AS bigint[]), CAST(:ends_at AS timestamptz[])) AS account
    ON CONFLICT (org_id, name) DO UPDATE SET held = excluded.held, spent = excluded.spent, amount = excluded.amount
    """
)
# Several organisations lend to one edge at the same time, so the rows are written in one order.
WRITE_FENCES = text(
    """
    INSERT INTO lease_edges (edge_id, epoch, seen_at)
    SELECT edge.edge_id, edge.epoch, CAST(:now AS timestamptz)
    FROM unnest(CAST(:edge_ids AS text[]), CAST(:epochs AS bigint[])) AS edge (edge_id, epoch) ORDER BY edge.edge_id
    ON CONFLICT (edge_id) DO UPDATE SET epoch = excluded.epoch, seen_at = excluded.seen_at
    WHERE lease_edges.epoch < excluded.epoch
    """
)

# Leases that ended with their windows go with these, see FORGET_WINDOWS; what is due for longer is of a longer window.
DUE_ORGS = text(
    """
    SELECT org_id FROM (
        SELECT org_id, closes_at FROM leases WHERE closed_at IS NULL AND closes_at <= :now
            AND NOT (windowed AND closes_at > CAST(:now AS timestamptz) - interval '3 minutes')
        ORDER BY closes_at LIMIT :most
    ) AS due GROUP BY org_id ORDER BY min(closes_at)
    """
)
DUE = text(
    f"""
    SELECT {LEASE_COLUMNS} FROM leases WHERE org_id = :org_id AND closed_at IS NULL AND closes_at <= :now
    ORDER BY closes_at LIMIT :most
    """  # noqa: S608 - constant columns
)
# A window that is over is nobody's concern any more, and each of them leaves a lease at every edge.
FORGET_ENDED = text("DELETE FROM leases WHERE org_id = :org_id AND lease_id = ANY(CAST(:lease_ids AS uuid[]))")
FORGET_LEASES = text(
    """
    DELETE FROM leases WHERE (org_id, lease_id) IN (
        SELECT org_id, lease_id FROM leases WHERE closed_at < :before ORDER BY closed_at LIMIT :most
        FOR UPDATE SKIP LOCKED
    )
    """
)
# Whatever is held of a window that is over is nobody's concern: it goes with all its leases, of which every edge leaves one. By the clock
# that windows are by, and so late that no transaction from before its end is still there.
FORGET_WINDOWS = text(
    """
    WITH gone AS (
        DELETE FROM lease_accounts WHERE (org_id, name) IN (
            SELECT org_id, name FROM lease_accounts WHERE ends_at < clock_timestamp() - interval '1 minute'
            ORDER BY ends_at LIMIT :most FOR UPDATE SKIP LOCKED
        ) RETURNING org_id, name
    )
    DELETE FROM leases USING gone
    WHERE leases.org_id = gone.org_id AND leases.windowed AND leases.accounts = ARRAY[gone.name]
    """
)
# Its epoch is taken again from its next call.
FORGET_EDGES = text("DELETE FROM lease_edges WHERE seen_at < :before")

# B6, over everything at one moment: what each account holds is the sum of its open leases.
MISMATCHES = text(
    """
    WITH lent AS (
        SELECT org_id, name, sum(greatest(granted - returned - spent, 0)) AS held
        FROM leases, unnest(accounts) AS name WHERE closed_at IS NULL GROUP BY org_id, name
    )
    SELECT count(*) FROM lease_accounts AS account FULL JOIN lent USING (org_id, name)
    WHERE coalesce(account.held, 0) <> coalesce(lent.held, 0)
    """
)

CHARGE = text(
    """
    WITH charged AS (
        UPDATE leases SET spent = greatest(leases.spent + charge.nano, 0),
            -- Nothing more can come back: it was given up, and what it held for generations under way has settled.
            closed_at = CASE WHEN released_at IS NOT NULL AND leases.spent + charge.nano >= granted - returned
                             THEN CAST(:now AS timestamptz) END
        FROM (
            SELECT lease.org_id, lease.lease_id, lease.spent AS before, charge.nano
            FROM unnest(CAST(:org_ids AS uuid[]), CAST(:lease_ids AS uuid[]), CAST(:nanos AS bigint[]))
                AS charge (org_id, lease_id, nano)
            JOIN leases AS lease USING (org_id, lease_id)
            WHERE lease.closed_at IS NULL AND NOT lease.windowed
        ) AS charge
        WHERE leases.org_id = charge.org_id AND leases.lease_id = charge.lease_id
        RETURNING leases.org_id, leases.accounts,
            greatest(granted - returned - charge.before, 0) - greatest(granted - returned - leases.spent, 0) AS freed
    ), freed AS (
        SELECT org_id, name, sum(freed) AS nano FROM charged, unnest(accounts) AS name GROUP BY org_id, name
    )
    UPDATE lease_accounts SET held = held - freed.nano FROM freed
    WHERE lease_accounts.org_id = freed.org_id AND lease_accounts.name = freed.name AND freed.nano <> 0
    """
)
