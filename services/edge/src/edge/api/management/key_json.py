"""API keys in OpenRouter's shape. Amounts are exact decimal numbers in dollars."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from contracts import money
from contracts.rate_limits import LimitedQuantity, RateLimit, rate_limits_from_proto
from contracts.spend import PeriodSpend, SpendInterval, spend_from_proto
from edge.api.http.timestamps import timestamp_json
from turnpike.accounts.v1 import records_pb2

_INTERVALS = {
    records_pb2.SPEND_INTERVAL_DAILY: "daily",
    records_pb2.SPEND_INTERVAL_WEEKLY: "weekly",
    records_pb2.SPEND_INTERVAL_MONTHLY: "monthly",
}


def key_json(key: records_pb2.KeyRecord, now: datetime) -> dict[str, Any]:
    """Describe a key as its managers see it at a moment.

    The last five members are Turnpike's own, `last_used_at` excepted.
    """
    return {
        "hash": key.digest,
        "name": key.name,
        "disabled": key.disabled,
        "created_at": timestamp_json(key.created_at),
        "updated_at": timestamp_json(key.updated_at) if key.HasField("updated_at") else None,
        "workspace_id": key.workspace_id or key.org_id,
        **_shared(key, now),
        "last_used_at": timestamp_json(key.last_used_at) if key.HasField("last_used_at") else None,
        "allowed_models": list(key.allowed_models) or None,
        "allowed_providers": list(key.allowed_providers) or None,
        "ip_ranges": list(key.ip_ranges) or None,
        "rate_limits": rate_limits_json(rate_limits_from_proto(key.rate_limits)),
    }


def own_key_json(key: records_pb2.KeyRecord, now: datetime) -> dict[str, Any]:
    """Describe a key to whoever uses it."""
    is_management = key.kind == records_pb2.KEY_KIND_MANAGEMENT
    return {
        **_shared(key, now),
        "is_free_tier": False,
        "is_management_key": is_management,
        "is_provisioning_key": is_management,
        "organization_id": key.org_id,
        "workspace_id": key.workspace_id or key.org_id,
        # Clients written against older versions read it; nothing is limited by it.
        "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated and safe to ignore."},
        "rate_limits": rate_limits_json(rate_limits_from_proto(key.rate_limits)),
    }


def rate_limits_json(limits: Iterable[RateLimit]) -> list[dict[str, Any]]:
    """Describe rate limits; what is spent is in dollars."""
    return [
        {
            "quantity": limit.quantity.value,
            "interval": limit.interval.value or None,
            "amount": usd_json(limit.amount) if limit.quantity is LimitedQuantity.SPEND else limit.amount,
            "model": limit.model or None,
        }
        for limit in limits
    ]


def usd_json(nano: int) -> msgspec.Raw:
    """Render nano-dollars as an exact number of dollars."""
    return msgspec.Raw(money.usd_text(nano).encode())


def _shared(key: records_pb2.KeyRecord, now: datetime) -> dict[str, Any]:
    limit = key.limit_nano_usd if key.HasField("limit_nano_usd") else None
    today = now.date()
    spend = spend_from_proto(key.spend).at(today)
    interval = SpendInterval(key.limit_reset)
    counted = spend.within(interval, today, with_byok=key.include_byok_in_limit)
    return {
        "label": key.label,
        "limit": None if limit is None else usd_json(limit),
        "limit_remaining": None if limit is None else usd_json(max(limit - counted, 0)),
        "limit_reset": _INTERVALS.get(key.limit_reset),
        "include_byok_in_limit": key.include_byok_in_limit,
        "logs_content": key.logs_content,
        **_usage_json("usage", spend.credit),
        **_usage_json("byok_usage", spend.byok),
        "expires_at": timestamp_json(key.expires_at) if key.HasField("expires_at") else None,
        "creator_user_id": key.creator_user_id or None,
    }


def _usage_json(name: str, spent: PeriodSpend) -> dict[str, msgspec.Raw]:
    return {
        name: usd_json(spent.total),
        f"{name}_daily": usd_json(spent.daily),
        f"{name}_weekly": usd_json(spent.weekly),
        f"{name}_monthly": usd_json(spent.monthly),
    }
