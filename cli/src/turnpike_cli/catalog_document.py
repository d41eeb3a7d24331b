"""A catalogue file as plain values with its comments: read, changed, and written again in one stable form.

The form is what `turnpike catalog import` writes: fields in the order of `docs/catalog.md`, lists of words on one line.
Comments above a field or an item, and those at the end of a line, stay with what they belong to; comments inside a list
or a mapping that is written on one line move above the next field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import TypeAlias

import yaml

Value: TypeAlias = "str | int | bool | date | list[Value] | dict[str, Value]"
Path: TypeAlias = tuple[str, ...]

_ORDER = {
    "": ("providers", "provider_overrides", "models", "endpoints"),
    "providers": (
        "slug", "name", "base_url", "dialect", "headquarters", "datacenters", "privacy_policy_url",
        "terms_of_service_url", "status_page_url", "data_policy", "quirks", "simulated",
    ),
    "provider_overrides": ("slug", "base_url", "datacenters", "data_policy", "quirks"),
    "models": (
        "id", "canonical_slug", "name", "description", "created", "expiration_date", "input_modalities",
        "output_modalities", "tokenizer", "hugging_face_id", "aliases", "supported_parameters", "quirks",
        "endpoints",
    ),
    "endpoints": (
        "model", "provider", "tag", "upstream_model", "service_tier", "region", "datacenters", "price", "context_length",
        "max_completion_tokens", "supported_parameters", "quantization", "data_policy", "quirks", "expiration_date",
    ),
    "price": (
        "prompt", "completion", "cached", "cache_write", "reasoning", "request", "image", "second", "character",
        "search_unit", "overrides", "as_of", "source",
    ),
}  # fmt: skip
_ONE_LINE = frozenset({"data_policy", "overrides"})
_LIKE_A_NUMBER = re.compile(r"[-+.0-9][-+.:_eE0-9]*")  # readers of YAML differ about 01:00 and 1e3
_SPACED = frozenset({"providers", "models"})


class DocumentError(ValueError):
    """The text is no catalogue file."""


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file. `above` and `beside` are comments by path; `below` are those after everything else."""

    content: dict[str, Value] = field(default_factory=dict)
    above: dict[Path, list[str]] = field(default_factory=dict)
    beside: dict[Path, str] = field(default_factory=dict)
    below: list[str] = field(default_factory=list)

    def items(self, name: str) -> list[dict[str, Value]]:
        """The mappings of a top-level list."""
        return mappings(self.content.get(name))


def mappings(value: Value | None) -> list[dict[str, Value]]:
    """The mappings of a list; nothing of what is not one."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def item_name(item: Value, position: int) -> str:
    """What a comment knows an item of a list by, so that it stays with it when others come and go."""
    if isinstance(item, dict):
        for key in ("id", "slug", "tag", "provider"):
            if isinstance(item.get(key), str):
                return f"{item.get('model', '')}@{item[key]}" if "model" in item else str(item[key])
    return str(position)


def read_document(text: str) -> Document:
    """Read one file.

    Raises:
        DocumentError: not YAML, or not a mapping.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise DocumentError(f"not valid YAML: {error}") from None
    if node is None:
        node, content = yaml.MappingNode("tag:yaml.org,2002:map", []), {}
    if not isinstance(content, dict):
        raise DocumentError("must be a mapping")
    document = Document(content=content)
    _read_comments(text.splitlines(), node, document)
    return document


def _read_comments(lines: list[str], root: yaml.Node, document: Document) -> None:
    starts: dict[int, Path] = {}
    ends: dict[int, tuple[int, Path]] = {}
    inside: set[int] = set()
    for path, node, first_line in _walk(root, document.content, ()):
        starts.setdefault(first_line, path)
        if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
            # It ends where the next line begins, and its own lines may look like comments.
            inside.update(range(node.start_mark.line + 1, node.end_mark.line))
        elif isinstance(node, yaml.ScalarNode) or (isinstance(node, yaml.CollectionNode) and node.flow_style):
            ends[node.end_mark.line] = (node.end_mark.column, path)
    pending: list[str] = []
    for number, line in enumerate(lines):
        if line.lstrip().startswith("#") and number not in inside:
            pending.append(line.strip())
            continue
        if number in starts and pending:
            document.above[starts[number]] = pending
            pending = []
        if number in ends:
            column, path = ends[number]
            rest = line[column:].strip()
            if rest.startswith("#"):
                document.beside[path] = rest
    document.below.extend(pending)


