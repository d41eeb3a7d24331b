"""Modules stay small and finished."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from house.source import Finding, Source

MAX_LINES = 400
_MARK = re.compile(r"\b(TODO|FIXME)\b")
_WITH_STRINGS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def long_modules(source: Source) -> Iterator[Finding]:
    if source.is_python and (lines := source.text.count("\n")) > MAX_LINES:
        yield Finding(MAX_LINES + 1, f"{lines} lines, {MAX_LINES} are allowed")


def unfinished(source: Source) -> Iterator[Finding]:
    for number, text in _prose(source):
        if match := _MARK.search(text):
            yield Finding(number, f"{match[0]} in the tree")


def _prose(source: Source) -> Iterator[tuple[int, str]]:
    """What is written for people: comments and docstrings of a Python file, every line of any other."""
    if not source.is_python:
        yield from enumerate(source.text.splitlines(), start=1)
        return
    yield from source.comments
    for node in ast.walk(source.tree):
        if isinstance(node, _WITH_STRINGS) and (docstring := ast.get_docstring(node, clean=False)):
            start = node.body[0].lineno
            yield from enumerate(docstring.splitlines(), start=start)
