"""What docs/telemetry.md is made from: events, levels, fields and spans as the code states them."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from servicekit.metrics import CounterSpec, GaugeSpec, HistogramSpec, LevelSpec


@pytest.fixture(scope="module")
def telemetry() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "telemetry.py"
    spec = importlib.util.spec_from_file_location("turnpike_telemetry_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(telemetry: Any, source: str) -> list[str]:
    return list(telemetry.event_rows(telemetry.events(ast.parse(source))))


def test_event_with_level_and_fields(telemetry: Any) -> None:
    source = "def f(error):\n    _log.warning('disk.filled', path='x', bytes=1, exc_info=error)\n"
    assert rows(telemetry, source) == ["| `disk.filled` | warning | `bytes` `path` |"]


def test_event_whose_level_is_chosen(telemetry: Any) -> None:
    source = "def f(bad):\n    log = _log.warning if bad else _log.info\n    log('batch.ended', **more)\n"
    assert rows(telemetry, source) == ["| `batch.ended` | info or warning | … |"]


def test_events_that_callers_of_a_helper_name(telemetry: Any) -> None:
    source = """
class A:
    def _fail(self, event, error):
        _log.error(event, error=error)
    def f(self):
        self._fail("part.failed", 1)
        self._fail("part.stuck", 2, seconds=3)
"""
    assert rows(telemetry, source) == [
        "| `part.failed` | error | `error` |",
        "| `part.stuck` | error | `error` `seconds` |",
    ]


def test_one_event_in_two_places_is_one_row(telemetry: Any) -> None:
    source = "def f():\n    _log.info('a.done', x=1)\ndef g():\n    _log.error('a.done', y=1)\n"
    assert rows(telemetry, source) == ["| `a.done` | error or info | `y` `x` |"]


def test_other_calls_are_no_events(telemetry: Any) -> None:
    assert rows(telemetry, "def f():\n    log.info('a.b')\n    self.info('c.d')\n    _log.bind(x=1)\n") == []


def test_spans_with_names_that_are_made(telemetry: Any) -> None:
    source = """
def f(self, request):
    name = f"{request.method} {match.template}"
    with span(self._tracer, name, kind=SpanKind.SERVER):
        self._tracer.start_span(f"chat {endpoint.upstream_model}", kind=SpanKind.CLIENT)
        self._tracer.start_span("settle", kind=SpanKind.CONSUMER)
"""
    assert telemetry.spans(ast.parse(source)) == {
        ("<method> <template>", "server"),
        ("chat <upstream model>", "client"),
        ("settle", "consumer"),
    }


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (CounterSpec("a.events", "{event}", "-"), "a_events_total"),
        (LevelSpec("a.open", "{call}", "-"), "a_open"),
        (HistogramSpec("a.duration", "s", "-"), "a_duration_seconds"),
        (GaugeSpec("a.size", "By", "-"), "a_size_bytes"),
    ],
)
def test_names_in_prometheus(telemetry: Any, spec: Any, name: str) -> None:
    assert telemetry.exposed_name(spec) == name
