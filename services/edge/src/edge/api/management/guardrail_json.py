"""Guardrails in OpenRouter's shape. What a guardrail says nothing about is null."""

from __future__ import annotations

from typing import Any

from contracts.guardrails import RETENTION_GROUPS, guardrail_from_proto
from contracts.spend import SpendInterval
from edge.api.http.timestamps import timestamp_json
from edge.api.management.key_json import rate_limits_json, usd_json
from edge.guardrails.content_filters import builtin_label
from turnpike.accounts.v1 import guardrail_pb2, guardrail_service_pb2


def guardrail_json(record: guardrail_pb2.GuardrailRecord) -> dict[str, Any]:
    """Describe a guardrail."""
    guardrail = guardrail_from_proto(record)
    policy = guardrail.policy
    retention = {f"enforce_zdr_{group}": policy.retention.get(group) for group in RETENTION_GROUPS}
    said = set(retention.values())
    return {
        "id": guardrail.guardrail_id,
        "name": guardrail.name,
        "description": guardrail.description or None,
        "workspace_id": guardrail.workspace_id or None,
        "limit_usd": None if policy.limit is None else usd_json(policy.limit),
        "reset_interval": None if policy.reset_interval is SpendInterval.NEVER else policy.reset_interval.name.lower(),
        "include_byok_in_budgets": policy.include_byok_in_budgets,
        "allowed_models": policy.allowed_models,
        "ignored_models": policy.ignored_models,
        "allowed_providers": policy.allowed_providers,
        "ignored_providers": policy.ignored_providers,
        "enforce_zdr": said.pop() if len(said) == 1 else None,
        **retention,
        "enable_paid_model_training": policy.paid_training,
        "enable_free_model_training": policy.free_training,
        "enable_free_model_publication": policy.free_publication,
        "content_filters": [
            {"pattern": each.pattern, "label": each.label or None, "action": each.action.value}
            for each in policy.filters
        ]
        or None,
        "content_filter_builtins": [
            {
                "slug": each.slug,
                "action": each.action.value,
                "label": builtin_label(each.slug),
                "scan_scope": "user_only" if each.user_only else "all_messages",
            }
            for each in policy.builtins
        ]
        or None,
        "rate_limits": rate_limits_json(policy.rate_limits),
        "created_at": timestamp_json(record.created_at),
        "updated_at": timestamp_json(record.updated_at) if record.HasField("updated_at") else None,
    }


def key_assignment_json(assignment: guardrail_service_pb2.Assignment) -> dict[str, Any]:
    """Describe that a guardrail binds a key."""
    return {
        "id": assignment.assignment_id,
        "guardrail_id": assignment.guardrail_id,
        "key_hash": assignment.key_digest,
        "key_name": assignment.key_name,
        "key_label": assignment.key_label,
        "assigned_by": assignment.assigned_by or None,
        "created_at": timestamp_json(assignment.created_at),
    }


def member_assignment_json(assignment: guardrail_service_pb2.Assignment, org_id: str) -> dict[str, Any]:
    """Describe that a guardrail binds a member."""
    return {
        "id": assignment.assignment_id,
        "guardrail_id": assignment.guardrail_id,
        "user_id": assignment.user_id,
        "organization_id": org_id,
        "assigned_by": assignment.assigned_by or None,
        "created_at": timestamp_json(assignment.created_at),
    }
