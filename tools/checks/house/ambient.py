"""What a process finds around itself (environment, time, chance) enters at named places only.

Elsewhere it is a parameter: a setting, a Clock, a random.Random.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from house.source import Finding, Source

_ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.putenv"}
_CLOCKS = {
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
}  # fmt: skip
_CHANCE = {"uuid.uuid1", "uuid.uuid4", "os.urandom"}
_CHANCE_MODULES = ("random.", "secrets.")
_SOURCES_OF_CHANCE = {"random.Random", "random.SystemRandom"}


def environment(source: Source) -> Iterator[Finding]:
    if not _in_src(source) or source.path.name == "settings.py" or "settings" in source.path.parts:
        return
    for node, name in _names(source):
        if name in _ENVIRONMENT:
            yield Finding(node.lineno, name)


def clock_and_chance(source: Source) -> Iterator[Finding]:
    """Adapters meet the world and app.py hands it out; servicekit holds the clock itself."""
    outside = {"adapters", "testing", "servicekit"} & set(source.path.parts) or source.path.name in {
        "app.py",
        "__main__.py",
    }
    if not _in_src(source) or outside:
        return
    for node, name in _names(source):
        chance = name in _CHANCE or (name.startswith(_CHANCE_MODULES) and name not in _SOURCES_OF_CHANCE)
        if name in _CLOCKS or chance:
            yield Finding(node.lineno, name)


def _in_src(source: Source) -> bool:
    return source.is_python and source.path.parts[0] in {"services", "libs"} and "src" in source.path.parts


def _names(source: Source) -> Iterator[tuple[ast.Name | ast.Attribute, str]]:
    """Every use of an imported name, with what it stands for; annotations left out."""
    annotations = {
        id(part)
        for node in ast.walk(source.tree)
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if isinstance(annotation, ast.expr)
        for part in ast.walk(annotation)
    }
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in annotations:
            name = source.qualified(node, imported=True)
            if name is not None:
                yield node, name
