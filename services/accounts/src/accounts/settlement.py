"""Settlement: usage events from Kafka into the books, each once in effect."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, Tracer

from accounts.domain.errors import StoreUnavailableError
from accounts.domain.ports import ReceivedRecord, SettlementBatch, SettlementResult, SettlementStore
from accounts.price_book import PriceBook, UnknownPriceError
from accounts.usage_facts import fact_from_proto
from contracts.usage import InvalidUsageEventError, validate_usage_event
from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.kafka import Record, RetryLaterError, TopicPartition
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec, HistogramSpec
from servicekit.tracing import context_from_headers, is_sampled, span, span_link
from turnpike.usage.v1 import usage_event_pb2

_log = get_logger(__name__)


SETTLED: Final = CounterSpec("accounts.settlement.events", "{event}", "Usage events that were posted to the ledger.")
REJECTED: Final = CounterSpec("accounts.settlement.rejected", "{event}", "Usage events that were set aside.")
LOST: Final = CounterSpec("accounts.settlement.lost", "{record}", "Records that left the topic before they were read.")
OVERSHOOT: Final = CounterSpec(
    "accounts.billing.overshoot", "{nanodollar}", "What generations cost beyond the credit that was set aside for them."
)
SUSPENDED: Final = CounterSpec(
    "accounts.suspense.nano", "{nanodollar}", "What providers will charge for usage that could not be priced."
)
BATCH_SECONDS: Final = HistogramSpec("accounts.settlement.duration", "s", "One batch, from its records to the commit.")


UNRECONCILED: Final = CounterSpec(
    "accounts.settlement.unreconciled", "{event}", "Generations whose end nobody knows, settled at nothing."
)


class Settlement:
    """Handles the records of the usage topic."""

    def __init__(
        self,
        store: SettlementStore,
        clock: Clock,
        tracer: Tracer,
        meter: Meter,
        failpoints: Failpoints,
        prices: PriceBook | None = None,
    ) -> None:
        """Make the handler.

        Args:
            store: the books.
            clock: source of times.
            tracer: for spans.
            meter: for metrics.
            failpoints: places at which a test kills the process.
            prices: what usage may be charged at; without it, any price that an event carries.
        """
        self._prices = prices
        self._failpoints = failpoints
        self._store = store
        self._clock = clock
        self._tracer = tracer
        self._settled = SETTLED.create(meter)
        self._rejected = REJECTED.create(meter)
        self._lost = LOST.create(meter)
        self._overshoot = OVERSHOOT.create(meter)
        self._unreconciled = UNRECONCILED.create(meter)
        self._suspended = SUSPENDED.create(meter)
        self._seconds = BATCH_SECONDS.create(meter)

    async def start_offsets(
        self, cluster_id: str, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Ask the books where to go on.

        Raises:
            RetryLaterError: they cannot be reached.
        """
        found: dict[TopicPartition, int] = {}
        for topic in {partition.topic for partition in partitions}:
            numbers = [partition.partition for partition in partitions if partition.topic == topic]
            try:
                offsets = await self._store.offsets(cluster_id, topic, numbers)
            except StoreUnavailableError as error:
                raise RetryLaterError(str(error)) from error
            found.update({TopicPartition(topic, number): offset for number, offset in offsets.items()})
        return found

    async def handle(self, cluster_id: str, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Post a batch; its offset is committed with it.

        Raises:
            RetryLaterError: the books cannot be reached; nothing was posted.
        """
        started = self._clock.monotonic()
        batch = SettlementBatch(
            cluster_id=cluster_id,
            topic=partition.topic,
            partition=partition.partition,
            next_offset=records[-1].offset + 1,
            records=await self._receive_all(records),
        )
        self._failpoints.reach("settle.before")
        with self._spans(records):
            try:
                result = await self._store.settle(batch, self._clock.now())
            except StoreUnavailableError as error:
                raise RetryLaterError(str(error)) from error
        self._failpoints.reach("settle.after")
        self._report(batch, result, self._clock.monotonic() - started)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing is kept between batches."""

    async def gap(self, partition: TopicPartition, expected: int, actual: int) -> None:
        """Report records that left the topic before they were read."""
        if actual > expected:
            self._lost.add(actual - expected)
        _log.error(
            "records.lost", topic=partition.topic, partition=partition.partition, expected=expected, actual=actual
        )

    async def _receive_all(self, records: Sequence[Record]) -> list[ReceivedRecord]:
        """Read records; unknown prices are looked up before they are believed to be unknown.

        Raises:
            RetryLaterError: the books cannot be reached.
        """
        missing: set[str] = set()
        received = [_receive(record, self._prices, missing) for record in records]
        looked_up: set[str] = set()
        # Again for the prices of copies: a record is read up to its first unknown price.
        while self._prices is not None and missing - looked_up:
            looked_up |= missing
            try:
                await self._prices.look_up(missing)
            except StoreUnavailableError as error:
                raise RetryLaterError(str(error)) from error
            received = [
                each if each.fact is not None else _receive(record, self._prices, missing)
                for each, record in zip(received, records, strict=True)
            ]
        return received

    @contextmanager
    def _spans(self, records: Sequence[Record]) -> Iterator[Span]:
        """One span for the batch, linked to its causes, and one in the trace of each generation that is recorded."""
        contexts = [context_from_headers(record.headers) for record in records]
        sampled = [context for context in contexts if is_sampled(context)]
        links = [link for context in sampled if (link := span_link(context)) is not None]
        with ExitStack() as stack:
            current = stack.enter_context(
                span(
                    self._tracer,
                    "settle batch",
                    kind=SpanKind.CONSUMER,
                    links=links,
                    attributes={
                        "messaging.system": "kafka",
                        "messaging.operation.name": "process",
                        "messaging.batch.message_count": len(records),
                    },
                )
            )
            for context in sampled:
                own = self._tracer.start_span("settle usage", context=context, kind=SpanKind.CONSUMER)
                stack.callback(own.end)
            yield current

    def _report(self, batch: SettlementBatch, result: SettlementResult, seconds: float) -> None:
        self._settled.add(result.settled)
        self._rejected.add(result.rejected)
        if result.unreconciled:
            self._unreconciled.add(result.unreconciled)
            _log.error("generations.unreconciled", partition=batch.partition, generations=result.unreconciled)
        if result.overshoot:
            self._overshoot.add(result.overshoot)
        if result.suspended > 0:
            self._suspended.add(result.suspended)
        self._seconds.record(seconds)
        log = _log.warning if result.rejected else _log.info
        log(
            "batch.settled",
            partition=batch.partition,
            next_offset=batch.next_offset,
            records=len(batch.records),
            settled=result.settled,
            rejected=result.rejected,
            seconds=round(seconds, 4),
        )


def _receive(record: Record, prices: PriceBook | None, missing: set[str]) -> ReceivedRecord:
    """Read a record; a price version that is unknown is added to `missing`."""
    fact, reason = None, ""
    try:
        event = usage_event_pb2.UsageEvent.FromString(record.value or b"")
        validate_usage_event(event)
        fact = fact_from_proto(event)
        if prices is not None:
            prices.check(event)
            if fact.hedges:
                prices.check_expenses(event)
    except DecodeError:
        reason = "not a usage event"
    except UnknownPriceError as error:
        fact, reason = None, str(error)
        missing.add(error.version)
    except (InvalidUsageEventError, ValueError) as error:
        fact, reason = None, str(error)
    return ReceivedRecord(record.offset, record.key or b"", record.value, record.headers, fact, reason)
