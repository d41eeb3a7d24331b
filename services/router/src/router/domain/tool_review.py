"""Whether the calls of tools in an answer are ones that their caller can carry out.

A call is bad when its arguments are not a JSON object, when the request has no tool of its name, or when they break the
tool's schema: OpenRouter's InvalidJson, UnknownName and SchemaMismatch. Schemas come from callers, so only the keywords
below are looked at: no reference is followed and no pattern is run, and a schema that cannot be understood is met.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from dialects.answers import ToolCallPiece
from dialects.chat import Tool

# Longer arguments are not looked at: one answer must not hold more than this.
MAX_ARGUMENTS: Final = 256 * 1024
_MAX_DEPTH: Final = 32
_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


class ToolCallText:
    """The name and the arguments of one call, put together from their pieces."""

    __slots__ = ("_parts", "_size", "name")

    def __init__(self) -> None:
        self.name = ""
        self._parts: list[str] = []
        self._size = 0

    def add(self, piece: ToolCallPiece) -> None:
        """Take the next piece."""
        self.name += piece.name or ""
        if piece.arguments:
            self._size += len(piece.arguments)
            if self._size <= MAX_ARGUMENTS:
                self._parts.append(piece.arguments)

    @property
    def arguments(self) -> str | None:
        """The whole arguments; None when they are too long to be looked at."""
        return "".join(self._parts) if self._size <= MAX_ARGUMENTS else None


def count_bad_calls(calls: Mapping[Any, ToolCallText], tools: Sequence[Tool] | None) -> int:
    """Count the calls that cannot be carried out."""
    if not calls:
        return 0
    known = {tool.function.name: tool.function.parameters for tool in tools or () if tool.function is not None}
    return sum(_is_bad(call, known) for call in calls.values())


def _is_bad(call: ToolCallText, known: Mapping[str, dict[str, Any] | None]) -> bool:
    if call.name not in known:
        return True
    arguments = call.arguments
    if arguments is None:
        return False
    try:
        value = json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return True
    return not isinstance(value, dict) or not meets(value, known[call.name])


def meets(value: object, schema: object, depth: int = 0) -> bool:
    """Whether a value meets a schema, as far as `type`, `enum`, `const`, `required`, `properties`, `items` and a closed
    `additionalProperties` say."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return True
    if not _has_type(value, schema.get("type")):
        return False
    choices = schema.get("enum")
    if isinstance(choices, list) and not any(_same(value, choice) for choice in choices):
        return False
    if "const" in schema and not _same(value, schema["const"]):
        return False
    if isinstance(value, dict):
        return _object_meets(value, schema, depth)
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, dict):
        return all(meets(item, items, depth + 1) for item in value)
    return True


def _object_meets(value: Mapping[str, object], schema: Mapping[str, Any], depth: int) -> bool:
    required = schema.get("required")
    if isinstance(required, list) and any(isinstance(name, str) and name not in value for name in required):
        return False
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return True
    open_ended = schema.get("additionalProperties") is not False or bool(schema.get("patternProperties"))
    if not open_ended and any(name not in properties for name in value):
        return False
    return all(meets(item, properties[name], depth + 1) for name, item in value.items() if name in properties)


def _has_type(value: object, wanted: object) -> bool:
    names: Collection[object] = wanted if isinstance(wanted, list) else [wanted]
    known = [name for name in names if isinstance(name, str) and name in _TYPES]
    if not known or len(known) != len(names):
        return True
    return any(_is_a(value, name) for name in known)


def _is_a(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, _TYPES[name])


def _same(one: object, other: object) -> bool:
    # 1 and True are equal in Python and different in JSON.
    return one == other and isinstance(one, bool) == isinstance(other, bool)
