from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.domain.errors import (
    DeadLettersUnavailableError,
    TooManyInvalidEventsError,
    UsageLogUnavailableError,
)
from metering.domain.fuse import FuseLimits
from metering.failpoints import POINTS
from metering.ingest import IngestLimits
from metering.recent import RecentEvents
from metering.testing.ingest_world import P0, P1, TOPIC, KilledError, World, drain, kill
from metering.testing.usage_events import EventFactory
from servicekit.clock import SystemClock
from servicekit.failpoints import Failpoints
from servicekit.kafka import RetryLaterError
from servicekit.testing import ManualClock, RecordingTelemetry, running

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.fixture
def world(new_event: EventFactory) -> World:
    return World(new_event)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for happens in another task and has no event
        await asyncio.sleep(0.005)


async def test_flush_plans_then_inserts_then_marks_as_done(world: World) -> None:
    for partition in (P0, P0, P1):
        world.produce(partition)
    ingest = world.start()
    await world.deliver(ingest)
    await ingest.flush()

    assert world.log.steps == ["progress", "plan", "append", "complete"]
    assert [row.event_id for row in world.log.rows] == [event.event_id for event in world.events]
    assert await world.start().start_offsets("c", [P0, P1]) == {P0: 2, P1: 1}
    assert ingest.in_flight() == 0


async def test_offsets_of_another_cluster_mean_nothing(world: World) -> None:
    world.produce()
    ingest = world.start()
    await world.deliver(ingest)
    await ingest.flush()

    assert await world.start().start_offsets("another", [P0]) == {}


@pytest.mark.parametrize("point", POINTS)
async def test_b04_nothing_is_lost_or_doubled_when_killed_at(point: str, world: World) -> None:
    for _ in range(3):
        world.produce(P0)
        world.produce(P1)
    ingest = world.start(failpoints=Failpoints(POINTS, [point], kill=kill))
    await world.deliver(ingest)
    with pytest.raises(KilledError):
        await ingest.flush()
    for _ in range(2):  # arrives while the service is down: the open batch must not take it in
        world.produce(P0)
    ingest = world.start()
    await world.deliver(ingest, chunks=[1, 1])
    await drain(ingest)

    assert len(world.log.rows) == world.distinct() == 8


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lives=st.lists(
        st.tuples(
            st.integers(0, 6),
            st.lists(st.integers(1, 4), max_size=3),
            st.sampled_from(POINTS),
            st.integers(1, 3),
            st.integers(1, 4),
        ),
        max_size=5,
    )
)
async def test_b08_any_sequence_of_crashes_and_splits_gives_each_event_once(
    lives: list[tuple[int, list[int], str, int, int]], new_event: EventFactory
) -> None:
    world = World(new_event)
    for produced, chunks, point, times, rows in lives:
        for index in range(produced):
            world.produce(P1 if index % 3 == 2 else P0)
        ingest = world.start(
            limits=IngestLimits(rows=rows, waiting=50), failpoints=Failpoints(POINTS, [f"{point}:{times}"], kill=kill)
        )
        try:
            await world.deliver(ingest, chunks)
            await drain(ingest)
        except KilledError:
            continue
    ingest = world.start()
    await world.deliver(ingest)
    await drain(ingest)

    assert len(world.log.rows) == world.distinct()


async def test_events_wait_while_the_store_is_down_and_none_is_lost(world: World) -> None:
    for _ in range(5):
        world.produce()
    ingest = world.start(limits=IngestLimits(waiting=5))
    await world.deliver(ingest)
    world.log.down = True
    with pytest.raises(UsageLogUnavailableError):
        await ingest.flush()
    world.produce()
    with pytest.raises(RetryLaterError):
        await ingest.handle("c", P0, world.topic[P0][5:])
    world.log.down = False
    await ingest.flush()
    await ingest.handle("c", P0, world.topic[P0][5:])
    await ingest.flush()

    assert len(world.log.rows) == world.distinct() == 6


async def test_start_offsets_are_asked_again_while_the_store_is_down(world: World) -> None:
    world.log.down = True
    with pytest.raises(RetryLaterError):
        await world.start().start_offsets("c", [P0])


async def test_failed_flush_is_repeated_with_its_bounds_and_forgotten_when_its_partitions_go(world: World) -> None:
    world.produce(P0)
    ingest = world.start()
    await world.deliver(ingest)
    world.log.down = True
    with pytest.raises(UsageLogUnavailableError):
        await ingest.flush()
    world.produce(P1)
    await ingest.handle("c", P1, world.topic[P1])
    world.log.down = False

    assert await ingest.flush()
    assert [len(progress.plan.spans) for progress in world.log.batches.values()] == [1]
    world.log.down = True
    with pytest.raises(UsageLogUnavailableError):
        await ingest.flush()
    await ingest.revoked([P0, P1])
    world.log.down = False
    assert not await ingest.flush()
    assert len(world.log.rows) == 1


async def test_event_can_be_read_from_memory_before_the_store_has_it(world: World) -> None:
    recent = RecentEvents(10)
    event = world.produce()
    await world.deliver(world.start(recent=recent))

    found = recent.get(event.generation_id)
    assert world.log.rows == []
    assert found is not None
    assert (found.org_id, found.value) == ("org", event.SerializeToString())


