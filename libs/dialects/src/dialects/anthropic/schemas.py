"""JSON Schemas as Anthropic's models take them.

Structured outputs know a part of JSON Schema. A keyword beyond it is moved into the description, where the model at least reads
it: the same that Anthropic's own clients do.
"""

from __future__ import annotations

from typing import Any

import msgspec

_STRING_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
)
_COMBINATIONS = frozenset(("anyOf", "oneOf", "allOf"))
_ABOUT = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "minItems"),
    "string": ("format",),
}
_encode = msgspec.json.Encoder(order="deterministic").encode


def object_schema(parameters: dict[str, Any] | None) -> dict[str, Any]:
    """Return a tool's schema with an object at its root, which is required, and no combination there, which is refused.

    The properties of combined schemas are united; required stays what every alternative requires.
    """
    schema = {name: value for name, value in (parameters or {}).items() if name not in _COMBINATIONS}
    properties = dict(_mapping(schema.get("properties")))
    required = _names(schema.get("required"))
    for name in sorted(_COMBINATIONS):
        variants = [_mapping(variant) for variant in _sequence((parameters or {}).get(name))]
        for variant in variants:
            for key, value in _mapping(variant.get("properties")).items():
                properties.setdefault(key, value)
        demands = [_names(variant.get("required")) for variant in variants]
        if name == "allOf":
            required += [key for demand in demands for key in demand]
        elif demands:
            required += [key for key in demands[0] if all(key in demand for demand in demands)]
    schema["type"] = "object"
    schema["properties"] = properties
    if required:
        schema["required"] = list(dict.fromkeys(required))
    return schema


def strict_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a schema that structured outputs know; the rest goes into descriptions."""
    rest = dict(schema)
    strict: dict[str, Any] = {}
    for definitions in ("$defs", "definitions"):
        if definitions in rest:
            strict[definitions] = {name: _strict(value) for name, value in _mapping(rest.pop(definitions)).items()}
    if "$ref" in rest:
        strict["$ref"] = rest["$ref"]
        return strict
    rest.pop("$schema", None)
    kind = rest.pop("type", None)
    for name in ("enum", "const", "description", "title", "default"):
        if name in rest:
            strict[name] = rest.pop(name)
    for name in sorted(_COMBINATIONS):
        if name in rest:
            known = "allOf" if name == "allOf" else "anyOf"
            strict.setdefault(known, []).extend(_strict(variant) for variant in _sequence(rest.pop(name)))
    if isinstance(kind, list):
        # Each keyword goes to the one type that it is about, so that nothing is written twice.
        kinds = list(dict.fromkeys(each for each in kind if isinstance(each, str)))
        about = {each: {name: rest.pop(name) for name in _ABOUT.get(each, ()) if name in rest} for each in kinds}
        if not _COMBINATIONS & strict.keys():
            strict["anyOf"] = [strict_schema({**about[each], "type": each}) for each in kinds]
        kind = None
    if kind is not None:
        strict["type"] = kind
    if kind == "object" or "properties" in rest:
        strict["properties"] = {name: _strict(value) for name, value in _mapping(rest.pop("properties", {})).items()}
        rest.pop("additionalProperties", None)
        strict["additionalProperties"] = False
        if "required" in rest:
            strict["required"] = rest.pop("required")
    if "items" in rest:
        strict["items"] = _strict(rest.pop("items"))
    if rest.get("minItems") in (0, 1):
        strict["minItems"] = rest.pop("minItems")
    if rest.get("format") in _STRING_FORMATS:
        strict["format"] = rest.pop("format")
    if rest:
        said = strict.get("description")
        notes = _encode(rest).decode()
        strict["description"] = f"{said}\n\n{notes}" if isinstance(said, str) and said else notes
    return strict


def _strict(schema: object) -> object:
    return strict_schema(schema) if isinstance(schema, dict) else schema


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _names(value: object) -> list[str]:
    return [name for name in _sequence(value) if isinstance(name, str)]
