"""Every answer of the API that a test gets is held against the OpenAPI document of the edge that gave it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator


class Conformance:
    """Checks answers against a document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Make a checker.

        Args:
            document: the OpenAPI document.
        """
        self._components = document["components"]
        self._paths: Mapping[str, Any] = document["paths"]
        self._prefixes = [server["url"] for server in document["servers"]]
        self._validators: dict[str, Draft202012Validator] = {}

    def operation(self, method: str, path: str) -> tuple[str, Mapping[str, Any]] | None:
        """Find the template and the operation of a request; None where the API has none.

        Args:
            method: HTTP method.
            path: without the query, with its prefix.
        """
        prefix = next((prefix for prefix in self._prefixes if path.startswith(prefix + "/")), None)
        if prefix is None:
            return None
        parts = path.removeprefix(prefix).split("/")
        fits = [template for template in self._paths if _fits(template.split("/"), parts)]
        # As in the route table: what is fixed wins over what is variable.
        fits.sort(key=lambda template: template.count("{"))
        verb = "get" if method == "HEAD" else method.lower()
        if not fits or verb not in self._paths[fits[0]]:
            return None
        return fits[0], self._paths[fits[0]][verb]

    def check(self, method: str, path: str, status: int, content_type: str, body: bytes) -> None:
        """Hold an answer against its operation.

        Raises:
            AssertionError: a status, a media type or a body that the operation does not describe.
        """
        found = self.operation(method, path)
        if found is None:
            return
        template, operation = found
        where = f"{method} {template} answered {status}"
        response = operation["responses"].get(str(status))
        assert response is not None, (
            f"{where}, which its Operation does not have: see Operation.errors ({body[:200]!r})"
        )
        if method == "HEAD" or not body:
            return
        media_type = content_type.partition(";")[0].strip()
        content = response.get("content", {})
        assert media_type in content, (
            f"{where} with {media_type!r}, which its Operation does not have: {sorted(content)}"
        )
        if media_type == "application/json":
            self._validate(content[media_type]["schema"], json.loads(body), where)
        elif media_type == "text/event-stream":
            for number, event in enumerate(_events(body)):
                self._check_event(content[media_type]["schema"], event, f"{where} with event {number}")

    def _check_event(self, schema: Mapping[str, Any], event: Mapping[str, str], where: str) -> None:
        """Check an event, and its data, unless that is the mark at the end."""
        self._validate(schema, event, where)
        mark, described = schema["properties"]["data"]["anyOf"]
        if event["data"] != mark["const"]:
            self._validate(described["contentSchema"], json.loads(event["data"]), f"{where}, in its data")

    def _validate(self, schema: Mapping[str, Any], document: Any, where: str) -> None:
        name = json.dumps(schema)
        validator = self._validators.get(name)
        if validator is None:
            validator = self._validators[name] = Draft202012Validator({**schema, "components": self._components})
        problems = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(document)]
        assert not problems, f"{where} with a body that is not of the type of its Operation: {problems[:3]}"


@lru_cache(maxsize=2)
def conformance_with(document: bytes) -> Conformance:
    """The checker of a document as it was served; the next edge with the same document has the same checker."""
    return Conformance(json.loads(document))


def _events(body: bytes) -> Iterator[dict[str, str]]:
    """The events of a stream; comments are none."""
    for block in body.decode().split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            yield dict(line.split(": ", 1) for line in lines)


def _fits(template: list[str], parts: list[str]) -> bool:
    return len(template) == len(parts) and all(
        bool(part) if expected.startswith("{") else expected == part
        for expected, part in zip(template, parts, strict=True)
    )
