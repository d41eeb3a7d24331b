"""API keys in OpenRouter's shape. Amounts are exact decimal numbers in dollars."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts import money
from edge.api.http.timestamps import timestamp_json
from turnpike.accounts.v1 import key_service_pb2, records_pb2

_ZERO = msgspec.Raw(b"0")
# Usage of callers' own provider keys, which there are none of.
_NO_BYOK = {f"byok_usage{period}": _ZERO for period in ("", "_daily", "_weekly", "_monthly")}


def key_json(found: key_service_pb2.GetKeyResponse) -> dict[str, Any]:
    """Describe a key as its managers see it."""
    key = found.key
    return {
        "hash": key.digest,
        "name": key.name,
        "disabled": key.disabled,
        "created_at": timestamp_json(key.created_at),
        "updated_at": timestamp_json(key.updated_at) if key.HasField("updated_at") else None,
        "workspace_id": key.org_id,
        **_shared(found),
    }


def own_key_json(found: key_service_pb2.GetKeyResponse) -> dict[str, Any]:
    """Describe a key to whoever uses it."""
    is_management = found.key.kind == records_pb2.KEY_KIND_MANAGEMENT
    return {
        **_shared(found),
        "is_free_tier": False,
        "is_management_key": is_management,
        "is_provisioning_key": is_management,
        "organization_id": found.key.org_id,
        "workspace_id": found.key.org_id,
        # Clients written against older versions read it; nothing is limited by it.
        "rate_limit": {"requests": -1, "interval": "10s", "note": "This field is deprecated and safe to ignore."},
    }


def _shared(found: key_service_pb2.GetKeyResponse) -> dict[str, Any]:
    key = found.key
    limit = key.limit_nano_usd if key.HasField("limit_nano_usd") else None
    return {
        "label": key.label,
        "limit": None if limit is None else _usd(limit),
        "limit_remaining": None if limit is None else _usd(max(limit - key.spent_nano_usd, 0)),
        "limit_reset": None,
        "include_byok_in_limit": False,
        "usage": _usd(key.spent_nano_usd),
        "usage_daily": _usd(found.spent_daily_nano_usd),
        "usage_weekly": _usd(found.spent_weekly_nano_usd),
        "usage_monthly": _usd(found.spent_monthly_nano_usd),
        **_NO_BYOK,
        "expires_at": timestamp_json(key.expires_at) if key.HasField("expires_at") else None,
        "creator_user_id": None,
    }


def _usd(nano: int) -> msgspec.Raw:
    return msgspec.Raw(money.usd_text(nano).encode())
