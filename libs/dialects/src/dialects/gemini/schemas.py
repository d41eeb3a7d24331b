"""JSON Schemas as the API takes them."""

from __future__ import annotations

from typing import Any


def plain_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without two keywords that the API does not know: `$schema`, and `const`, which is an `enum` of one."""
    plain: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "$schema":
            continue
        if name == "const" and "enum" not in schema and isinstance(value, str | int | float):
            plain["enum"] = [value]
        elif name in ("properties", "$defs", "definitions") and isinstance(value, dict):
            # Their members are names of the caller's, not keywords.
            plain[name] = {key: _plain(item) for key, item in value.items()}
        elif name in ("enum", "default", "example", "examples"):
            plain[name] = value
        else:
            plain[name] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return plain_schema(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
