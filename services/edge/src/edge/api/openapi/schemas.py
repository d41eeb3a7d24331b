"""JSON Schemas of the types of the API, as components of the document."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

_REFERENCE: Final = "#/components/schemas/{name}"


class Schemas:
    """The schemas of a set of types; each is looked up by its type."""

    def __init__(self, types: Iterable[Any]) -> None:
        """Make them.

        Args:
            types: whatever msgspec can describe.
        """
        distinct: list[Any] = []
        for kind in types:
            if kind not in distinct:
                distinct.append(kind)
        found, components = msgspec.json.schema_components(distinct, ref_template=_REFERENCE)
        self._schemas = list(zip(distinct, found, strict=True))
        self.components: dict[str, Any] = {name: _tidy(components[name]) for name in sorted(components)}

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of one of the types."""
        return next(schema for known, schema in self._schemas if known == kind)


def members(kind: type[msgspec.Struct]) -> list[tuple[str, bool, dict[str, Any]]]:
    """Describe the members of a flat struct (a query, a set of headers): name, whether it is required, schema.

    Absence is how a parameter is null, so null is not in the schema.
    """
    (_, components) = msgspec.json.schema_components([kind], ref_template=_REFERENCE)
    document = components[kind.__name__]
    required = set(document.get("required", ()))
    return [(name, name in required, _present(schema)) for name, schema in document["properties"].items()]


def _present(schema: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in schema.items() if not (name == "default" and value is None)}
    options = [option for option in found.pop("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        found |= options[0]
    elif options:
        found["anyOf"] = options
    return found


def _tidy(schema: Any) -> Any:
    """Descriptions without the indentation of the docstrings they were, throughout."""
    if isinstance(schema, dict):
        return {
            name: inspect.cleandoc(value) if name == "description" and isinstance(value, str) else _tidy(value)
            for name, value in schema.items()
        }
    return [_tidy(each) for each in schema] if isinstance(schema, list) else schema
