"""Structured logs: one JSON object a line on standard output, with service, instance, request and trace ids.

An event is named `noun.verb_past` and has fields; texts made of values are not events.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import MutableMapping, Sequence
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from opentelemetry import trace
from structlog.contextvars import bind_contextvars, get_contextvars, unbind_contextvars
from structlog.typing import FilteringBoundLogger, Processor

from servicekit.redaction import Redactor
from servicekit.settings import LogSettings

_QUIET = {
    "aiohttp.access": logging.WARNING,
    # Repeats every failed attempt as an error; servicekit.kafka logs when a cluster is lost and found.
    "aiokafka": logging.CRITICAL,
    "asyncio": logging.WARNING,
    "opentelemetry": logging.WARNING,
}
"""Loggers of libraries that say too much, with the level that they get unless the service's is debug."""


def get_logger(name: str) -> FilteringBoundLogger:
    """Make a logger; `name` (of the module) becomes the field `logger`."""
    return cast("FilteringBoundLogger", structlog.get_logger(logger_name=name))


class RequestScope:
    """Fields that are bound to the current context until the end of the `with` block, if there is one."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def __enter__(self) -> RequestScope:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        unbind_contextvars(*self._names)


def bind_request(request_id: str, **fields: Any) -> RequestScope:
    """Give every log event of the current task (and of those that it starts) the request's id and these fields.

    They are bound at once. Use the result as a context manager to unbind them; not needed where the task ends with the
    request.
    """
    bind_contextvars(request_id=request_id, **fields)
    return RequestScope(("request_id", *fields))


def current_request_id() -> str | None:
    """The id that `bind_request` bound in this context."""
    value = get_contextvars().get("request_id")
    return value if isinstance(value, str) else None


def configure_logs(
    settings: LogSettings,
    *,
    service: str,
    instance: str,
    redactor: Redactor | None = None,
    stream: TextIO | None = None,
) -> None:
    """Set up structlog, and send the standard library's logging (of aiokafka, grpc, asyncio, …) the same way.

    Args:
        settings: level and format.
        service: becomes a field of every event.
        instance: becomes a field of every event.
        redactor: masks secrets; with the generic patterns unless given.
        stream: where to, instead of standard output.
    """
    stream = sys.stdout if stream is None else stream
    if isinstance(stream, io.TextIOWrapper):
        # Headers and paths that are not UTF-8 become lone surrogates; logging them must not raise.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    identity = {"service": service, "instance": instance}
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _name_logger,
        _Identity(identity),
        _add_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redactor or Redactor(),
    ]
    renderer: Processor
    if settings.format == "json":
        renderer = structlog.processors.JSONRenderer(serializer=_to_json)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
            processors=[*shared, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(logging.INFO if level == logging.DEBUG else max(level, quiet))


class _Identity:
    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.update(self._fields)
        return event


def _add_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _name_logger(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = event.pop("_record", None)
    event.pop("_from_structlog", None)
    name = event.pop("logger_name", None) or getattr(record, "name", None)
    if name:
        event["logger"] = name
    return event


def _to_json(event: Any, **_: Any) -> str:
    return json.dumps(event, default=str, ensure_ascii=False, separators=(",", ":"))