async def test_invalid_record_is_set_aside_as_it_was_and_the_others_go_on(world: World) -> None:
    world.produce()
    world.produce(bad=True)
    world.produce()
    ingest = world.start()
    await world.deliver(ingest)
    await ingest.flush()
    (letter,) = world.letters.letters

    assert len(world.log.rows) == 2
    assert (letter.topic, letter.partition, letter.offset, letter.key, letter.value) == (TOPIC, 0, 1, b"org", b"\xff")
    assert letter.reason == "not a UsageEvent message"
    assert dict(letter.headers)["ce_id"]
    assert await world.start().start_offsets("c", [P0]) == {P0: 3}


async def test_batch_is_not_done_before_its_invalid_records_are_set_aside(world: World) -> None:
    world.produce(bad=True)
    world.letters.down = True
    ingest = world.start()
    await world.deliver(ingest)
    with pytest.raises(DeadLettersUnavailableError):
        await ingest.flush()
    assert [progress.done for progress in await world.log.progress("c", TOPIC)] == [False]
    world.letters.down = False
    await ingest.flush()

    assert len(world.letters.letters) == 1
    assert await world.start().start_offsets("c", [P0]) == {P0: 1}


async def test_fuse_stops_the_service_and_leaves_the_records_where_they_are(world: World) -> None:
    world.produce()
    for _ in range(5):
        world.produce(bad=True)
    ingest = world.start(limits=IngestLimits(fuse=FuseLimits(consecutive=5)))
    with pytest.raises(TooManyInvalidEventsError, match="5 invalid usage events in a row"):
        await world.deliver(ingest)
    await ingest.stop(timedelta(seconds=1))

    assert (world.log.rows, world.letters.letters) == ([], [])
    assert await world.start().start_offsets("c", [P0]) == {}


async def test_revocation_flushes_what_waits_and_forgets_it(world: World) -> None:
    world.produce()
    ingest = world.start()
    await world.deliver(ingest)
    await ingest.revoked([P0])

    assert len(world.log.rows) == 1
    assert await world.start().start_offsets("c", [P0]) == {P0: 1}


async def test_revocation_while_the_store_is_down_forgets_what_is_read_again(world: World) -> None:
    world.produce()
    ingest = world.start()
    await world.deliver(ingest)
    world.log.down = True
    await ingest.revoked([P0, P1])
    world.log.down = False
    assert ingest.in_flight() == 0
    ingest = world.start()
    await world.deliver(ingest)
    await ingest.flush()

    assert len(world.log.rows) == 1


async def test_service_flushes_by_itself_and_once_more_when_it_stops(world: World) -> None:
    world.produce()
    ingest = world.start(clock=SystemClock(), limits=IngestLimits(interval=timedelta(milliseconds=10)))
    async with running(ingest):
        await world.deliver(ingest)
        await until(lambda: world.log.batches)
        world.produce()
        await ingest.handle("c", P0, world.topic[P0][1:])

    assert len(world.log.rows) == 2


async def test_full_batch_is_flushed_without_waiting_for_the_interval(world: World) -> None:
    for _ in range(3):
        world.produce()
    ingest = world.start(clock=SystemClock(), limits=IngestLimits(interval=timedelta(hours=1), rows=2))
    async with running(ingest):
        await world.deliver(ingest)
        await until(lambda: len(world.log.rows) == 3)


async def test_flush_that_failed_is_repeated_and_counted(world: World) -> None:
    telemetry = RecordingTelemetry()
    world.produce()
    ingest = world.start(
        clock=SystemClock(), limits=IngestLimits(interval=timedelta(milliseconds=1)), telemetry=telemetry
    )
    await world.deliver(ingest)
    world.log.down = True
    async with running(ingest):
        await until(lambda: telemetry.metric("metering.flushes.failed"))
        world.log.down = False
        await until(lambda: world.log.rows)


async def test_recorded_trace_goes_on_and_others_leave_no_span(world: World) -> None:
    telemetry = RecordingTelemetry()
    for traceparent in (SAMPLED, UNSAMPLED, None, "nonsense"):
        world.produce(traceparent=traceparent)
    ingest = world.start(telemetry=telemetry)
    await world.deliver(ingest)
    await ingest.flush()
    record, batch = telemetry.span("ingest usage"), telemetry.span("ingest batch")

    assert record.parent is not None
    assert f"{record.context.trace_id:032x}" == SAMPLED.split("-")[1]
    assert f"{record.parent.span_id:016x}" == SAMPLED.split("-")[2]
    assert [link.context.span_id for link in record.links] == [batch.context.span_id]
    assert record.kind.name == "CONSUMER"
    assert dict(record.attributes or {})["messaging.kafka.offset"] == 0
    assert dict(batch.attributes or {})["messaging.batch.message_count"] == 4


async def test_metrics_count_rows_letters_and_what_waits(world: World) -> None:
    telemetry = RecordingTelemetry()
    clock = ManualClock()
    world.produce()
    world.produce(bad=True)
    ingest = world.start(telemetry=telemetry, clock=clock)
    await world.deliver(ingest)
    await clock.advance(3)
    waiting = [telemetry.metric("metering.backlog.records"), telemetry.metric("metering.backlog.age")]
    await ingest.flush()
    waiting.append(telemetry.metric("metering.backlog.records"))
    await ingest.gap(P0, 5, 9)

    assert waiting == [2, 3, 0]
    assert telemetry.metric("metering.rows.inserted") == 1
    assert telemetry.metric("metering.dead_letters.sent") == 1
    assert telemetry.metric("metering.batches.completed") == 1
    assert telemetry.metric("metering.records.missing") == 4
