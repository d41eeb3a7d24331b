"""Bodies of the calls that manage keys, checked member by member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit
from contracts.spend import SpendInterval
from edge.api.management.key_bodies import KeyChangeBody, NewKeyBody
from edge.api.management.members import JsonMembers, read_body
from edge.domain.actor import Actor
from edge.ports import KeyChange, KeyFields, NewKey

INTERVALS: Final[Mapping[str, SpendInterval]] = {
    "daily": SpendInterval.DAILY,
    "weekly": SpendInterval.WEEKLY,
    "monthly": SpendInterval.MONTHLY,
}
_QUANTITIES: Final = {quantity.value: quantity for quantity in LimitedQuantity}
_RATE_INTERVALS: Final = {"minute": RateInterval.MINUTE, "day": RateInterval.DAY}
RATE_LIMIT_MEMBERS: Final = frozenset({"quantity", "interval", "amount", "model"})


def new_key(data: bytes, org_id: str, idempotency_key: str, actor: Actor) -> NewKey:
    """Read a request for a new key.

    Args:
        data: the body.
        org_id: who pays.
        idempotency_key: makes the call repeatable; empty means not.
        actor: in whose name; a member makes keys in their own.

    Raises:
        InvalidInputError: not JSON, or a member is missing, wrong or unknown.
    """
    members = read_body(data, NewKeyBody)
    return NewKey(
        org_id=org_id,
        name=members.required_text("name"),
        limit_nano=members.dollars("limit"),
        expires_at=members.instant("expires_at"),
        idempotency_key=idempotency_key,
        fields=_fields(members),
        creator_user_id=actor.id if actor.is_user else members.text("creator_user_id") or "",
        workspace_id=_workspace_id(members),
        actor=actor,
    )


def key_change(data: bytes, org_id: str, digest: str, actor: Actor) -> KeyChange:
    """Read a request to change a key: a member that is absent stays as it is, null removes a limit or a restriction.

    Raises:
        InvalidInputError: not JSON, or a member is wrong or unknown.
    """
    members = read_body(data, KeyChangeBody)
    return KeyChange(
        org_id=org_id,
        digest=digest,
        name=members.text("name"),
        disabled=members.flag("disabled"),
        limit_nano=members.dollars("limit"),
        clear_limit=members.is_null("limit"),
        fields=_fields(members),
        actor=actor,
    )


def _workspace_id(members: JsonMembers) -> str:
    """The workspace that is named; empty for the default one."""
    text = members.text("workspace_id")
    if text is None:
        return ""
    try:
        return str(UUID(text))
    except ValueError:
        raise members.wrong("workspace_id", "there is no such workspace") from None


def _fields(members: JsonMembers) -> KeyFields:
    return KeyFields(
        limit_reset=SpendInterval.NEVER if members.is_null("limit_reset") else members.choice("limit_reset", INTERVALS),
        include_byok_in_limit=members.flag("include_byok_in_limit"),
        logs_content=members.flag("logs_content"),
        allowed_models=_list_or_clear(members, "allowed_models"),
        allowed_providers=_list_or_clear(members, "allowed_providers"),
        ip_ranges=_list_or_clear(members, "ip_ranges"),
        rate_limits=rate_limits(members, "rate_limits"),
    )


def _list_or_clear(members: JsonMembers, name: str) -> tuple[str, ...] | None:
    return () if members.is_null(name) else members.texts(name)


def rate_limits(members: JsonMembers, name: str) -> tuple[RateLimit, ...] | None:
    """Read a list of rate limits; null is the same as none, absent is None.

    Raises:
        InvalidInputError: one of them is not complete, or its amount is not positive.
    """
    if members.is_null(name):
        return ()
    entries = members.objects(name, RATE_LIMIT_MEMBERS)
    return None if entries is None else tuple(rate_limit(entry) for entry in entries)


def rate_limit(entry: JsonMembers) -> RateLimit:
    """Read one rate limit.

    Raises:
        InvalidInputError: it is not complete, or its amount is not positive.
    """
    quantity = entry.choice("quantity", _QUANTITIES)
    if quantity is None:
        raise entry.wrong("quantity", "required")
    interval = entry.choice("interval", _RATE_INTERVALS) or RateInterval.NONE
    if (quantity is LimitedQuantity.CONCURRENCY) != (interval is RateInterval.NONE):
        raise entry.wrong("interval", "required, except for concurrency, which has none")
    amount = entry.dollars("amount") if quantity is LimitedQuantity.SPEND else entry.whole("amount")
    if amount is None or amount <= 0:
        raise entry.wrong("amount", "expected a number that is more than 0")
    return RateLimit(quantity, interval, amount, entry.text("model", most=300) or "")
