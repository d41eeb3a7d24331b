"""An OTLP collector that keeps the spans it receives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True)
class CollectedSpan:
    """A span as it arrived: ids in hex, the service that sent it, its name and its parent."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span; safe to read while spans arrive."""

    def __init__(self) -> None:
        self.endpoint = ""
        self._spans: list[CollectedSpan] = []
        self._requests: list[bytes] = []
        self._lock = threading.Lock()

    def Export(  # noqa: N802 - the name of the RPC
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        found: list[CollectedSpan] = []
        for resource in request.resource_spans:
            service = next(
                (a.value.string_value for a in resource.resource.attributes if a.key == "service.name"), "unknown"
            )
            for scope in resource.scope_spans:
                found.extend(
                    CollectedSpan(
                        span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), service, span.name
                    )
                    for span in scope.spans
                )
        with self._lock:
            self._spans.extend(found)
            self._requests.append(request.SerializeToString())
        return trace_service_pb2.ExportTraceServiceResponse()

    def everything(self) -> bytes:
        """All that has arrived so far, as it was sent: names, attributes, events, resources."""
        with self._lock:
            return b"\n".join(self._requests)

    def trace(self, trace_id: str) -> list[CollectedSpan]:
        """Every span of a trace that has arrived so far."""
        with self._lock:
            return [span for span in self._spans if span.trace_id == trace_id]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    add = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(collector, server)  # type: ignore[no-untyped-call]  # generated without types
    port = server.add_insecure_port("127.0.0.1:0")
    collector.endpoint = f"http://127.0.0.1:{port}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(grace=1).wait()
