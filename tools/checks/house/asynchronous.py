"""Queues are bounded, tasks have owners, nothing is patched."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from house.source import Finding, Source

_QUEUES = {
    f"{module}.{name}"
    for module in ("asyncio", "queue", "multiprocessing")
    for name in ("Queue", "LifoQueue", "PriorityQueue", "JoinableQueue")
}
_NEVER_BOUNDED = {"queue.SimpleQueue", "multiprocessing.SimpleQueue"}
_TASKS = {"create_task", "ensure_future", "run_coroutine_threadsafe"}
_LOOPS = {"asyncio.get_running_loop", "asyncio.get_event_loop", "asyncio.new_event_loop"}
_PATCHES = {"setattr", "delattr", "setitem", "delitem"}


def unbounded_queues(source: Source) -> Iterator[Finding]:
    if not source.is_python:
        return
    for call in source.calls():
        target = call.func.value if isinstance(call.func, ast.Subscript) else call.func
        name = source.qualified(target)
        if name in _NEVER_BOUNDED:
            yield Finding(call.lineno, f"{name} has no bound")
        elif name in _QUEUES:
            size = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "maxsize"), None)
            if size is None or _is_no_bound(size):
                yield Finding(call.lineno, f"{name} without a size")


def _is_no_bound(size: ast.expr) -> bool:
    """0 and less mean no bound; anything that is not a literal is taken for a bound."""
    if isinstance(size, ast.UnaryOp):
        return isinstance(size.op, ast.USub)
    return isinstance(size, ast.Constant) and not (isinstance(size.value, int) and size.value > 0)


def unowned_tasks(source: Source) -> Iterator[Finding]:
    """`loop.create_task(…)`; `asyncio.create_task` itself is banned by ruff."""
    if not source.is_python or source.path.match("servicekit/src/servicekit/lifecycle.py"):
        return
    for call in source.calls():
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in _TASKS:
            continue
        owner = call.func.value
        through_loop = isinstance(owner, ast.Call) and source.qualified(owner.func) in _LOOPS
        named = (source.qualified(owner) or "").rpartition(".")[2]
        if through_loop or named in {"loop", "_loop"}:
            yield Finding(call.lineno, f"loop.{call.func.attr}: use asyncio.TaskGroup")


def patching(source: Source) -> Iterator[Finding]:
    if not source.is_python:
        return
    for call in source.calls():
        if not isinstance(call.func, ast.Attribute):
            continue
        owner = (source.qualified(call.func.value) or "").rpartition(".")[2]
        if owner in {"monkeypatch", "mocker"} and call.func.attr in _PATCHES:
            yield Finding(call.lineno, f"{owner}.{call.func.attr}")
