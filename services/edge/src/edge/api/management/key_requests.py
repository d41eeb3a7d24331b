"""Bodies of the calls that manage keys, checked member by member."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from contracts import money
from contracts.money import NanoUsd
from edge.domain.errors import InvalidInputError
from edge.ports import KeyChange, NewKey

# Members that OpenRouter has for things that do not exist here: refused rather than silently without effect. The values
# are the ones that mean the same as leaving the member out.
_UNSUPPORTED: Final[Mapping[str, tuple[object, ...]]] = {
    "limit_reset": (None,),
    "include_byok_in_limit": (None, False),
    "creator_user_id": (None,),
}
# What the wire can carry; the owner of the keys has a lower bound of its own.
_MAX_LIMIT: Final = 2**63 - 1
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def new_key(data: bytes, org_id: str, idempotency_key: str) -> NewKey:
    """Read a request for a new key.

    Args:
        data: the body.
        org_id: who pays; the only workspace that may be named.
        idempotency_key: makes the call repeatable; empty means not.

    Raises:
        InvalidInputError: not JSON, or a member is missing or wrong.
    """
    document = _document(data)
    workspace_id = document.get("workspace_id")
    if workspace_id is not None and workspace_id != org_id:
        raise InvalidInputError("workspace_id: there is no such workspace", "workspace_id")
    if document.get("name") is None:
        raise InvalidInputError("name: required", "name")
    return NewKey(
        org_id=org_id,
        name=_text(document, "name"),
        limit_nano=_limit(document),
        expires_at=_instant(document, "expires_at"),
        idempotency_key=idempotency_key,
    )


def key_change(data: bytes, org_id: str, digest: str) -> KeyChange:
    """Read a request to change a key: a member that is absent stays as it is, `limit: null` removes the limit.

    Raises:
        InvalidInputError: not JSON, or a member is wrong.
    """
    document = _document(data)
    disabled = document.get("disabled")
    if disabled is not None and not isinstance(disabled, bool):
        raise InvalidInputError("disabled: expected boolean", "disabled")
    return KeyChange(
        org_id=org_id,
        digest=digest,
        name=None if document.get("name") is None else _text(document, "name"),
        disabled=disabled,
        limit_nano=_limit(document),
        clear_limit="limit" in document and document["limit"] is None,
    )


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = _decode(data)
    except msgspec.ValidationError:
        raise InvalidInputError("the body must be a JSON object") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidInputError("the body is not valid JSON") from None
    for name, neutral in _UNSUPPORTED.items():
        if document.get(name) not in neutral:
            raise InvalidInputError(f"{name}: not supported", name)
    return document


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(f"{name}: expected a string that is not empty", name)
    return value


def _limit(document: Mapping[str, Any]) -> NanoUsd | None:
    value = document.get("limit")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise InvalidInputError("limit: expected number", "limit")
    try:
        limit = money.nano_from_usd(Decimal(value))
    except ValueError:
        raise InvalidInputError("limit: expected dollars with at most nine decimals", "limit") from None
    if limit < 0:
        raise InvalidInputError("limit: must not be negative", "limit")
    if limit > _MAX_LIMIT:
        raise InvalidInputError("limit: too large", "limit")
    return limit


def _instant(document: Mapping[str, Any], name: str) -> datetime | None:
    value = document.get(name)
    if value is None:
        return None
    try:
        instant = msgspec.convert(value, datetime)
        in_utc = instant.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise InvalidInputError(f"{name}: expected a time such as 2030-12-31T23:59:59Z", name) from None
    if instant.tzinfo is None:
        raise InvalidInputError(f"{name}: expected a time with its zone, such as 2030-12-31T23:59:59Z", name)
    return in_utc
