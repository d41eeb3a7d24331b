"""Observations on the wire, and when they are told: a bus that a test can take away, and a clock that it moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from contracts import topics
from contracts.ids import EndpointId
from contracts.testing.examples import iter_examples
from router.adapters.observations import ObservationListener, ObservationPublisher, Observer
from router.adapters.observations_wire import observation_from_bytes, observation_to_proto
from router.domain.attempts import FailureKind
from router.domain.health_view import FleetHealth, Showing, Standing
from servicekit.kafka import BusUnavailableError, RecordTooLargeError
from servicekit.testing import ManualClock, RecordingTelemetry
from turnpike.health.v1 import observation_pb2 as wire

EXAMPLES = Path(__file__).parents[4] / "protos" / "examples"
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
ID = EndpointId("acme/one@a")


@pytest.mark.parametrize(
    "example", [pytest.param(message, id=name) for name, message in iter_examples(wire.Observation, EXAMPLES)]
)
def test_published_examples_are_read_and_written_as_they_are(example: wire.Observation) -> None:
    observation = observation_from_bytes(example.SerializeToString())
    assert observation_to_proto(observation) == example


def message(**members: object) -> bytes:
    endpoint = wire.EndpointObservation(endpoint_id=ID, ok=1)
    made = wire.Observation(instance="b", epoch=1, sequence=1, second=int(START.timestamp()), endpoints=[endpoint])
    made.MergeFrom(wire.Observation(**members))  # type: ignore[arg-type]  # the names are those of its fields
    return made.SerializeToString()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        wire.Observation().SerializeToString(),
        wire.Observation(instance="b", epoch=1, second=1).SerializeToString(),
        message(endpoints=[wire.EndpointObservation(ok=1)]),
        message(endpoints=[wire.EndpointObservation(endpoint_id="x", failed=-1)]),
        message(endpoints=[wire.EndpointObservation(endpoint_id="x", first_token_seconds=float("nan"))]),
        message(endpoints=[wire.EndpointObservation(endpoint_id="x", throughput_tokens_per_second=float("inf"))]),
    ],
)
def test_what_cannot_be_is_refused_and_counted(data: bytes) -> None:
    with pytest.raises(ValueError, match="observation"):
        observation_from_bytes(data)
    bench = Bench()
    bench.listener.take(data)
    assert bench.telemetry.metric("router.observation.ignored", {"reason": "malformed"}) == 1


class Bus:
    """Keeps what it is sent, unless it is away or finds it too large."""

    def __init__(self) -> None:
        self.sent: list[wire.Observation] = []
        self.headers: list[Mapping[str, str]] = []
        self.error: Exception | None = None
        self.hangs = False

    async def send(self, topic: str, *, key: bytes, value: bytes | None, headers: Mapping[str, str]) -> None:
        assert topic == topics.OBSERVATIONS.name
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        assert value is not None
        sent = wire.Observation.FromString(value)
        assert key.decode() == sent.instance
        self.sent.append(sent)
        self.headers.append(headers)


@dataclass
class Bench:
    """A router's health, what tells of it and what hears of others'."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    telemetry: RecordingTelemetry = field(default_factory=RecordingTelemetry)
    bus: Bus = field(default_factory=Bus)
    health: FleetHealth = field(default_factory=lambda: FleetHealth(Random(1), lambda _: None))

    def __post_init__(self) -> None:
        observer = Observer("a", "local", epoch=17)
        meter = self.telemetry.meter
        self.publisher = ObservationPublisher(self.bus, self.health, observer, self.clock, meter)
        self.listener = ObservationListener(
            self.health, observer, is_known=lambda endpoint_id: endpoint_id == ID, clock=self.clock, meter=meter
        )

    def succeed(self) -> None:
        now = self.clock.monotonic()
        self.health.succeeded(self.health.dispatched(ID, now), now, Showing())

    def fail(self) -> None:
        now = self.clock.monotonic()
        self.health.failed(self.health.dispatched(ID, now), now, FailureKind.SERVER_ERROR)

    async def advance(self, seconds: int) -> None:
        for _ in range(seconds):
            await self.clock.advance(1)

    def dropped(self, reason: str) -> float:
        return self.telemetry.metric("router.observation.dropped", {"reason": reason})


