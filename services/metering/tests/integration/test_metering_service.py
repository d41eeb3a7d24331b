"""Questions over gRPC, answered from memory and from a real engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import grpc
import pytest

from contracts.ids import new_generation_id
from contracts.topics import USAGE
from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.api.metering_service import SERVICE_NAME, MeteringServicer
from metering.domain.ports import UsageLog
from metering.ingest import Ingest, IngestLimits
from metering.ingest_telemetry import IngestTelemetry
from metering.queries import UsageQueries
from metering.recent import RecentEvents
from metering.testing.memory_planned_records import MemoryPlannedRecords
from metering.testing.memory_usage_log import MemoryDeadLetters, MemoryUsageLog
from metering.testing.usage_events import EventFactory
from servicekit.clock import SystemClock
from servicekit.failpoints import Failpoints
from servicekit.grpc_errors import error_info
from servicekit.kafka import Record, TopicPartition
from servicekit.testing import ManualClock, RecordingTelemetry, run_servicer
from turnpike.metering.v1 import metering_service_pb2 as messages
from turnpike.metering.v1.metering_service_pb2_grpc import MeteringServiceStub, add_MeteringServiceServicer_to_server
from turnpike.usage.v1.usage_event_pb2 import (
    GENERATION_STATUS_FAILED,
    USAGE_RANK_EDGE_ESTIMATE,
    USAGE_RANK_ROUTER_FINAL,
    UsageEvent,
)

PARTITION = TopicPartition(USAGE.name, 0)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOT_FOUND = (grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "")


@dataclass
class Metering:
    """The service without its broker: records are handed over by `take`."""

    ingest: Ingest
    log: UsageLog
    stub: MeteringServiceStub
    reading: list[bool]
    taken: int = 0

    async def take(self, *events: UsageEvent) -> None:
        records = [
            Record(USAGE.name, 0, self.taken + number, b"org", event.SerializeToString(), {}, 0)
            for number, event in enumerate(events)
        ]
        self.taken += len(events)
        await self.ingest.handle("c", PARTITION, records)

    async def store(self, *events: UsageEvent) -> None:
        if events:
            await self.take(*events)
        while await self.ingest.flush():
            pass

    async def find(self, event: UsageEvent, org_id: str | None = None) -> UsageEvent:
        request = messages.GetGenerationRequest(
            generation_id=event.generation_id, org_id=event.org_id if org_id is None else org_id
        )
        answer: messages.GetGenerationResponse = await self.stub.GetGeneration(request)
        return answer.event

    async def usage(
        self,
        org_id: str,
        dimension: messages.UsageDimension.ValueType = messages.USAGE_DIMENSION_UNSPECIFIED,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Sequence[messages.UsageRow]:
        request = messages.QueryUsageRequest(org_id=org_id, dimension=dimension)
        if start is not None:
            request.start.FromDatetime(start)
        if end is not None:
            request.end.FromDatetime(end)
        answer: messages.QueryUsageResponse = await self.stub.QueryUsage(request)
        return answer.rows


@asynccontextmanager
async def serving(log: UsageLog, *, recent: int = 1_000) -> AsyncIterator[Metering]:
    telemetry, events, reading = RecordingTelemetry(), RecentEvents(recent), [True]
    ingest = Ingest(
        log,
        MemoryDeadLetters(),
        MemoryPlannedRecords({}),
        events,
        SystemClock(),
        IngestLimits(),
        IngestTelemetry(telemetry.tracer, telemetry.meter),
        Failpoints(),
    )
    servicer = MeteringServicer(UsageQueries(log, events, ManualClock(NOW), is_reading=lambda: reading[0]))

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_MeteringServiceServicer_to_server(servicer, server)
        return [SERVICE_NAME]

    offsets = await ingest.start_offsets("c", [PARTITION])
    async with run_servicer(register) as channel:
        yield Metering(ingest, log, MeteringServiceStub(channel), reading, offsets.get(PARTITION, 0))


@pytest.fixture
def database(emptied: str) -> str:
    return emptied


@pytest.fixture
async def log(engine: Any, database: str) -> AsyncIterator[UsageLog]:
    clickhouse = ClickHouseUsageLog(engine.dsn(database), SystemClock(), CallLimits(), cluster=None, may_migrate=True)
    await clickhouse.start()
    yield clickhouse
    await clickhouse.stop(timedelta(seconds=1))


@pytest.fixture
async def metering(log: UsageLog) -> AsyncIterator[Metering]:
    async with serving(log) as served:
        yield served


async def refusal(call: Awaitable[object]) -> tuple[grpc.StatusCode, str, str]:
    """The status, the reason and the field that a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    info = error_info(raised.value)
    assert info is not None
    return raised.value.code(), info.reason, info.metadata.get("param", "")


def copied(event: UsageEvent) -> UsageEvent:
    copy = UsageEvent()
    copy.CopyFrom(event)
    return copy


async def test_generation_is_found_as_soon_as_it_is_read_and_equally_in_the_store(
    metering: Metering, log: UsageLog, example_events: dict[str, UsageEvent]
) -> None:
    events = [copied(event) for event in example_events.values()]
    await metering.take(*events)
    from_memory = [await metering.find(event) for event in events]
    await metering.store()
    async with serving(log) as started_anew:  # its memory is empty
        from_store = [await started_anew.find(event) for event in events]
    for event in events:
        # For settlement only.
        event.ClearField("lease_id")
        event.ClearField("hold_nano_usd")
        for attempt in event.attempts:
            attempt.ClearField("expense")  # ours, and kept as one sum of the event
    assert from_memory == from_store == events


async def test_s09_generation_of_another_organisation_is_not_found_anywhere(
    metering: Metering, log: UsageLog, new_event: EventFactory
) -> None:
    event = new_event(org_id="owner")
    await metering.take(event)
    assert await refusal(metering.find(event, "stranger")) == NOT_FOUND
    await metering.store()
    async with serving(log) as started_anew:
        assert await refusal(started_anew.find(event, "stranger")) == NOT_FOUND
        assert await started_anew.find(event) == event


@pytest.mark.parametrize(
    "generation_id", ["", "gen-1", "gen-x-00000000000000000000", "gen-1795514400-0hVb3n8QkZr2LxTd7Wy\0", "a" * 10_000]
)
async def test_what_is_no_generation_is_not_found(metering: Metering, generation_id: str) -> None:
    request = messages.GetGenerationRequest(generation_id=generation_id, org_id="org")
    assert await refusal(metering.stub.GetGeneration(request)) == NOT_FOUND


async def test_nobody_can_say_that_a_generation_does_not_exist_while_events_are_not_read(
    metering: Metering, new_event: EventFactory
) -> None:
    known, unknown = new_event(), new_event()
    await metering.store(known)
    metering.reading[0] = False
    assert await metering.find(known) == known
    status = await refusal(metering.find(unknown))
    assert status == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", "")
    metering.reading[0] = True
    assert await refusal(metering.find(unknown)) == NOT_FOUND


async def test_higher_rank_is_found_whichever_came_last(
    metering: Metering, log: UsageLog, new_event: EventFactory
) -> None:
    final = new_event(rank=USAGE_RANK_ROUTER_FINAL)
    estimate = UsageEvent()
    estimate.CopyFrom(final)
    estimate.rank = USAGE_RANK_EDGE_ESTIMATE
    await metering.store(final)
    await metering.store(estimate)
    assert await metering.find(final) == final
    async with serving(log) as started_anew:
        assert await started_anew.find(final) == final


def _many(new_event: EventFactory, random: Random) -> list[UsageEvent]:
    events = []
    for _ in range(400):
        started = NOW - timedelta(seconds=random.randrange(40 * 86_400))
        event = new_event(
            started_at_ms=int(started.timestamp()) * 1_000 + random.randrange(1_000),
            completion_tokens=random.randrange(2_000),
            org_id=random.choice(["org-a", "org-b"]),
            key_id=f"key-{random.randrange(4)}",
            model=random.choice(["a/large", "b/small", "c/other"]),
        )
        if random.random() < 0.1:
            event.status = GENERATION_STATUS_FAILED
            event.cost_nano_usd = 0
        events.append(event)
    return events


def _recount(events: Sequence[UsageEvent], org_id: str, start: datetime, end: datetime, value: Any) -> list[Any]:
    totals: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for event in events:
        if event.org_id == org_id and start <= event.started_at.ToDatetime(UTC) < end:
            counts = totals[value(event)]
            for index, count in enumerate(
                (
                    1,
                    event.usage.prompt_tokens,
                    event.usage.completion_tokens,
                    event.usage.reasoning_tokens,
                    event.cost_nano_usd,
                )
            ):
                counts[index] += count
    return [(name, *counts) for name, counts in totals.items()]


VALUES = {
    messages.USAGE_DIMENSION_UNSPECIFIED: lambda event: "",
    messages.USAGE_DIMENSION_MODEL: lambda event: event.model,
    messages.USAGE_DIMENSION_KEY: lambda event: event.key_id,
    messages.USAGE_DIMENSION_DAY: lambda event: event.started_at.ToDatetime().strftime("%Y-%m-%d"),
}


async def test_b10_usage_by_model_key_and_day_is_what_a_recount_gives(
    metering: Metering, new_event: EventFactory
) -> None:
    events = _many(new_event, Random(7))
    await metering.store(*events)
    await metering.store(*events[100:300])  # read twice, in another batch
    periods = [(NOW - timedelta(days=30), NOW), (NOW - timedelta(days=9, hours=5), NOW - timedelta(days=2))]
    for dimension, value in VALUES.items():
        for start, end in periods:
            rows = await metering.usage("org-a", dimension, start, end)
            got = [
                (
                    row.value,
                    row.requests,
                    row.prompt_tokens,
                    row.completion_tokens,
                    row.reasoning_tokens,
                    row.cost_nano_usd,
                )
                for row in rows
            ]
            by_cost = sorted(_recount(events, "org-a", start, end, value), key=lambda row: (-row[5], row[0]))
            assert got == (sorted(by_cost) if dimension == messages.USAGE_DIMENSION_DAY else by_cost)
    assert await metering.usage("org-a") == await metering.usage("org-a", start=periods[0][0], end=NOW)


async def test_organisation_without_usage_has_a_row_of_zeros_in_total_and_none_by_model(metering: Metering) -> None:
    (total,) = await metering.usage("nobody")
    assert total == messages.UsageRow()
    assert list(await metering.usage("nobody", messages.USAGE_DIMENSION_MODEL)) == []


async def test_questions_that_break_a_rule_are_refused_by_name(metering: Metering) -> None:
    def invalid(field: str) -> tuple[grpc.StatusCode, str, str]:
        return grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", field

    generation = messages.GetGenerationRequest(generation_id=new_generation_id(1_795_514_400, Random(1)))
    assert await refusal(metering.stub.GetGeneration(generation)) == invalid("org_id")
    assert await refusal(metering.usage("")) == invalid("org_id")
    assert await refusal(metering.usage("org", start=NOW, end=NOW)) == invalid("start")
    assert await refusal(metering.usage("org", start=NOW + timedelta(days=1))) == invalid("start")
    unknown = messages.UsageDimension.ValueType(99)
    assert await refusal(metering.usage("org", unknown)) == invalid("dimension")


async def test_store_that_is_down_is_unavailable_and_what_is_in_memory_is_still_found(new_event: EventFactory) -> None:
    log = MemoryUsageLog()
    async with serving(log) as metering:
        known, unknown = new_event(), new_event()
        await metering.take(known)
        log.down = True
        assert await metering.find(known) == known
        unavailable = (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", "")
        assert await refusal(metering.find(unknown)) == unavailable
        assert await refusal(metering.usage("org")) == unavailable