def _walk(node: yaml.Node, value: Value, path: Path) -> Iterator[tuple[Path, yaml.Node | None, int]]:
    """Every field and item with the line that it begins on; an item of a list before its own first field."""
    if isinstance(node, yaml.MappingNode) and isinstance(value, dict) and (not node.flow_style or not path):
        for key, child in node.value:
            below = (*path, str(key.value))
            yield below, child, key.start_mark.line
            yield from _walk(child, value.get(str(key.value), ""), below)
    elif isinstance(node, yaml.SequenceNode) and isinstance(value, list) and not node.flow_style:
        for position, (child, item) in enumerate(zip(node.value, value, strict=True)):
            below = (*path, item_name(item, position))
            yield below, child if not isinstance(item, dict) or child.flow_style else None, child.start_mark.line
            yield from _walk(child, item, below)


def write_document(document: Document) -> str:
    """Write a file in the stable form."""
    lines = list(_mapping(document, _ordered(document.content, ""), (), 0))
    return "\n".join([*lines, *document.below]) + "\n"


def _ordered(value: dict[str, Value], kind: str) -> dict[str, Value]:
    order = _ORDER.get(kind, ())
    return {key: value[key] for key in [*(key for key in order if key in value), *(k for k in value if k not in order)]}


def _mapping(document: Document, value: dict[str, Value], path: Path, indent: int) -> Iterator[str]:
    pad = " " * indent
    for position, (key, item) in enumerate(value.items()):
        below = (*path, key)
        if position and not path:
            yield ""
        yield from (pad + comment for comment in document.above.get(below, ()))
        beside = f" {document.beside[below]}" if below in document.beside else ""
        if isinstance(item, dict) and item and key not in _ONE_LINE:
            yield f"{pad}{key}:{beside}"
            yield from _mapping(document, _ordered(item, key), below, indent + 2)
        elif isinstance(item, list) and any(isinstance(each, dict) for each in item):
            yield f"{pad}{key}:{beside}"
            yield from _sequence(document, item, key, below, indent + 2)
        else:
            yield f"{pad}{key}: {_one_line(item)}{beside}"


def _sequence(document: Document, items: list[Value], key: str, path: Path, indent: int) -> Iterator[str]:
    pad = " " * indent
    for position, item in enumerate(items):
        below = (*path, item_name(item, position))
        if position and key in _SPACED:
            yield ""
        yield from (pad + comment for comment in document.above.get(below, ()))
        if isinstance(item, dict) and item and key not in _ONE_LINE:
            fields = _mapping(document, _ordered(item, key), below, indent + 2)
            # A comment above what is now the first field goes above the item: there is no place for it in between.
            while (line := next(fields).lstrip()).startswith("#"):
                yield pad + line
            yield f"{pad}- {line}"
            yield from fields
        else:
            beside = f" {document.beside[below]}" if below in document.beside else ""
            yield f"{pad}- {_one_line(item)}{beside}"


def _one_line(value: Value, *, within: bool = False) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_one_line(item, within=True)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_one_line(item, within=True) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if _is_plain(value, within=within) else json.dumps(value, ensure_ascii=False)
    return str(value)


def _is_plain(text: str, *, within: bool) -> bool:
    """Whether text without quotes reads back as itself."""
    if not text or text != text.strip() or "\n" in text or _LIKE_A_NUMBER.fullmatch(text):
        return False
    try:
        return bool(yaml.safe_load(f"[{text}]") == [text] if within else yaml.safe_load(f"a: {text}") == {"a": text})
    except (yaml.YAMLError, ValueError):
        return False