@asynccontextmanager
async def telling() -> AsyncIterator[Bench]:
    bench = Bench()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bench.publisher.run())
        await bench.clock.wait_for_sleepers()
        yield bench
        await bench.publisher.stop(timedelta(0))
        await running


async def test_seconds_in_which_something_happened_are_told_once() -> None:
    async with telling() as bench:
        await bench.advance(3)
        assert bench.bus.sent == []
        bench.succeed()
        bench.succeed()
        await bench.advance(3)
        bench.fail()
        await bench.advance(1)
        first, second = bench.bus.sent
        assert (first.instance, first.epoch, first.sequence, first.region) == ("a", 17, 1, "local")
        assert first.second == int(START.timestamp()) + 3
        assert [(each.endpoint_id, each.ok, each.failed) for each in first.endpoints] == [(ID, 2, 0)]
        assert (second.sequence, second.second - first.second, second.endpoints[0].failed) == (2, 3, 1)
        assert bench.bus.headers[0]["ce_id"] == "a-17-1"
        assert bench.bus.headers[0]["ce_type"] == "turnpike.health.observed.v1"
        assert bench.telemetry.metric("router.observation.sent") == 2


async def test_while_the_bus_is_away_only_what_can_still_count_waits() -> None:
    async with telling() as bench:
        bench.bus.error = BusUnavailableError("away")
        for _ in range(100):
            bench.succeed()
            await bench.advance(1)
        bench.bus.error = None
        await bench.advance(1)
        sequences = [sent.sequence for sent in bench.bus.sent]
        assert sequences == list(range(sequences[0], 101))
        now = bench.clock.now().timestamp()
        assert all(now - 31 <= sent.second for sent in bench.bus.sent)
        assert bench.dropped("too_late") == 100 - len(sequences)
        assert len(sequences) >= 28


async def test_a_bus_that_does_not_answer_holds_up_nobody_and_nothing_grows() -> None:
    async with telling() as bench:
        bench.bus.hangs = True
        for _ in range(200):
            bench.succeed()
            await bench.advance(1)
        assert bench.dropped("too_late") == 170


async def test_what_is_too_large_is_dropped_and_counted() -> None:
    async with telling() as bench:
        bench.bus.error = RecordTooLargeError("too large")
        bench.succeed()
        await bench.advance(2)
        bench.bus.error = None
        bench.succeed()
        await bench.advance(2)
        assert [sent.sequence for sent in bench.bus.sent] == [2]
        assert bench.dropped("too_large") == 1


async def test_what_another_router_tells_is_heard_once_and_only_of_known_endpoints() -> None:
    bench = Bench()
    failing = wire.EndpointObservation(endpoint_id=ID, failed=9, consecutive_failures=9)
    unknown = wire.EndpointObservation(endpoint_id="acme/gone@a", failed=9)
    data = message(region="local", endpoints=[failing, unknown])
    for _ in range(3):
        bench.listener.take(data)
    state = bench.health.state(ID, bench.clock.monotonic(), bench.clock.now())
    assert state.standing is Standing.SUSPECT
    assert not bench.health.state(EndpointId("acme/gone@a"), bench.clock.monotonic(), bench.clock.now()).known
    assert bench.telemetry.metric("router.observation.heard") == 1
    assert bench.telemetry.metric("router.observation.ignored", {"reason": "repeated"}) == 2


async def test_a_router_does_not_hear_itself() -> None:
    async with telling() as bench:
        bench.fail()
        await bench.advance(1)
        bench.listener.take(bench.bus.sent[0].SerializeToString())
        assert bench.telemetry.metric("router.observation.ignored", {"reason": "own"}) == 1
