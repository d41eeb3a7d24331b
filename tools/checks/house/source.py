"""A file of the repository as the rules see it."""

from __future__ import annotations

import ast
import io
import subprocess
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

_GENERATED = ("protos/gen/",)
# Locks are computed, examples are payloads.
_DATA = ("locks/", "protos/examples/")


@dataclass(frozen=True)
class Finding:
    """A line that breaks a rule; lines count from 1."""

    line: int
    message: str


@dataclass(frozen=True)
class Source:
    """A file: its path from the root of the repository, and its text."""

    path: PurePosixPath
    text: str

    @property
    def is_python(self) -> bool:
        return self.path.suffix == ".py"

    @property
    def is_test(self) -> bool:
        return "tests" in self.path.parts or self.path.name == "conftest.py"

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def comments(self) -> tuple[tuple[int, str], ...]:
        """Every comment of a Python file as (line, text)."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return tuple((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)

    @cached_property
    def imports(self) -> dict[str, str]:
        """What each imported name stands for: `{"now": "datetime.datetime.now", …}`; anywhere in the file."""
        names: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    names[name] = alias.name if alias.asname else name
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return names

    def qualified(self, node: ast.expr, *, imported: bool = False) -> str | None:
        """Resolve `name` or `a.b.c` through the imports.

        None for anything that is not such a chain, and with `imported` for one that starts at a local name.
        """
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or (imported and node.id not in self.imports):
            return None
        return ".".join([self.imports.get(node.id, node.id), *reversed(parts)])

    def calls(self) -> Iterator[ast.Call]:
        """Every call in the file."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))


def iter_sources(root: Path) -> Iterator[Source]:
    """Yield every hand-written text file that git has, or would have after `git add --all`."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    for name in sorted(set(listing.stdout.decode().split("\0"))):
        path = root / name
        if not name or name.startswith(_GENERATED + _DATA) or path.is_symlink() or not path.is_file():
            continue
        try:
            yield Source(PurePosixPath(name), path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue
