"""What the statements on security say of all sources, and that the page which lists their tests names tests that there are."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "security.md"
# Ways to run what somebody else has written.
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "import_module",
    "system",
    "popen",
    "Popen",
    "create_subprocess_shell",
    "create_subprocess_exec",
}
MODULES = {"pickle", "marshal", "shelve", "subprocess", "code", "runpy", "dill"}
# Our own module, which reads a PDF in a process of its own.
ALLOWED = {("services/edge/src/edge/adapters/pdf_text.py", "create_subprocess_exec")}
# A pattern that is a parameter: what is in it would have to be escaped.
PATTERN = re.compile(r"\b(I?LIKE|SIMILAR\s+TO)\s+(:|\{|\$|%|\()", re.IGNORECASE)
STATEMENTS = [*range(1, 13), *range(20, 24), *range(38, 47)]


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Every module that runs in a service, with its path."""
    for folder in ("services/*/src", "libs/*/src"):
        for path in sorted(ROOT.glob(f"{folder}/**/*.py")):
            if "testing" not in path.parts:
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def test_s41_no_service_runs_what_somebody_else_has_written() -> None:
    found = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
                found |= {(path, name) for name in names if name.partition(".")[0] in MODULES}
            elif isinstance(node, ast.Call):
                function = node.func
                name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
                # An expression of `re` or RE2 is compiled by a method, code by a function.
                if name in CALLS and (name != "compile" or isinstance(function, ast.Name)):
                    found.add((path, name))
    assert found - ALLOWED == set()
    assert found >= ALLOWED, "what is allowed is not there any more"


def test_s41_templates_are_constants_of_ours() -> None:
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "from_string":
                assert all(isinstance(argument, ast.Constant) for argument in node.args), path


def test_s40_no_pattern_of_sql_is_made_of_what_callers_send() -> None:
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert PATTERN.search(node.value) is None, path


def table() -> dict[int, list[str]]:
    """By statement, the tests that the page names."""
    rows = re.findall(r"^\| S(\d+) \| [^|]* \| ([^|]*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {int(number): re.findall(r"`(test_[a-z0-9_]+)`", tests) for number, tests in rows}


def test_the_page_names_tests_of_every_statement() -> None:
    found = table()
    assert sorted(found) == STATEMENTS
    assert [number for number, tests in found.items() if not tests] == []


def test_the_tests_that_the_page_names_are_there() -> None:
    listed = subprocess.run(
        ["git", "grep", "-hoE", r"def test_[a-z0-9_]+", "--", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    there = {line.removeprefix("def ") for line in listed.stdout.splitlines()}
    assert [name for tests in table().values() for name in tests if name not in there] == []


@pytest.mark.parametrize("text", ["SELECT 1 WHERE name LIKE :name", "x ILIKE {pattern:String}", "a not like $1"])
def test_the_rule_about_patterns_finds_them(text: str) -> None:
    assert PATTERN.search(text) is not None
