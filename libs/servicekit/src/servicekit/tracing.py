"""Trace context between processes (W3C `traceparent`), and spans that record errors without their text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

TRACEPARENT: Final = "traceparent"

_propagator = TraceContextTextMapPropagator()


def inject_headers(headers: MutableMapping[str, str], context: Context | None = None) -> None:
    """Add `traceparent` (and `tracestate`) of the current span, or of `context`, to headers; nothing without a trace."""
    _propagator.inject(headers, context=context)


def context_from_headers(headers: Mapping[str, str]) -> Context:
    """Read the trace context from headers; an empty context if there is none or it is malformed."""
    if TRACEPARENT not in headers:
        return Context()
    return _propagator.extract(headers, context=Context())


def is_sampled(context: Context) -> bool:
    """Whether the trace that `context` belongs to is recorded."""
    return trace.get_current_span(context).get_span_context().trace_flags.sampled


def span_link(context: Context) -> Link | None:
    """A link to the span in `context`, for work on many causes at once; None if there is no span."""
    span_context = trace.get_current_span(context).get_span_context()
    return Link(span_context) if span_context.is_valid else None


def record_error(span: Span, error: BaseException) -> None:
    """Mark a span as failed, with the kind of the error only: its text may hold what must not be traced."""
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR))


@contextmanager
def span(
    tracer: Tracer,
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    context: Context | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
    links: list[Link] | None = None,
) -> Iterator[Span]:
    """A span that is current inside the block; an exception marks it as failed."""
    with tracer.start_as_current_span(
        name,
        context=context,
        kind=kind,
        attributes=attributes,
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except BaseException as error:
            record_error(current, error)
            raise


@contextmanager
def attached(context: Context) -> Iterator[None]:
    """Make `context` the current one inside the block."""
    token = attach(context)
    try:
        yield
    finally:
        detach(token)
