"""Logs and metrics are read by machines: their names are constants of one form."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from house.source import Finding, Source

_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
_LOGGERS = {"log", "_log", "logger", "_logger", "LOG"}
_EVENT = re.compile(r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$")
_INSTRUMENTS = {
    "create_counter", "create_up_down_counter", "create_histogram", "create_gauge",
    "create_observable_counter", "create_observable_gauge", "create_observable_up_down_counter",
}  # fmt: skip
_METRIC = re.compile(r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$")


def log_events(source: Source) -> Iterator[Finding]:
    if not _in_service(source):
        return
    for call in source.calls():
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in _LEVELS or not call.args:
            continue
        if (source.qualified(call.func.value) or "").rpartition(".")[2] not in _LOGGERS:
            continue
        event = call.args[0]
        if not isinstance(event, ast.Constant):
            yield Finding(call.lineno, "the event is not a constant")
        elif not isinstance(event.value, str) or not _EVENT.match(event.value):
            yield Finding(call.lineno, f"event {event.value!r}")


def metric_names(source: Source) -> Iterator[Finding]:
    if not _in_service(source):
        return
    for call in source.calls():
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in _INSTRUMENTS:
            continue
        name = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "name"), None)
        if isinstance(name, ast.Constant) and not _METRIC.match(str(name.value)):
            yield Finding(call.lineno, f"metric {name.value!r}")


def _in_service(source: Source) -> bool:
    return source.is_python and source.path.parts[0] in {"services", "libs"} and "src" in source.path.parts
