"""What several tests of servicekit need: a broker, a collector, logs in memory, the tiny service as a process."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest
import structlog
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from servicekit.logs import configure_logs
from servicekit.settings import KafkaSettings, LogSettings, parse_duration
from servicekit.testing import BrokerProcess, kafka_broker

TINY_SERVICE = Path(__file__).parent / "integration" / "tiny_service.py"


class Eventually(Protocol):
    def __call__(self, condition: Callable[[], bool]) -> Awaitable[None]: ...


@pytest.fixture
def eventually() -> Eventually:
    """Waits until a condition holds; the time limit of the test is the limit."""

    async def wait(condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - the condition may be about another process
            await asyncio.sleep(0.01)

    return wait


# --- logs -------------------------------------------------------------------------------------------------------------


class Lines:
    """What was logged, parsed."""

    def __init__(self, stream: io.StringIO) -> None:
        self.stream = stream

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def named(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.events if line["event"] == event]


@pytest.fixture
def logged() -> Iterator[Lines]:
    """Configures logging into memory, everything included, and puts back what was there."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configuration = structlog.get_config()
    stream = io.StringIO()
    configure_logs(LogSettings(level="debug"), service="shop", instance="shop-1", stream=stream)
    # Loggers of modules would otherwise keep writing here after the test.
    structlog.configure(cache_logger_on_first_use=False)
    yield Lines(stream)
    structlog.contextvars.clear_contextvars()
    structlog.configure(**configuration)
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


# --- Kafka ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    """A broker of the test's own, which it may stop, freeze and replace."""
    with kafka_broker() as started:
        yield started


@pytest.fixture
def kafka(broker: BrokerProcess) -> KafkaSettings:
    """How to reach the broker, with limits that make its absence show soon."""
    return kafka_settings(broker.bootstrap)


def kafka_settings(bootstrap: str) -> KafkaSettings:
    return KafkaSettings(
        brokers=bootstrap,
        request_timeout=parse_duration("2s"),
        send_timeout=parse_duration("3s"),
        watch_interval=parse_duration("100ms"),
        session_timeout=parse_duration("2s"),
        stall_timeout=parse_duration("2s"),
    )


# --- OTLP -------------------------------------------------------------------------------------------------------------


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):
    """An OTLP collector that keeps what it gets: spans by name, and the names of metrics."""

    endpoint: str = ""
    spans: dict[str, Any] = field(default_factory=dict)
    resources: list[dict[str, str]] = field(default_factory=list)
    metrics: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def receive_spans(
        self, request: trace_service_pb2.ExportTraceServiceRequest, _: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        with self._lock:
            for resource in request.resource_spans:
                attributes = resource.resource.attributes
                self.resources.append({pair.key: pair.value.string_value for pair in attributes})
                self.spans |= {span.name: span for scope in resource.scope_spans for span in scope.spans}
        return trace_service_pb2.ExportTraceServiceResponse()

    def receive_metrics(
        self, request: metrics_service_pb2.ExportMetricsServiceRequest, _: grpc.ServicerContext
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        with self._lock:
            for resource in request.resource_metrics:
                self.metrics |= {metric.name for scope in resource.scope_metrics for metric in scope.metrics}
        return metrics_service_pb2.ExportMetricsServiceResponse()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    services: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "opentelemetry.proto.collector.trace.v1.TraceService": grpc.unary_unary_rpc_method_handler(
            collector.receive_spans,
            trace_service_pb2.ExportTraceServiceRequest.FromString,
            trace_service_pb2.ExportTraceServiceResponse.SerializeToString,
        ),
        "opentelemetry.proto.collector.metrics.v1.MetricsService": grpc.unary_unary_rpc_method_handler(
            collector.receive_metrics,
            metrics_service_pb2.ExportMetricsServiceRequest.FromString,
            metrics_service_pb2.ExportMetricsServiceResponse.SerializeToString,
        ),
    }
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    for name, handler in services.items():
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, {"Export": handler})])
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield collector
    server.stop(grace=1).wait()


# --- the tiny service -------------------------------------------------------------------------------------------------


class ServiceProcess:
    """`tiny_service.py` as a process, read by its log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []

    async def next_event(self) -> dict[str, Any] | None:
        """The next line of the log; None at its end."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            return None
        event: dict[str, Any] = json.loads(line)
        self.events.append(event)
        return event

    async def until(self, name: str, **fields: Any) -> dict[str, Any]:
        """The next event of this name with these fields."""
        while (event := await self.next_event()) is not None:
            if event["event"] == name and fields.items() <= event.items():
                return event
        raise AssertionError(f"the log ended without {name}: {self.events}")

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def finish(self) -> int:
        """Read the log to its end; give the exit code."""
        while await self.next_event() is not None:
            pass
        return await self.process.wait()

    def names(self) -> list[str]:
        """What happened, as `event` or `event:step`."""
        return [event["event"] + (f":{event['step']}" if "step" in event else "") for event in self.events]


StartService = Callable[..., Awaitable[ServiceProcess]]


@pytest.fixture
async def start_service() -> AsyncIterator[StartService]:
    """Starts the tiny service with these variables (`TINY_` is added)."""
    started: list[asyncio.subprocess.Process] = []

    async def start(**variables: str) -> ServiceProcess:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("TINY_", "OTEL_"))}
        environ |= {f"TINY_{name}": value for name, value in variables.items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(TINY_SERVICE), env=environ, stdout=asyncio.subprocess.PIPE
        )
        started.append(process)
        return ServiceProcess(process)

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()
