"""Members of JSON that a provider sent, where one of the wrong type means that the whole cannot be trusted."""

from __future__ import annotations

from typing import Any

import msgspec

from dialects.errors import UpstreamAnswerError

_encode = msgspec.json.Encoder().encode


def member(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a member that has to be an object.

    Raises:
        UpstreamAnswerError: it is not there, or something else.
    """
    value = document.get(name)
    if not isinstance(value, dict):
        raise UpstreamAnswerError(f"{name} is not an object")
    return value


def text(document: dict[str, Any], name: str) -> str:
    """Return a member that has to be a string; empty when it is not there.

    Raises:
        UpstreamAnswerError: it is something else.
    """
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UpstreamAnswerError(f"{name} is not a string")
    return value


def written(value: object) -> str:
    """Write a value as JSON.

    Raises:
        UpstreamAnswerError: it is nested too deep.
    """
    try:
        return _encode(value).decode()
    except RecursionError:
        raise UpstreamAnswerError("nested too deep") from None
