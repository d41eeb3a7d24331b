"""Values that follow a JSON Schema: what the simulator gives as arguments and as structured answers."""

from __future__ import annotations

from typing import Any

Schema = Any

# Deeper ones are not made up any more; a schema may refer to itself.
_MAX_DEPTH = 12
_TEXT = "simulated"


def value_for(schema: Schema) -> Any:
    """Make the least value that follows a schema: of everything that it offers the first, of every number the least."""
    return _value(schema, schema, 0)


def _value(schema: Schema, root: Schema, depth: int) -> Any:
    schema = _resolved(schema, root)
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return _TEXT
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    for name in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(name), list) and schema[name]:
            return _value(schema[name][0], root, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        return {name: _value(inner, root, depth + 1) for name, inner in properties.items()}
    if kind == "array":
        return [_value(schema.get("items", {}), root, depth + 1) for _ in range(_count(schema.get("minItems")))]
    if kind in ("integer", "number"):
        least = schema.get("minimum")
        return least if isinstance(least, int | float) else 1
    if kind == "boolean":
        return True
    return None if kind == "null" else _TEXT


def _count(least: object) -> int:
    return least if isinstance(least, int) and 1 <= least <= 100 else 1


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Follow references within the document."""
    for _ in range(_MAX_DEPTH):
        if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
            break
        found = root
        for part in schema["$ref"].removeprefix("#").strip("/").split("/"):
            found = found.get(part) if isinstance(found, dict) and part else found
        schema = found
    return schema
