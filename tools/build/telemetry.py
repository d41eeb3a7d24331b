"""Write docs/telemetry.md from the metrics, log events and spans in the code; with `--check`, only say whether it is in step.

The code is read, not run, except that each metric is made once to see the name that Prometheus gets.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Final

from servicekit.metrics import CounterSpec, GaugeSpec, HistogramSpec, LevelSpec
from servicekit.settings import TelemetrySettings
from servicekit.telemetry import Telemetry

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "telemetry.md"
PARTS: Final = {
    "Every service": "libs/servicekit/src",
    "edge": "services/edge/src",
    "router": "services/router/src",
    "health-prober": "services/health-prober/src",
    "metering": "services/metering/src",
    "accounts": "services/accounts/src",
}
Spec = CounterSpec | LevelSpec | HistogramSpec | GaugeSpec
SPECS: Final = (CounterSpec, LevelSpec, HistogramSpec, GaugeSpec)
LEVELS: Final = {"debug", "info", "warning", "error"}
HEAD: Final = """# Telemetry

What the services say of themselves. This page is made by `make docs` from their code.

**Metrics** are served as Prometheus text at `/metrics` of the admin port (`<SERVICE>_ADMIN_PORT`), and pushed by OTLP when there is a
collector. Durations are in seconds. The attributes follow OpenTelemetry's conventions where these have a word; no attribute holds
an organisation, a key or a text of a caller.

**Log events** are JSON objects on standard output, one a line: `event` (the name below), `level`, `timestamp`, `logger`, `service`,
`instance`, the fields below, and where they are known `request_id`, `trace_id` and `span_id`. Secrets are masked before a line is
written. `<SERVICE>_LOG_LEVEL` is `info` by default.

