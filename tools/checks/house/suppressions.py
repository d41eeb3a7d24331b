"""A check is silenced by name, and with the reason beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from house.source import Finding, Source

_NOQA = re.compile(r"#\s*noqa\b(?P<codes>:\s*[A-Z]+[0-9]+(?:\s*,\s*[A-Z]+[0-9]+)*)?(?P<rest>.*)", re.IGNORECASE)
_TYPE_IGNORE = re.compile(r"#\s*type:\s*ignore\b(?P<codes>\[[a-z0-9-]+(?:\s*,\s*[a-z0-9-]+)*\])?(?P<rest>.*)")
_FILE_WIDE = re.compile(r"#\s*(ruff|flake8):\s*noqa|#\s*mypy:\s*(ignore-errors|disable)", re.IGNORECASE)
_MIN_REASON = 8


def unexplained(source: Source) -> Iterator[Finding]:
    if not source.is_python:
        return
    for line, comment in source.comments:
        if _FILE_WIDE.search(comment):
            yield Finding(line, "a check is silenced for the whole file; do it in pyproject.toml or on the line")
            continue
        for name, pattern in (("noqa", _NOQA), ("type: ignore", _TYPE_IGNORE)):
            match = pattern.search(comment)
            if match is None:
                continue
            if not match["codes"]:
                yield Finding(line, f"{name} without a code")
            elif len(_reason(match["rest"])) < _MIN_REASON:
                yield Finding(line, f"{name} without a reason beside it")


def _reason(rest: str) -> str:
    """What is said after the codes, other suppressions on the same line left out."""
    for pattern in (_NOQA, _TYPE_IGNORE):
        match = pattern.search(rest)
        if match is not None:
            rest = rest[: match.start()] + match["rest"]
    return rest.strip(" \t#-:—,")
