"""What becomes of a batch that is open when its process ends, or when its partitions go to others."""

from __future__ import annotations

import pytest

from metering.failpoints import POINTS
from metering.ingest import IngestLimits
from metering.recent import RecentEvents
from metering.testing.ingest_world import P0, P1, KilledError, World, drain, kill
from metering.testing.memory_planned_records import MemoryPlannedRecords
from metering.testing.memory_usage_log import MemoryDeadLetters, MemoryUsageLog
from metering.testing.usage_events import EventFactory
from servicekit.failpoints import Failpoints
from servicekit.kafka import RetryLaterError
from servicekit.testing import RecordingTelemetry


@pytest.fixture
def world(new_event: EventFactory) -> World:
    return World(new_event)


@pytest.mark.parametrize("point", [point for point in POINTS if point != "plan.before"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_b04_two_who_take_over_what_one_had_end_its_batch_once(point: str, at_once: bool, world: World) -> None:
    for _ in range(3):
        world.produce(P0)
        world.produce(P1)
    ingest = world.start(failpoints=Failpoints(POINTS, [point], kill=kill))
    await world.deliver(ingest)
    with pytest.raises(KilledError):
        await ingest.flush()
    heirs = {P0: world.start(), P1: world.start()}
    for partition, heir in heirs.items():
        world.produce(partition)
        if at_once:
            await heir.start_offsets("c", [partition])
    for partition, heir in heirs.items():  # the first one is far ahead when the other begins
        await world.deliver(heir, partitions=[partition])
        await drain(heir)
    offsets = await world.start().start_offsets("c", [P0, P1])

    assert offsets == {P0: 4, P1: 4}
    assert len(world.log.rows) == world.distinct() == 8


async def test_open_batch_is_ended_with_its_bounds_before_anything_else(world: World) -> None:
    telemetry = RecordingTelemetry()
    for _ in range(10):
        world.produce()
    world.produce(bad=True)
    ingest = world.start(failpoints=Failpoints(POINTS, ["plan.after"], kill=kill))
    await world.deliver(ingest)
    with pytest.raises(KilledError):
        await ingest.flush()
    world.produce()
    recent = RecentEvents(100)
    # It is more than may wait in memory now.
    ingest = world.start(limits=IngestLimits(rows=2, waiting=4), telemetry=telemetry, recent=recent)

    assert await ingest.start_offsets("c", [P0]) == {P0: 11}
    assert (len(world.log.rows), len(world.letters.letters), len(recent)) == (10, 1, 10)
    assert telemetry.metric("metering.rows.inserted") == 10


@pytest.mark.parametrize("what", ["topic", "store", "letters"])
async def test_open_batch_that_cannot_be_ended_now_is_ended_later(what: str, world: World) -> None:
    world.produce()
    world.produce(bad=True)
    ingest = world.start(failpoints=Failpoints(POINTS, ["plan.after"], kill=kill))
    await world.deliver(ingest)
    with pytest.raises(KilledError):
        await ingest.flush()
    parts: dict[str, MemoryPlannedRecords | MemoryUsageLog | MemoryDeadLetters]
    parts = {"topic": world.planned, "store": world.log, "letters": world.letters}
    parts[what].down = True
    ingest = world.start()
    with pytest.raises(RetryLaterError):
        await ingest.start_offsets("c", [P0, P1])
    parts[what].down = False

    assert await ingest.start_offsets("c", [P0, P1]) == {P0: 2}
    assert len(world.log.rows) == 1


async def test_open_batch_whose_records_left_the_topic_is_ended_with_what_is_left(world: World) -> None:
    telemetry = RecordingTelemetry()
    for _ in range(4):
        world.produce()
    ingest = world.start(failpoints=Failpoints(POINTS, ["plan.after"], kill=kill))
    await world.deliver(ingest)
    with pytest.raises(KilledError):
        await ingest.flush()
    del world.topic[P0][:3]

    assert await world.start(telemetry=telemetry).start_offsets("c", [P0]) == {P0: 4}
    assert len(world.log.rows) == 1
    assert telemetry.metric("metering.records.missing") == 3


async def test_open_batch_of_a_topic_that_was_made_anew_is_given_up(world: World) -> None:
    for _ in range(4):
        world.produce()
    ingest = world.start(failpoints=Failpoints(POINTS, ["plan.after"], kill=kill))
    await world.deliver(ingest)
    with pytest.raises(KilledError):
        await ingest.flush()
    world.topic[P0].clear()
    world.produce()
    ingest = world.start()

    # The reader goes to where the log begins now.
    assert await ingest.start_offsets("c", [P0]) == {P0: 0}
    await ingest.handle("c", P0, world.topic[P0])
    await ingest.flush()
    assert await world.start().start_offsets("c", [P0]) == {P0: 1}
    assert [row.event_id for row in world.log.rows] == [world.events[-1].event_id]
