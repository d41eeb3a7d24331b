"""docs/compatibility.md, held against OpenRouter's operations and against the routes of the edge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from edge.testing.stack import EdgeStack

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[3] / "docs" / "compatibility.md"
# One line each: method, path, status of a good answer ("-" where there is none), documented statuses of errors. From
# OpenRouter's OpenAPI document of 2026-08-22.
OPERATIONS: Final = HERE / "openrouter_operations.txt"
# Errors of OpenRouter that need not arise here outside of inference: limits and gateways that are not in front of an edge, keys
# that public routes do not ask for, lists that are never absent.
_ELSEWHERE: Final = {"402", "403", "404", "408", "429", "502", "524", "529"}
_INFERENCE: Final = {"/chat/completions", "/responses", "/messages", "/embeddings", "/rerank", "/images"}
Key = tuple[str, str]


def key(method: str, path: str) -> Key:
    """Name an operation; what the variable parts of its path are called does not matter."""
    return method.upper(), re.sub(r"\{[^}]+\}", "{}", path)


def theirs() -> dict[Key, tuple[str, set[str]]]:
    """OpenRouter's operations: status of a good answer, statuses of errors."""
    rows = [line.split() for line in OPERATIONS.read_text(encoding="utf-8").splitlines()]
    return {key(method, path): (good, set(errors.split(","))) for method, path, good, errors in rows}


def tables() -> tuple[dict[Key, str], set[Key]]:
    """The page: what each of OpenRouter's operations is here, and what there is besides."""
    page = PAGE.read_text(encoding="utf-8")
    first, second = page.split("## Operations beside OpenRouter's document")
    rows = re.findall(r"^\| `([A-Z]+) (\S+)` \| (same|differs|not offered) \| (.*) \|$", first, re.MULTILINE)
    for method, path, here, why in rows:
        assert here == "same" or why, f"{method} {path}: {here} needs a reason"
    listed = [key(method, path) for method, path, _, _ in rows]
    assert len(set(listed)) == len(listed)
    besides = re.findall(r"^\| `([A-Z]+) (\S+)` \|", second, re.MULTILINE)
    return {key(m, p): here for m, p, here, _ in rows}, {key(method, path) for method, path in besides}


@pytest.fixture
async def ours(edge: EdgeStack) -> Mapping[Key, Any]:
    """The operations of a running edge."""
    paths = (await edge.call("GET", "/openapi.json")).document["paths"]
    return {key(method, path): operation for path, methods in paths.items() for method, operation in methods.items()}


def test_every_operation_is_on_the_page() -> None:
    here, besides = tables()
    assert len(theirs()) == 97
    assert set(here) == set(theirs())
    assert not besides & set(theirs())


def test_at_least_seventy_operations_are_the_same() -> None:
    here, _ = tables()
    assert sum(1 for each in here.values() if each == "same") >= 70


async def test_the_page_says_what_is_served(ours: Mapping[Key, Any]) -> None:
    here, besides = tables()
    offered = {each for each, sort in here.items() if sort != "not offered"}
    assert offered - set(ours) == set(), "on the page, but not served"
    assert set(ours) - offered - besides == set(), "served, but not on the page"
    assert besides - set(ours) == set()


async def test_what_is_the_same_has_the_same_statuses(ours: Mapping[Key, Any]) -> None:
    here, _ = tables()
    wrong = {}
    for operation, (good, errors) in theirs().items():
        if here[operation] == "not offered":
            continue
        statuses = set(ours[operation]["responses"])
        missing = errors - statuses
        if operation[1] not in _INFERENCE and not operation[1].startswith("/audio"):
            missing -= _ELSEWHERE
        if missing or good not in ({"-"} | statuses):
            wrong[operation] = (good, sorted(missing), sorted(statuses))
    assert wrong == {}
