"""Requests about keys to values."""

from __future__ import annotations

from collections.abc import Iterable

from accounts.domain.accounts import KeyChanges
from accounts.domain.errors import InvalidFieldError
from accounts.domain.key_settings import KeySettingChanges, KeySettings
from contracts.rate_limits import RateLimit, rate_limits_from_proto
from contracts.spend import SpendInterval
from turnpike.accounts.v1 import key_service_pb2, records_pb2


def settings_from_proto(request: key_service_pb2.CreateKeyRequest) -> KeySettings:
    """Read what a new key may do.

    Raises:
        InvalidFieldError: a field holds what this version does not know.
    """
    return KeySettings(
        limit_reset=interval_from_proto("limit_reset", request.limit_reset),
        include_byok_in_limit=request.include_byok_in_limit,
        logs_content=request.logs_content,
        creator_user_id=request.creator_user_id,
        allowed_models=tuple(request.allowed_models),
        allowed_providers=tuple(request.allowed_providers),
        ip_ranges=tuple(request.ip_ranges),
        rate_limits=limits_from_proto("rate_limits", request.rate_limits),
    )


def changes_from_proto(request: key_service_pb2.UpdateKeyRequest) -> KeyChanges:
    """Read what to change.

    Raises:
        InvalidFieldError: a field holds what this version does not know.
    """
    return KeyChanges(
        name=request.name if request.HasField("name") else None,
        disabled=request.disabled if request.HasField("disabled") else None,
        limit=request.limit_nano_usd if request.HasField("limit_nano_usd") else None,
        clear_limit=request.clear_limit,
        settings=KeySettingChanges(
            limit_reset=interval_from_proto("limit_reset", request.limit_reset)
            if request.HasField("limit_reset")
            else None,
            include_byok_in_limit=request.include_byok_in_limit if request.HasField("include_byok_in_limit") else None,
            logs_content=request.logs_content if request.HasField("logs_content") else None,
            allowed_models=tuple(request.allowed_models.values) if request.HasField("allowed_models") else None,
            allowed_providers=tuple(request.allowed_providers.values)
            if request.HasField("allowed_providers")
            else None,
            ip_ranges=tuple(request.ip_ranges.values) if request.HasField("ip_ranges") else None,
            rate_limits=limits_from_proto("rate_limits", request.rate_limits.limits)
            if request.HasField("rate_limits")
            else None,
        ),
    )


def interval_from_proto(field: str, number: int) -> SpendInterval:
    """Read an interval.

    Raises:
        InvalidFieldError: it is none that this version knows.
    """
    try:
        return SpendInterval(number)
    except ValueError:
        raise InvalidFieldError(field, "must be daily, weekly or monthly") from None


def limits_from_proto(field: str, limits: Iterable[records_pb2.RateLimit]) -> tuple[RateLimit, ...]:
    """Read rate limits.

    Raises:
        InvalidFieldError: one has no quantity, no interval where it needs one, or an amount that is not positive.
    """
    try:
        return rate_limits_from_proto(limits)
    except ValueError as error:
        raise InvalidFieldError(field, f"is not valid: {error}") from None
