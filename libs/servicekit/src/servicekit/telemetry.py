"""OpenTelemetry for one process: traces to a collector if there is one, metrics to Prometheus always."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NoOpTracer, Tracer
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from servicekit.logs import get_logger
from servicekit.namespace import NAMESPACE
from servicekit.settings import TelemetrySettings

_log = get_logger(__name__)

_FLUSH_SECONDS: Final = 3.0
_METRIC_EXPORT_MS: Final = 30_000


class Telemetry:
    """The providers of one process. Make it after any fork: the SDK's threads do not survive one."""

    def __init__(self, service: str, instance: str, settings: TelemetrySettings) -> None:
        """Make the providers; nothing is global, so several services can live in one process in tests."""
        resource = Resource.create(
            {
                "service.name": service,
                "service.namespace": NAMESPACE,
                "service.instance.id": instance,
                "service.version": _version(service),
            }
        )
        self._registry = CollectorRegistry()
        readers: list[MetricReader] = [PrometheusMetricReader(registry=self._registry)]
        self._tracers: TracerProvider | None = None
        if settings.otlp_endpoint:
            insecure = not settings.otlp_endpoint.startswith("https://")
            spans = OTLPSpanExporter(endpoint=settings.otlp_endpoint, insecure=insecure)
            sampler = ParentBased(TraceIdRatioBased(settings.sample_ratio))
            self._tracers = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
            self._tracers.add_span_processor(BatchSpanProcessor(spans, schedule_delay_millis=1000))
            metrics = OTLPMetricExporter(endpoint=settings.otlp_endpoint, insecure=insecure)
            readers.append(PeriodicExportingMetricReader(metrics, export_interval_millis=_METRIC_EXPORT_MS))
        self._meters = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
        # Without a collector, spans cost next to nothing; the context of a caller still passes through.
        self.tracer: Tracer = self._tracers.get_tracer(service) if self._tracers else NoOpTracer()
        self.meter: Meter = self._meters.get_meter(service)

    def exposition(self) -> tuple[bytes, str]:
        """The metrics as Prometheus text, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    async def shutdown(self) -> None:
        """Flush and stop, in at most 3 s: a collector that is gone does not hold up the process."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def work() -> None:
            if self._tracers is not None:
                self._tracers.shutdown()
            self._meters.shutdown(timeout_millis=_FLUSH_SECONDS * 1000)
            # The loop may be closed by now, when the time was up.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set)

        # Not the loop's executor: its threads are joined at the end, without a limit.
        threading.Thread(target=work, name="telemetry-shutdown", daemon=True).start()
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await done.wait()
        except TimeoutError:
            _log.warning("telemetry.flush_abandoned", seconds=_FLUSH_SECONDS)


def _version(service: str) -> str:
    for distribution in (f"{NAMESPACE}-{service}", service):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "unknown"
