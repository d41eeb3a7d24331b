"""Names say what a thing is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from house.source import Finding, Source

_VAGUE_MODULES = {"base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
_VAGUE_CLASS = re.compile(r"^(I[A-Z][a-z]\w*|Mock\w*|Abstract\w*|\w+(Impl|Manager|Helper|Helpers|Util|Utils))$")

# librdkafka's name for the broker that it can be.
_NAMES_OF_OTHERS = {"MockCluster"}
_TESTS = {"tests", "unit", "contract", "integration", "e2e"}


def module_names(source: Source) -> Iterator[Finding]:
    if not source.is_python:
        return
    for part in (*source.path.parts[:-1], source.path.stem):
        if part in _VAGUE_MODULES:
            yield Finding(1, f"'{part}' says nothing about what is in it")


def class_names(source: Source) -> Iterator[Finding]:
    if not source.is_python:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef) and _VAGUE_CLASS.match(node.name) and node.name not in _NAMES_OF_OTHERS:
            yield Finding(node.lineno, f"class {node.name}")


def tests_packages(source: Source) -> Iterator[Finding]:
    if source.path.name == "__init__.py" and source.path.parent.name in _TESTS:
        yield Finding(1, "__init__.py in a tests folder")
