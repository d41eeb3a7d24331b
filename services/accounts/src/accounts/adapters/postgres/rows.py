"""Rows to values."""

from __future__ import annotations

from typing import Any, Final

from accounts.domain.accounts import ApiKey, KeyKind, Org, OrgStatus

ORG_COLUMNS: Final = "org_id, name, status, balance_nano, credits_nano, usage_nano, settled_until, revision"
KEY_COLUMNS: Final = (
    "key_id, org_id, digest, name, label, kind, disabled, limit_nano, spent_nano, "
    "created_at, updated_at, expires_at, revision"
)


def org_from_row(row: Any) -> Org:
    """Read a row of ORG_COLUMNS."""
    return Org(
        org_id=row.org_id,
        name=row.name,
        status=OrgStatus(row.status),
        balance=row.balance_nano,
        credits=row.credits_nano,
        usage=row.usage_nano,
        settled_until=row.settled_until,
        revision=row.revision,
    )


def key_from_row(row: Any) -> ApiKey:
    """Read a row of KEY_COLUMNS."""
    return ApiKey(
        key_id=row.key_id,
        org_id=row.org_id,
        digest=row.digest,
        name=row.name,
        label=row.label,
        kind=KeyKind(row.kind),
        disabled=row.disabled,
        limit=row.limit_nano,
        spent=row.spent_nano,
        created_at=row.created_at,
        updated_at=row.updated_at,
        expires_at=row.expires_at,
        revision=row.revision,
    )
