"""What an API key may do: its limit's period, models, providers, networks and rate limits, and the rules of these fields."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from accounts.domain.errors import InvalidFieldError
from contracts.rate_limits import LimitedQuantity, RateLimit
from contracts.spend import SpendInterval

MAX_ENTRIES = 100
MAX_RATE_LIMITS = 20
# A million dollars in nano-dollars, or as many tokens: far above any sensible limit, far below what 64 bits hold.
MAX_RATE = 10**15
MAX_CONCURRENCY = 100_000
_MODEL = re.compile(r"[A-Za-z0-9~._-]{1,100}/[A-Za-z0-9._:-]{1,150}")
_PROVIDER = re.compile(r"[a-z0-9-]{1,100}(/[a-z0-9._-]{1,100})?")
_MAX_USER_ID = 100


@dataclass(frozen=True, slots=True)
class KeySettings:
    """What an owner says of a key. An empty collection restricts nothing."""

    limit_reset: SpendInterval = SpendInterval.NEVER
    include_byok_in_limit: bool = False
    creator_user_id: str = ""
    allowed_models: tuple[str, ...] = ()
    allowed_providers: tuple[str, ...] = ()
    ip_ranges: tuple[str, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    logs_content: bool = False


NO_SETTINGS = KeySettings()


@dataclass(frozen=True, slots=True)
class KeySettingChanges:
    """What to change of a key's settings; None leaves it."""

    limit_reset: SpendInterval | None = None
    include_byok_in_limit: bool | None = None
    allowed_models: tuple[str, ...] | None = None
    allowed_providers: tuple[str, ...] | None = None
    ip_ranges: tuple[str, ...] | None = None
    rate_limits: tuple[RateLimit, ...] | None = None
    logs_content: bool | None = None


def checked_settings(settings: KeySettings) -> KeySettings:
    """Return settings with their fields checked and put into one form.

    Raises:
        InvalidFieldError: a field breaks its rule.
    """
    if len(settings.creator_user_id) > _MAX_USER_ID or not settings.creator_user_id.isprintable():
        raise InvalidFieldError("creator_user_id", f"must have at most {_MAX_USER_ID} printable characters")
    return KeySettings(
        limit_reset=settings.limit_reset,
        include_byok_in_limit=settings.include_byok_in_limit,
        logs_content=settings.logs_content,
        creator_user_id=settings.creator_user_id,
        allowed_models=checked_models("allowed_models", settings.allowed_models),
        allowed_providers=checked_providers("allowed_providers", settings.allowed_providers),
        ip_ranges=checked_networks("ip_ranges", settings.ip_ranges),
        rate_limits=checked_rate_limits("rate_limits", settings.rate_limits),
    )


def checked_setting_changes(changes: KeySettingChanges) -> KeySettingChanges:
    """Return changes with their fields checked and put into one form.

    Raises:
        InvalidFieldError: a field breaks its rule.
    """
    return KeySettingChanges(
        limit_reset=changes.limit_reset,
        include_byok_in_limit=changes.include_byok_in_limit,
        logs_content=changes.logs_content,
        allowed_models=None
        if changes.allowed_models is None
        else checked_models("allowed_models", changes.allowed_models),
        allowed_providers=None
        if changes.allowed_providers is None
        else checked_providers("allowed_providers", changes.allowed_providers),
        ip_ranges=None if changes.ip_ranges is None else checked_networks("ip_ranges", changes.ip_ranges),
        rate_limits=None if changes.rate_limits is None else checked_rate_limits("rate_limits", changes.rate_limits),
    )


def checked_models(field: str, values: Sequence[str]) -> tuple[str, ...]:
    """Return names of models, each once.

    Raises:
        InvalidFieldError: too many, or one that no model can have.
    """
    _check_count(field, values, MAX_ENTRIES)
    for index, value in enumerate(values):
        if _MODEL.fullmatch(value) is None:
            raise InvalidFieldError(f"{field}[{index}]", "must be a model such as author/slug")
    return tuple(dict.fromkeys(values))


def checked_providers(field: str, values: Sequence[str]) -> tuple[str, ...]:
    """Return slugs or tags of providers, each once.

    Raises:
        InvalidFieldError: too many, or one that no provider can have.
    """
    _check_count(field, values, MAX_ENTRIES)
    for index, value in enumerate(values):
        if _PROVIDER.fullmatch(value) is None:
            raise InvalidFieldError(f"{field}[{index}]", "must be the slug or tag of a provider")
    return tuple(dict.fromkeys(values))


def checked_networks(field: str, values: Sequence[str]) -> tuple[str, ...]:
    """Return networks in CIDR notation, each once; a bare address is the network of it alone.

    Raises:
        InvalidFieldError: too many, or not a network.
    """
    _check_count(field, values, MAX_ENTRIES)
    networks: dict[str, None] = {}
    for index, value in enumerate(values):
        try:
            networks[str(ipaddress.ip_network(value))] = None
        except ValueError:
            raise InvalidFieldError(
                f"{field}[{index}]", "must be a network such as 203.0.113.0/24 or 2001:db8::/32"
            ) from None
    return tuple(networks)


def checked_rate_limits(field: str, values: Sequence[RateLimit]) -> tuple[RateLimit, ...]:
    """Return rate limits.

    Raises:
        InvalidFieldError: too many, two of one kind, or an amount out of range.
    """
    _check_count(field, values, MAX_RATE_LIMITS)
    kinds = set()
    for index, limit in enumerate(values):
        check_rate_limit(f"{field}[{index}]", limit)
        kind = (limit.quantity, limit.interval, limit.model)
        if kind in kinds:
            raise InvalidFieldError(f"{field}[{index}]", "is the second of its kind")
        kinds.add(kind)
    return tuple(values)


def check_rate_limit(field: str, limit: RateLimit) -> None:
    """Check the amount and the model of a rate limit.

    Raises:
        InvalidFieldError: one breaks its rule.
    """
    most = MAX_CONCURRENCY if limit.quantity is LimitedQuantity.CONCURRENCY else MAX_RATE
    if limit.amount > most:
        raise InvalidFieldError(f"{field}.amount", f"must be at most {most}")
    if limit.model and _MODEL.fullmatch(limit.model) is None:
        raise InvalidFieldError(f"{field}.model", "must be a model such as author/slug")


def _check_count(field: str, values: Collection[object], most: int) -> None:
    if len(values) > most:
        raise InvalidFieldError(field, f"must have at most {most} entries")
