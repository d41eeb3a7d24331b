"""The statements of guardrails."""

from __future__ import annotations

from sqlalchemy import text

COLUMNS = (
    "guardrail_id, org_id, workspace_id, name, description, is_workspace_default, CAST(policy AS text) AS policy, "
    "created_at, updated_at, revision"
)

INSERT = text(
    """
    INSERT INTO guardrails (guardrail_id, org_id, workspace_id, name, description, is_workspace_default, policy,
                            limit_nano, created_at, updated_at, revision)
    VALUES (:guardrail_id, :org_id, :workspace_id, :name, :description, :is_workspace_default, CAST(:policy AS jsonb),
            :limit_nano, :created_at, :updated_at, :revision)
    """
)
# The columns are constants of this module; every value is a parameter.
PAGE = text(
    f"""
    SELECT {COLUMNS} FROM guardrails WHERE org_id = :org_id AND workspace_id = :workspace_id AND deleted_at IS NULL
    ORDER BY created_at DESC, guardrail_id LIMIT :limit OFFSET :offset
    """  # noqa: S608 - constant columns
)
COUNT = text(
    "SELECT count(*) FROM guardrails WHERE org_id = :org_id AND workspace_id = :workspace_id AND deleted_at IS NULL"
)
GET = text(
    f"""
    SELECT {COLUMNS} FROM guardrails
    WHERE org_id = :org_id AND guardrail_id = :guardrail_id AND deleted_at IS NULL
    """  # noqa: S608 - constant columns
)
EVERY = text(
    f"""
    SELECT {COLUMNS}, deleted_at FROM guardrails WHERE guardrail_id > :after ORDER BY guardrail_id LIMIT :limit
    """  # noqa: S608 - constant columns
)
REPLACE = text(
    """
    UPDATE guardrails SET name = :name, description = :description, policy = CAST(:policy AS jsonb),
        limit_nano = :limit_nano, updated_at = :updated_at, revision = :revision
    WHERE org_id = :org_id AND guardrail_id = :guardrail_id AND deleted_at IS NULL AND revision = :revision - 1
    RETURNING guardrail_id
    """
)
DELETE = text(
    """
    UPDATE guardrails SET deleted_at = :now, revision = revision + 1
    WHERE org_id = :org_id AND guardrail_id = :guardrail_id AND deleted_at IS NULL RETURNING revision
    """
)
KEYS_BY_DIGEST = text(
    """
    SELECT key_id, digest FROM api_keys
    WHERE org_id = :org_id AND digest = ANY(CAST(:digests AS text[])) AND deleted_at IS NULL
    """
)
# Deleted ones too: they may be bound still.
COUNT_EVER_KEYS = text(
    "SELECT count(*) FROM api_keys WHERE org_id = :org_id AND digest = ANY(CAST(:digests AS text[]))"
)
BOUND_MEMBERS = text(
    "SELECT user_id FROM guardrail_members WHERE org_id = :org_id AND user_id = ANY(CAST(:user_ids AS text[]))"
)
BIND_KEYS = text(
    """
    INSERT INTO guardrail_keys (key_id, assignment_id, org_id, guardrail_id, assigned_by, created_at)
    SELECT bound.*, CAST(:org_id AS uuid), CAST(:guardrail_id AS uuid), :assigned_by, CAST(:now AS timestamptz)
    FROM unnest(CAST(:key_ids AS uuid[]), CAST(:assignment_ids AS uuid[])) AS bound
    ON CONFLICT (key_id) DO UPDATE SET assignment_id = excluded.assignment_id, guardrail_id = excluded.guardrail_id,
        assigned_by = excluded.assigned_by, created_at = excluded.created_at
    """
)
BIND_MEMBERS = text(
    """
    INSERT INTO guardrail_members (user_id, assignment_id, org_id, guardrail_id, assigned_by, created_at)
    SELECT bound.*, CAST(:org_id AS uuid), CAST(:guardrail_id AS uuid), :assigned_by, CAST(:now AS timestamptz)
    FROM unnest(CAST(:user_ids AS text[]), CAST(:assignment_ids AS uuid[])) AS bound
    ON CONFLICT (org_id, user_id) DO UPDATE SET assignment_id = excluded.assignment_id,
        guardrail_id = excluded.guardrail_id, assigned_by = excluded.assigned_by, created_at = excluded.created_at
    """
)
FREE_KEYS = text(
    """
    DELETE FROM guardrail_keys USING api_keys
    WHERE guardrail_keys.key_id = api_keys.key_id AND guardrail_keys.org_id = :org_id
      AND guardrail_keys.guardrail_id = :guardrail_id
      AND (:everybody OR api_keys.digest = ANY(CAST(:digests AS text[])))
    RETURNING guardrail_keys.key_id
    """
)
FREE_MEMBERS = text(
    """
    DELETE FROM guardrail_members
    WHERE org_id = :org_id AND guardrail_id = :guardrail_id
      AND (:everybody OR user_id = ANY(CAST(:user_ids AS text[])))
    RETURNING user_id
    """
)
KEYS_OF_MEMBERS = text(
    """
    SELECT key_id FROM api_keys
    WHERE org_id = :org_id AND creator_user_id = ANY(CAST(:user_ids AS text[])) AND deleted_at IS NULL
    """
)
ASSIGNED_KEYS = text(
    """
    SELECT bound.assignment_id, bound.guardrail_id, bound.assigned_by, bound.created_at, api_keys.digest,
           api_keys.name, api_keys.label, '' AS user_id, count(*) OVER () AS total
    FROM guardrail_keys AS bound JOIN api_keys USING (key_id)
    WHERE bound.org_id = :org_id AND (CAST(:guardrail_id AS uuid) IS NULL OR bound.guardrail_id = :guardrail_id)
      AND api_keys.deleted_at IS NULL
    ORDER BY bound.created_at DESC, bound.assignment_id LIMIT :limit OFFSET :offset
    """
)
ASSIGNED_MEMBERS = text(
    """
    SELECT assignment_id, guardrail_id, assigned_by, created_at, '' AS digest, '' AS name, '' AS label, user_id,
           count(*) OVER () AS total
    FROM guardrail_members
    WHERE org_id = :org_id AND (CAST(:guardrail_id AS uuid) IS NULL OR guardrail_id = :guardrail_id)
    ORDER BY created_at DESC, assignment_id LIMIT :limit OFFSET :offset
    """
)
