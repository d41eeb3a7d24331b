"""Rows to values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from google.protobuf import json_format

from accounts.adapters.postgres.workspace_rows import BUDGET_STATES, budget_states_from_json
from accounts.domain.accounts import ApiKey, KeyBonds, KeyKind, Org, OrgStatus
from accounts.domain.key_settings import KeySettings
from accounts.domain.org_limits import OrgLimit
from contracts.guardrails import Guardrail, policy_from_proto
from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit
from contracts.spend import Spend, SpendInterval
from turnpike.accounts.v1 import guardrail_pb2

ORG_COLUMNS: Final = (
    "org_id, name, status, balance_nano, credits_nano, usage_nano, settled_until, revision, byok_revision, byok_month, "
    f"byok_month_nano, CAST(orgs.rate_limits AS text) AS rate_limits, {BUDGET_STATES}"
)
KEY_COLUMNS: Final = (
    "key_id, org_id, digest, name, label, kind, disabled, limit_nano, spent_nano, "
    "workspace_id, created_at, updated_at, expires_at, revision, limit_reset, include_byok_in_limit, creator_user_id, logs_content, "
    "allowed_models, allowed_providers, ip_ranges, CAST(rate_limits AS text) AS rate_limits, byok_spent_nano, last_used_at, "
    "coalesce(lookup_digest, '') AS lookup_digest, coalesce(pepper_id, '') AS pepper_id"
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
        budgets=budget_states_from_json(row.budget_states),
        byok_revision=row.byok_revision,
        byok_month=row.byok_month,
        byok_month_spent=row.byok_month_nano,
        rate_limits=org_limits_from_json(row.rate_limits),
    )


def key_from_row(row: Any, spend: Spend, bonds: KeyBonds) -> ApiKey:
    """Read a row of KEY_COLUMNS, with what the key spent and what binds it."""
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
        settings=KeySettings(
            limit_reset=SpendInterval(row.limit_reset),
            include_byok_in_limit=row.include_byok_in_limit,
            logs_content=row.logs_content,
            creator_user_id=row.creator_user_id,
            allowed_models=tuple(row.allowed_models),
            allowed_providers=tuple(row.allowed_providers),
            ip_ranges=tuple(row.ip_ranges),
            rate_limits=rate_limits_from_json(row.rate_limits),
        ),
        bonds=bonds,
        last_used_at=row.last_used_at,
        workspace_id=row.workspace_id,
        spend=spend,
        lookup_digest=row.lookup_digest,
        pepper_id=row.pepper_id,
    )


def guardrail_from_row(row: Any) -> Guardrail:
    """Read a row of guardrails."""
    return Guardrail(
        guardrail_id=str(row.guardrail_id),
        org_id=str(row.org_id),
        workspace_id=str(row.workspace_id),
        name=row.name,
        policy=policy_from_proto(json_format.Parse(row.policy, guardrail_pb2.GuardrailPolicy())),
        created_at=row.created_at,
        description=row.description,
        is_workspace_default=row.is_workspace_default,
        updated_at=row.updated_at,
        revision=row.revision,
    )


def rate_limits_from_json(document: str) -> tuple[RateLimit, ...]:
    """Read rate limits as they are stored."""
    return tuple(
        RateLimit(LimitedQuantity(quantity), RateInterval(interval), amount, model)
        for quantity, interval, amount, model in json.loads(document)
    )


def rate_limits_to_json(limits: Sequence[RateLimit]) -> str:
    """Write rate limits as they are stored."""
    return json.dumps([(limit.quantity, limit.interval, limit.amount, limit.model) for limit in limits])


def org_limits_from_json(document: str) -> tuple[OrgLimit, ...]:
    """Read rate limits of an organisation as they are stored."""
    return tuple(
        OrgLimit(
            UUID(workspace_id) if workspace_id else None,
            RateLimit(LimitedQuantity(quantity), RateInterval(interval), amount, model),
        )
        for workspace_id, quantity, interval, amount, model in json.loads(document)
    )


def org_limits_to_json(limits: Sequence[OrgLimit]) -> str:
    """Write rate limits of an organisation as they are stored."""
    return json.dumps(
        [
            (
                "" if each.workspace_id is None else str(each.workspace_id),
                each.limit.quantity,
                each.limit.interval,
                each.limit.amount,
                each.limit.model,
            )
            for each in limits
        ]
    )
