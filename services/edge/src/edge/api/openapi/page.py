"""The OpenAPI document as a page to read: one file of HTML without scripts, which asks for nothing from anywhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any, Final

from edge.api.openapi.page_style import STYLE

_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# Nothing but this page's own style sheet, and no other page may hold it in a frame.
CONTENT_SECURITY_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_CODE: Final = re.compile(r"`([^`]+)`")
_BOUNDS: Final = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
    "minLength": "characters, at least",
    "maxLength": "characters, at most",
    "minItems": "entries, at least",
    "maxItems": "entries, at most",
    "pattern": "of the form",
    "format": "as",
}


def docs_page(document: Mapping[str, Any]) -> bytes:
    """Render the page.

    Args:
        document: the OpenAPI document.
    """
    title = f"{document['info']['title']} API"
    base = document["servers"][0]["url"]
    groups = "".join(_group(tag["name"], base, document["paths"]) for tag in document["tags"])
    types = "".join(_type(name, schema) for name, schema in document["components"]["schemas"].items())
    contents = "".join(
        f'<li><a href="#{_anchor(tag["name"])}">{escape(tag["name"])}</a></li>' for tag in document["tags"]
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f'<a class="skip" href="#operations">Skip to the operations</a>'
        f"<header><h1>{escape(title)}</h1><p>{_prose(document['info']['description'])}</p>"
        f'<p>The same for programs: <a href="/openapi.json">/openapi.json</a>. Keys go into the header '
        f"<code>Authorization: Bearer</code>.</p></header>"
        f'<nav aria-label="Contents"><ul>{contents}<li><a href="#types">Types</a></li></ul></nav>'
        f'<main id="operations">{groups}<h2 id="types">Types</h2>{types}</main></body></html>'
    ).encode()


def _group(tag: str, base: str, paths: Mapping[str, Any]) -> str:
    operations = "".join(
        _operation(method, base + path, operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if tag in operation["tags"]
    )
    return f'<section><h2 id="{_anchor(tag)}">{escape(tag)}</h2>{operations}</section>'


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [
        f'<details id="{escape(operation["operationId"])}"><summary><span class="method">{method.upper()}</span> '
        f'<code>{escape(path)}</code> <span class="dim">{escape(operation["summary"])}</span></summary>',
        f"<p>{_prose(operation.get('description', ''))}</p><p>Key: {_keys(operation['security'])}.</p>",
    ]
    if "parameters" in operation:
        rows = (
            (f"<code>{escape(each['name'])}</code>", each["in"], _sort(each["schema"], each["required"]), _about(each))
            for each in operation["parameters"]
        )
        parts.append(_table(("Parameter", "In", "Type", ""), rows))
    if "requestBody" in operation:
        parts.append(_table(("Body", "Type"), _contents(operation["requestBody"]["content"])))
    answers = (
        (
            status,
            escape(response["description"]),
            " ".join(f"{kind}: {sort}" for kind, sort in _contents(response.get("content", {}))),
        )
        for status, response in operation["responses"].items()
    )
    parts.append(_table(("Status", "", "Answer"), answers))
    return "".join([*parts, "</details>"])


def _contents(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((f"<code>{escape(kind)}</code>", _sort(media["schema"], required=True)) for kind, media in content.items())


def _keys(security: Iterable[Mapping[str, Any]]) -> str:
    names = {"inferenceKey": "inference", "managementKey": "management", "session": "signed in"}
    found = [" and ".join(names.get(name, name) for name in each) or "none" for each in security]
    return escape(" or ".join(found) or "none")


def _type(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = (
        (f"<code>{escape(member)}</code>", _sort(each, member in required), _about(each))
        for member, each in schema.get("properties", {}).items()
    )
    body = _table(("Member", "Type", ""), rows) if "properties" in schema else f"<p>{_sort(schema, required=True)}</p>"
    return (
        f'<details id="{_type_anchor(name)}"><summary><code>{escape(name)}</code></summary>'
        f"<p>{_prose(schema.get('description', ''))}</p>{body}</details>"
    )


def _sort(schema: Mapping[str, Any], required: bool) -> str:
    """Say in a few words what a value is, with links to the types that it mentions."""
    return _words(schema) + ("" if required else ' <span class="dim">(optional)</span>')


def _words(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f'<a href="#{_type_anchor(name)}">{escape(name)}</a>'
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_words(each) for each in schema[several])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    kind = schema.get("type", "anything")
    if kind == "array":
        items = schema.get("items")
        kind = f"list of {_words(items)}" if isinstance(items, Mapping) else "list"
    bounds = [f"{words} <code>{escape(str(schema[name]))}</code>" for name, words in _BOUNDS.items() if name in schema]
    return f"{kind} ({', '.join(bounds)})" if bounds else str(kind)


def _about(each: Mapping[str, Any]) -> str:
    parts = [_prose(each.get("description", ""))]
    schema = each.get("schema", each)
    if schema.get("default") is not None:
        parts.append(f"Default <code>{escape(str(schema['default']))}</code>.")
    return " ".join(part for part in parts if part)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Lay out rows of HTML."""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _prose(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def _type_anchor(name: str) -> str:
    return "type-" + re.sub(r"[^A-Za-z0-9_]+", "-", name)
