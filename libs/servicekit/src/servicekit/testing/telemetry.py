"""Spans and metrics kept in memory, as values to assert on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer


class RecordingTelemetry:
    """A tracer and a meter that keep everything."""

    def __init__(self, service: str = "test") -> None:
        self._exporter = InMemorySpanExporter()
        self._tracers = TracerProvider(shutdown_on_exit=False)
        self._tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider(metric_readers=[self._reader], shutdown_on_exit=False)
        self.tracer: Tracer = self._tracers.get_tracer(service)
        self.meter: Meter = self._meters.get_meter(service)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """Spans that have ended, in the order of their ends."""
        return self._exporter.get_finished_spans()

    def span(self, name: str) -> ReadableSpan:
        """The only span of this name.

        Raises:
            AssertionError: there is none, or several.
        """
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, f"{len(found)} spans named {name!r} among {[span.name for span in self.spans]}"
        return found[0]

    def metric(self, name: str, attributes: Mapping[str, str] | None = None) -> float:
        """The value of a counter or gauge, or the count of a histogram, summed over all points with these attributes."""
        wanted = dict(attributes or {})
        total = 0.0
        for point in self._points(name):
            if all((point.attributes or {}).get(key) == value for key, value in wanted.items()):
                total += point.count if isinstance(point, HistogramDataPoint) else point.value
        return total

    def _points(self, name: str) -> list[NumberDataPoint | HistogramDataPoint]:
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint | HistogramDataPoint)
        ]
