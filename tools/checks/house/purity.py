"""What import-linter cannot say: all that `domain/` may import, and modules of packages that pure libraries may use in part."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from house.source import Finding, Source

_OURS = {"contracts", "dialects"}
_THIRD_PARTY = {"msgspec"}
_WITH_EFFECTS = {
    "asyncio", "concurrent", "ctypes", "fcntl", "http", "io", "logging", "mmap", "multiprocessing", "os", "pathlib",
    "pickle", "queue", "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl",
    "subprocess", "sys", "tempfile", "threading", "time", "urllib", "warnings",
}  # fmt: skip
_PURE_PARTS = ("urllib.parse",)


def domain_imports(source: Source) -> Iterator[Finding]:
    parts = source.path.parts
    if not source.is_python or parts[0] != "services" or "src" not in parts or "domain" not in parts:
        return
    # A role of a service has a domain of its own, below the folder of the role.
    home = parts[parts.index("src") + 1 : parts.index("domain")]
    domains = (f"{home[0]}.domain", f"{'.'.join(home)}.domain")
    for line, name in _imports(source):
        if not _allowed(name, domains):
            yield Finding(line, f"domain imports {name}")


def library_imports(source: Source) -> Iterator[Finding]:
    """`contracts` and `dialects` take addresses apart (`urllib.parse`), and open none."""
    parts = source.path.parts
    if source.is_python and parts[:1] == ("libs",) and parts[1] in _OURS and "src" in parts:
        for line, name in _imports(source):
            if name.partition(".")[0] == "urllib" and not name.startswith(_PURE_PARTS):
                yield Finding(line, f"a pure library imports {name}")


def _imports(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield node.lineno, name


def _allowed(name: str, domains: tuple[str, ...]) -> bool:
    root = name.partition(".")[0]
    if root == domains[0].partition(".")[0]:
        return name.startswith(domains)
    if root in _OURS | _THIRD_PARTY:
        return True
    if root in _WITH_EFFECTS:
        return name.startswith(_PURE_PARTS)
    return root in sys.stdlib_module_names
