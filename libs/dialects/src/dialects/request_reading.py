"""What every dialect of the public API does with a request's bytes: parse, bound the depth, validate, name the field."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from contracts.error_types import ErrorType
from dialects.errors import InvalidRequestError

# S31. The JSON reader itself gives up at the interpreter's recursion limit, an order of magnitude later.
MAX_DEPTH = 64

_WHERE = re.compile(r"^(?P<reason>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]+)`$")
_SURPLUS = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_TOO_LONG = re.compile(r"^Expected `str` of length <= [0-9]+$")
# The messages of msgspec that quote a value.
_QUOTED_VALUE = re.compile(r"^Invalid (?:enum )?value .*$", re.DOTALL)
_PLAIN_NAMES = {"`str`": "string", "`int`": "integer", "`float`": "number", "`bool`": "boolean", "`array`": "array"}

T = TypeVar("T")


def parse_request(data: bytes) -> Any:
    """Parse a body.

    Args:
        data: JSON in UTF-8. Where a member is repeated, the last one counts.

    Raises:
        InvalidRequestError: not JSON, or deeper than MAX_DEPTH.
    """
    try:
        document = msgspec.json.decode(data)
    except RecursionError:
        raise InvalidRequestError(f"the body is nested more than {MAX_DEPTH} levels deep", None) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"the body is not valid JSON: {_bounded(str(error))}", None) from None
    # Most bodies have fewer brackets than that in all, and counting them is much cheaper than walking the document.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and is_deeper_than(document, MAX_DEPTH):
        raise InvalidRequestError(f"the body is nested more than {MAX_DEPTH} levels deep", None)
    return document


def convert_request(document: object, kind: type[T], where: str = "", *, strict: bool = True) -> T:
    """Validate a parsed value.

    Args:
        document: the value.
        kind: what it has to be.
        where: its path in the request, such as `messages[0]`; empty for the whole body.
        strict: false for values that are all text (a query, a form): text that reads as a number is one.

    Raises:
        InvalidRequestError: a member is missing or wrong; the message names it and quotes no value.
    """
    try:
        return msgspec.convert(document, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), where) from None


def is_deeper_than(document: object, limit: int) -> bool:
    """Say whether a JSON value is nested more than `limit` levels deep, without recursion."""
    level = [document]
    for _ in range(limit):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)  # type: ignore[attr-defined]  # only containers are kept below
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _invalid(text: str, where: str) -> InvalidRequestError:
    match = _WHERE.match(text)
    reason, path = (match["reason"], match["path"] or "") if match else (text, "")
    path = (where + path).removeprefix(".")
    error_type = ErrorType.STRING_TOO_LONG if _TOO_LONG.match(reason) else ErrorType.INVALID_REQUEST
    for name, plain in _PLAIN_NAMES.items():
        reason = reason.replace(name, plain)
    missing = _MISSING.match(reason)
    if missing:
        path = f"{path}.{missing['name']}" if path else missing["name"]
        return InvalidRequestError(f"{path}: required", path)
    surplus = _SURPLUS.match(reason)
    if surplus:
        name = _bounded(surplus["name"])
        path = f"{path}.{name}" if path else name
        return InvalidRequestError(f"{path}: unknown member", path)
    if _QUOTED_VALUE.match(reason):
        reason = "not one of the allowed values"
    reason = _bounded(reason[:1].lower() + reason[1:])
    if match and match["key"]:
        reason = f"each name: {reason}"
    return InvalidRequestError(f"{path}: {reason}" if path else reason, path or None, error_type)


def _bounded(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
