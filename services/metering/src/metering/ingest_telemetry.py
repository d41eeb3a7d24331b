"""What the ingest says about itself: metrics, spans and one log line a flush."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from opentelemetry.metrics import Meter
from opentelemetry.trace import Link, Span, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

from metering.domain.batch import Batch, Received
from metering.domain.usage import UnixMs, UsageRow
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec, GaugeSpec, HistogramSpec
from servicekit.tracing import context_from_headers, span

_log = get_logger(__name__)

ROWS: Final = CounterSpec("metering.rows.inserted", "{row}", "Usage events that were written to the store.")
BATCHES: Final = CounterSpec("metering.batches.completed", "{batch}", "Batches that were inserted and marked as done.")
FAILURES: Final = CounterSpec("metering.flushes.failed", "{flush}", "Attempts to write that will be repeated.")
LETTERS: Final = CounterSpec("metering.dead_letters.sent", "{record}", "Records that broke a rule and were set aside.")
MISSING: Final = CounterSpec(
    "metering.records.missing", "{record}", "Records that left the topic before they were read."
)
REFUSED: Final = CounterSpec(
    "metering.records.deferred", "{record}", "Records that were not taken because memory is full."
)
DURATION: Final = HistogramSpec("metering.flush.duration", "s", "From the plan to the end of a flush.")
DELAY: Final = HistogramSpec(
    "metering.ingest.delay", "s", "From the end of a generation to its row, the oldest of a flush."
)
WAITING: Final = GaugeSpec("metering.backlog.records", "{record}", "Records that are read and not yet in the store.")
AGE: Final = GaugeSpec("metering.backlog.age", "s", "Since the oldest record that is not yet in the store was read.")

_TRACEPARENT_LENGTH: Final = 55  # 00-<32 hex>-<16 hex>-<2 hex>
_SAMPLED: Final = 0x01
_ended_at = attrgetter("ended_at")


def sampled_traceparent(value: str | None) -> str | None:
    """Give the header back when its trace is recorded, and None otherwise."""
    if value is None or len(value) != _TRACEPARENT_LENGTH:
        return None
    try:
        return value if int(value[-2:], 16) & _SAMPLED else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Backlogs:
    """What the gauges show. Both are called from the collecting thread."""

    waiting: Callable[[], float]
    age: Callable[[], float]


class IngestTelemetry:
    """The instruments of the ingest."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._meter = meter
        self._rows = ROWS.create(meter)
        self._batches = BATCHES.create(meter)
        self._failures = FAILURES.create(meter)
        self._letters = LETTERS.create(meter)
        self._missing = MISSING.create(meter)
        self._refused = REFUSED.create(meter)
        self._duration = DURATION.create(meter)
        self._delay = DELAY.create(meter)

    def watch(self, backlogs: Backlogs) -> None:
        """Show what waits in memory."""
        WAITING.create(self._meter, backlogs.waiting)
        AGE.create(self._meter, backlogs.age)

    @contextmanager
    def flush(self, batch: Batch) -> Iterator[Span]:
        """Span of one flush; the spans of the records link to it."""
        attributes: dict[str, AttributeValue] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "ingest",
            "messaging.operation.type": "process",
            "messaging.batch.message_count": len(batch),
        }
        with span(self._tracer, "ingest batch", kind=SpanKind.CONSUMER, attributes=attributes) as current:
            yield current

    def flushed(self, batch: Batch, rows: Sequence[UsageRow], flush: Span, seconds: float, now: UnixMs) -> None:
        """Report a flush that succeeded, and the rows of its batch."""
        letters, missing = len(batch) - len(rows), batch.missing
        link = [Link(flush.get_span_context())]
        for part in batch.parts:
            for entry in part.received:
                if entry.traceparent is not None:
                    self._trace(entry, entry.traceparent, batch.plan.topic, part.span.partition, link, now)
        self._rows.add(len(rows))
        self._batches.add(1)
        self._letters.add(letters)
        self._duration.record(seconds)
        if rows:
            self._delay.record(max(0.0, (now - min(map(_ended_at, rows))) / 1_000))
        if missing:
            self.missing(missing)
        _log.info(
            "batch.flushed",
            rows=len(rows),
            dead_letters=letters,
            missing=missing,
            seconds=round(seconds, 4),
            bounds={f"{batch.plan.topic}/{s.partition}": f"{s.first}-{s.last}" for s in batch.plan.spans},
        )

    def failed(self, error: Exception, retry_in: float) -> None:
        """Report a flush that will be repeated."""
        self._failures.add(1, {"error.type": type(error).__name__})
        _log.warning("batch.flush_failed", error=type(error).__name__, reason=str(error), retry_in_s=retry_in)

    def deferred(self, records: int) -> None:
        """Count records that were not taken."""
        self._refused.add(records)

    def missing(self, records: int) -> None:
        """Count records that left the topic before they were read."""
        self._missing.add(records)

    def _trace(
        self, entry: Received, traceparent: str, topic: str, partition: int, link: list[Link], now: UnixMs
    ) -> None:
        """Continue a recorded trace: from when the record was read to when its row is safe."""
        record = self._tracer.start_span(
            "ingest usage",
            context=context_from_headers({"traceparent": traceparent}),
            kind=SpanKind.CONSUMER,
            links=link,
            start_time=entry.received_at * 1_000_000,
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.name": "ingest",
                "messaging.operation.type": "process",
                "messaging.destination.name": topic,
                "messaging.destination.partition.id": str(partition),
                "messaging.kafka.offset": entry.offset,
            },
        )
        if entry.letter is not None:
            record.set_attribute("error.type", "InvalidUsageEventError")
        record.end(end_time=max(now, entry.received_at) * 1_000_000)