**Traces** go by OTLP to `<SERVICE>_TELEMETRY_OTLP_ENDPOINT`, or to `OTEL_EXPORTER_OTLP_ENDPOINT`; without one there are none. The edge
continues the trace of a caller's `traceparent`, or begins one for the share `EDGE_TELEMETRY_SAMPLE_RATIO`; the others follow its
decision. The context travels in gRPC metadata and in the header `traceparent` of a usage event, which the router's spool keeps. So
one trace holds the request at the edge, the call of the router, each attempt at a provider, the settlement in accounts and the ingest
in metering; the last two are also spans of a batch, with links. The request id of an answer (`X-Request-Id`) is in the log lines
of edge, router, accounts and metering that its calls caused.
"""


@dataclass(frozen=True, order=True)
class Event:
    """A log event: its name, its levels and fields as text."""

    name: str
    levels: str
    fields: str


def modules(folder: str) -> list[ast.Module]:
    """The sources below a folder, test doubles left out."""
    paths = sorted(path for path in (ROOT / folder).rglob("*.py") if "testing" not in path.parts)
    return [ast.parse(path.read_text(encoding="utf-8")) for path in paths]


# --- metrics


def specs(folder: str) -> list[Spec]:
    """The metrics that the modules below a folder declare."""
    root = ROOT / folder
    found: dict[str, Spec] = {}
    for path in sorted(path for path in root.rglob("*.py") if "testing" not in path.parts):
        if "Spec(" not in path.read_text(encoding="utf-8"):
            continue
        module = importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
        found |= {spec.name: spec for value in vars(module).values() for spec in _specs_in(value)}
    return [found[name] for name in sorted(found)]


def _specs_in(value: object) -> Iterator[Spec]:
    """The metrics that a name of a module stands for: one, or those of a value that holds several."""
    if isinstance(value, SPECS):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (held for field in fields(value) if isinstance(held := getattr(value, field.name), SPECS))


def exposed_name(spec: Spec) -> str:
    """The name of a metric in the text for Prometheus."""
    telemetry = Telemetry("docs", "docs", TelemetrySettings())
    if isinstance(spec, GaugeSpec):
        spec.create(telemetry.meter, lambda: 1.0)
    elif isinstance(spec, HistogramSpec):
        spec.create(telemetry.meter).record(1)
    else:
        spec.create(telemetry.meter).add(1)
    lines = telemetry.exposition()[0].decode().splitlines()
    (name,) = [line.split()[2] for line in lines if line.startswith("# TYPE") and "target_info" not in line]
    return name


def metric_rows(found: Sequence[Spec]) -> Iterator[str]:
    """A line of a table for each metric."""
    for spec in found:
        kind = type(spec).__name__.removesuffix("Spec").lower()
        yield f"| `{spec.name}` | `{exposed_name(spec)}` | {kind} | {spec.description} |"


# --- log events


def events(tree: ast.Module) -> set[Event]:
    """The log events of a module."""
    found: set[Event] = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            found.update(_events_of(function, tree))
    return found


def _events_of(function: ast.FunctionDef | ast.AsyncFunctionDef, tree: ast.Module) -> Iterator[Event]:
    aliases = {
        target.id: levels
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and (levels := _levels(node.value))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in _calls(function):
        levels = aliases.get(call.func.id, ()) if isinstance(call.func, ast.Name) else _levels(call.func)
        if not levels or not call.args:
            continue
        name = call.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield Event(name.value, " or ".join(levels), _fields([call]))
        elif isinstance(name, ast.Name):
            # A helper that logs what it is told: its callers name the event.
            for caller in _calls(tree):
                told = caller.args[0] if caller.args else None
                called = isinstance(caller.func, ast.Attribute) and caller.func.attr == function.name
                if called and isinstance(told, ast.Constant) and isinstance(told.value, str):
                    yield Event(told.value, " or ".join(levels), _fields([call, caller]))


def _calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _levels(node: ast.expr) -> tuple[str, ...]:
    """The levels that `_log.info`, or a choice between two of them, stands for."""
    if isinstance(node, ast.IfExp):
        return (*_levels(node.orelse), *_levels(node.body))
    is_log = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "_log"
    return (node.attr,) if isinstance(node, ast.Attribute) and is_log and node.attr in LEVELS else ()


def _fields(calls: Sequence[ast.Call]) -> str:
    names = {keyword.arg or "…" for call in calls for keyword in call.keywords} - {"exc_info"}
    return " ".join(
        f"`{name}`" if name != "…" else name for name in sorted(names, key=lambda name: (name == "…", name))
    )


def event_rows(found: set[Event]) -> Iterator[str]:
    """A line of a table for each event; the fields of one that is logged in several places together."""
    for name in sorted({event.name for event in found}):
        same = sorted(event for event in found if event.name == name)
        levels = " or ".join(dict.fromkeys(level for event in same for level in event.levels.split(" or ")))
        fields = " ".join(dict.fromkeys(field for event in same for field in event.fields.split()))
        yield f"| `{name}` | {levels} | {fields} |"


# --- spans


def spans(tree: ast.Module) -> set[tuple[str, str]]:
    """Names and kinds of the spans that a module begins."""
    texts = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = set()
    for call in _calls(tree):
        called = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        kinds = [each.attr for each in values if ast.unparse(each).startswith("SpanKind.") and hasattr(each, "attr")]
        if called in ("span", "start_span") and kinds:
            name = call.args[1] if called == "span" else call.args[0]
            if isinstance(name, ast.Name):
                name = texts.get(name.id, name)
            found.add((_text(name), kinds[0].lower()))
    return found


def _text(node: ast.expr) -> str:
    """A text as it is, with what is filled in between `<` and `>`."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value)
    return f"<{ast.unparse(node).rpartition('.')[2].lstrip('_').replace('_', ' ')}>"


# --- the page


def _table(title: str, head: Sequence[str], rows: Iterator[str]) -> str:
    lines = list(rows)
    if not lines:
        return ""
    return "\n".join([f"### {title}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, ""])


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, folder in PARTS.items():
        trees = modules(folder)
        found_events = set().union(*map(events, trees))
        found_spans = sorted(set().union(*map(spans, trees)))
        parts += [
            f"## {title}\n",
            _table("Metrics", ("name", "in Prometheus", "kind", ""), metric_rows(specs(folder))),
            _table("Log events", ("event", "level", "fields"), event_rows(found_events)),
            _table("Spans", ("name", "kind"), (f"| `{name}` | {kind} |" for name, kind in found_spans)),
        ]
    return "\n".join(part for part in parts if part)


def main() -> int:
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print("docs/telemetry.md is not what the code says: run 'make docs' and commit the result", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
