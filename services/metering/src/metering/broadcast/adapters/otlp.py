"""Spans as OTLP, in protobuf and in its JSON form."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from metering.broadcast.domain.spans import SCHEMA_URL, GenerationSpan, Value

SERVICE: Final = "turnpike"
SCOPE: Final = "turnpike.broadcast"
_encode = msgspec.json.Encoder().encode


def otlp_of(spans: Sequence[GenerationSpan]) -> ExportTraceServiceRequest:
    """Make the request that exports spans."""
    scope = ScopeSpans(
        scope=InstrumentationScope(name=SCOPE), spans=[_span(each) for each in spans], schema_url=SCHEMA_URL
    )
    resource = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value=SERVICE))])
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[scope], schema_url=SCHEMA_URL)]
    )


def otlp_json(spans: Sequence[GenerationSpan]) -> bytes:
    """Write the same as OTLP's JSON: that of protobuf, but ids in hexadecimal and enumerations as numbers."""
    document: dict[str, Any] = MessageToDict(otlp_of(spans), use_integers_for_enums=True)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId"):
                    span[name] = base64.b64decode(span[name]).hex()
    return _encode(document)


def _span(span: GenerationSpan) -> Span:
    status = Status(code=Status.STATUS_CODE_ERROR, message=span.error) if span.error else Status()
    return Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        name=span.name,
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=[KeyValue(key=name, value=_value(value)) for name, value in span.attributes.items()],
        status=status,
    )


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, tuple):
        return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=each) for each in value]))
    return AnyValue(string_value=value)
