"""JSON of providers, taken apart without trust: what has the wrong type counts as absent."""

from __future__ import annotations

from typing import Any

import msgspec

from dialects.errors import UpstreamAnswerError

# A count beyond this is a fault of the provider, not usage: the largest contexts are a hundredth of it.
MAX_COUNT = 1_000_000_000

_decode = msgspec.json.Decoder().decode


def decode_object(data: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        UpstreamAnswerError: not JSON, or not an object.
    """
    document = decode_or_none(data)
    if not isinstance(document, dict):
        raise UpstreamAnswerError("not a JSON object")
    return document


def decode_or_none(data: bytes) -> Any:
    """Decode JSON; None when it is none."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def text_in(document: dict[str, Any], name: str) -> str:
    """The member when it is a string, else the empty one."""
    value = document.get(name)
    return value if type(value) is str else ""


def object_in(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The member when it is an object, else an empty one."""
    value = document.get(name)
    return value if type(value) is dict else {}


def objects_in(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in the member when it is an array, else none."""
    value = document.get(name)
    return [item for item in value if type(item) is dict] if type(value) is list else []


def count_in(document: dict[str, Any], name: str) -> int | None:
    """The member as a count: 0 when it is absent or null, None when it is no possible count."""
    value = document.get(name)
    if value is None:
        return 0
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


def index_in(document: dict[str, Any], name: str, limit: int, default: int = 0) -> int:
    """The member as an index below a limit.

    Raises:
        UpstreamAnswerError: it is none. An index without a limit would make its reader allocate without end.
    """
    value = document.get(name, default)
    if type(value) is not int or not 0 <= value < limit:
        raise UpstreamAnswerError(f"{name} is out of range")
    return value
