"""What a statement reads by its plan: tables, parts and the keys that chose them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from clickhouse_connect.driver.client import Client

# Statement, parameters, settings.
Asked = tuple[str, dict[str, Any], dict[str, Any]]
_METHODS: Final = ("query", "command", "raw_query")


@dataclass
class Recorder:
    """Stands before a client's methods, and remembers what is asked."""

    statements: list[Asked] = field(default_factory=list)

    def watch(self, client: Client) -> None:
        """Begin."""
        for name in _METHODS:
            setattr(client, name, self._remembering(getattr(client, name)))

    def unwatch(self, client: Client) -> None:
        """End."""
        for name in _METHODS:
            delattr(client, name)

    def _remembering(self, ask: Any) -> Any:
        def remember(text: str, parameters: Any = None, settings: Any = None, **others: Any) -> Any:
            self.statements.append((text, dict(parameters or {}), dict(settings or {})))
            return ask(text, parameters, settings=settings, **others)

        return remember


@dataclass(frozen=True)
class Read:
    """What is read of a table: so many parts of those it has, and the columns of its keys that told which."""

    parts: int
    of_parts: int
    keys: frozenset[str]


def reads(client: Client, asked: Asked) -> dict[str, Read]:
    """By table: what a statement reads. A table of which nothing is left to read is not in it."""
    text, parameters, settings = asked
    explained = client.query("EXPLAIN json = 1, indexes = 1 " + text, parameters, settings=settings).result_rows
    found: dict[str, Read] = {}
    for node in _nodes(json.loads("".join(row[0] for row in explained))):
        if node.get("Node Type") != "ReadFromMergeTree":
            continue
        indexes = node.get("Indexes", [])
        parts = int(indexes[-1]["Selected Parts"]) if indexes else 0
        if parts:
            keys = frozenset(key for index in indexes for key in index.get("Keys", []))
            name = str(node["Description"]).rpartition(".")[2]
            before = found.get(name, Read(0, 0, frozenset()))
            found[name] = Read(
                before.parts + parts, before.of_parts + int(indexes[0]["Initial Parts"]), before.keys | keys
            )
    return found


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(tree, Mapping):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)
