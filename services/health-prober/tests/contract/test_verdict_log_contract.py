"""One suite for every VerdictLog, and what only the one over Kafka promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
from google.protobuf import json_format
from opentelemetry.metrics import NoOpMeter

from contracts.ids import EndpointId
from health_prober.adapters.convert import verdict_to_proto
from health_prober.adapters.kafka_verdicts import KafkaVerdictLog, Origin
from health_prober.domain.probe import ProbeOutcome, ProbeResult
from health_prober.domain.verdict import Health, Verdict
from health_prober.testing import MemoryVerdictLog
from servicekit.kafka import BusUnavailableError
from servicekit.testing import ManualClock
from turnpike.health.v1 import endpoint_verdict_pb2 as wire

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
A = EndpointId("huggingfacetb/smollm2-135m-instruct@local-a")


def verdict(sequence: int = 12, health: Health = Health.HEALTHY, **more: object) -> Verdict:
    made = Verdict(
        endpoint_id=A,
        health=health,
        outcome=ProbeOutcome(ProbeResult.OK, 200),
        latency=timedelta(milliseconds=63),
        consecutive_failures=0,
        checked_at=NOW,
        expires_at=NOW + timedelta(seconds=90),
        sequence=sequence,
    )
    return replace(made, **more)  # type: ignore[arg-type]  # the names are those of Verdict


class Listener:
    """A bus that keeps what it is sent, or is away."""

    def __init__(self) -> None:
        self.sent: list[wire.EndpointVerdict] = []
        self.headers: list[Mapping[str, str]] = []
        self.keys: list[bytes] = []
        self.is_away = False

    async def send(self, topic: str, *, key: bytes, value: bytes | None, headers: Mapping[str, str]) -> None:
        assert topic == "turnpike.health.v1"
        if self.is_away:
            raise BusUnavailableError("away")
        assert value is not None
        self.sent.append(wire.EndpointVerdict.FromString(value))
        self.headers.append(headers)
        self.keys.append(key)

    def sequences(self) -> list[int]:
        return [message.sequence for message in self.sent]


@asynccontextmanager
async def running(listener: Listener) -> AsyncIterator[tuple[KafkaVerdictLog, ManualClock]]:
    clock = ManualClock(NOW)
    log = KafkaVerdictLog(
        listener,
        Origin("health-prober-0", "local", epoch=1795514000000),
        republish=timedelta(seconds=30),
        clock=clock,
        meter=NoOpMeter("test"),
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(log.run())
        await clock.advance(0)
        yield log, clock
        await log.stop(timedelta(seconds=1))
        await task


class Hearing(Protocol):
    async def __call__(self, *verdicts: Verdict) -> list[tuple[str, int]]: ...


@pytest.fixture(params=["memory", "kafka"])
def hear(request: pytest.FixtureRequest) -> Hearing:
    """Publish, and return what a listener then holds for each endpoint."""

    async def in_memory(*verdicts: Verdict) -> list[tuple[str, int]]:
        log = MemoryVerdictLog()
        for published in verdicts:
            log.publish(published)
        latest = {published.endpoint_id: published.sequence for published in log.published}
        return sorted(latest.items())

    async def over_kafka(*verdicts: Verdict) -> list[tuple[str, int]]:
        listener = Listener()
        async with running(listener) as (log, clock):
            for published in verdicts:
                log.publish(published)
            await clock.advance(0)
        return sorted({message.endpoint_id: message.sequence for message in listener.sent}.items())

    return in_memory if request.param == "memory" else over_kafka


async def test_the_last_verdict_of_each_endpoint_is_heard(hear: Hearing) -> None:
    other = EndpointId("m/other@p")
    heard = await hear(verdict(1), verdict(2), verdict(5, endpoint_id=other), verdict(3))
    assert heard == [(A, 3), (other, 5)]


@pytest.mark.parametrize("name", ["healthy", "unhealthy"])
def test_a_verdict_on_the_wire_is_like_the_published_example(name: str, examples: Mapping[str, str]) -> None:
    example = json_format.Parse(examples[name], wire.EndpointVerdict())
    if name == "healthy":
        made = verdict()
    else:
        gone = ProbeOutcome(ProbeResult.UNREACHABLE)
        made = verdict(15, Health.UNHEALTHY, outcome=gone, consecutive_failures=3)
    assert verdict_to_proto(made, epoch=1795514000000, instance="health-prober-0", region="local") == example


@pytest.mark.parametrize("result", list(ProbeResult))
def test_every_result_has_a_word_on_the_wire(result: ProbeResult) -> None:
    message = verdict_to_proto(verdict(outcome=ProbeOutcome(result)), epoch=1, instance="i", region="r")
    assert message.last_result != wire.PROBE_RESULT_UNSPECIFIED


async def test_records_are_keyed_by_endpoint_and_described() -> None:
    listener = Listener()
    async with running(listener) as (log, clock):
        log.publish(verdict())
        await clock.advance(0)
    assert listener.keys[0] == A.encode()
    assert listener.headers[0]["ce_type"] == "turnpike.health.verdict.v1"
    assert listener.headers[0]["ce_subject"] == A


async def test_a_fresh_verdict_is_repeated_and_an_expired_one_is_not() -> None:
    listener = Listener()
    async with running(listener) as (log, clock):
        log.publish(verdict(7))
        await clock.advance(0)
        await clock.advance(61)
        assert listener.sequences() == [7, 7, 7]
        await clock.advance(600)
        assert listener.sequences() == [7, 7, 7]


async def test_everything_fresh_is_sent_to_a_new_cluster() -> None:
    listener = Listener()
    async with running(listener) as (log, clock):
        log.publish(verdict(7))
        await clock.advance(1)
        log.publish_all()
        await clock.advance(0)
        assert listener.sequences() == [7, 7]


async def test_while_the_bus_is_away_only_the_newest_waits() -> None:
    listener = Listener()
    listener.is_away = True
    async with running(listener) as (log, clock):
        for sequence in range(1, 50):
            log.publish(verdict(sequence))
            await clock.advance(1)
        assert listener.sent == []
        assert log.in_flight() == 1
        listener.is_away = False
        await clock.advance(2)
        assert set(listener.sequences()) == {49}
        assert log.in_flight() == 0


async def test_what_expired_while_the_bus_was_away_is_dropped() -> None:
    listener = Listener()
    listener.is_away = True
    async with running(listener) as (log, clock):
        log.publish(verdict())
        await clock.advance(120)
        listener.is_away = False
        await clock.advance(30)
        assert listener.sent == []
        assert log.in_flight() == 0


async def test_a_stop_sends_what_is_left() -> None:
    listener = Listener()
    async with running(listener) as (log, _):
        log.publish(verdict(9))
    assert listener.sequences()[-1] == 9
