from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from servicekit.interruption import Interruption
from servicekit.kafka import TopicPartition
from servicekit.kafka.pulse import Pulse
from servicekit.settings import KafkaSettings

SALES = TopicPartition("sales", 0)
STALL = timedelta(seconds=0.05)
SETTINGS = KafkaSettings(stall_timeout=STALL, session_timeout=STALL)


class Log:
    """The one question that a pulse asks of a consumer."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.answers = True
        self.error: Exception = KafkaConnectionError("gone")

    async def end_offsets(self, partitions: Iterable[Any]) -> dict[Any, int]:
        if not self.answers:
            raise self.error
        return dict.fromkeys(partitions, self.end)


class Subject:
    def __init__(self, end: int = 10) -> None:
        self.log, self.end = Log(end), Interruption()
        self.pulse = Pulse(self.log, SETTINGS, self.end)

    async def beat(self, position: int = 0, *, busy: bool = False) -> str:
        """Look until twice the stall is over; give the reason of the end, if it came."""
        for _ in range(10):
            await self.pulse.beat({SALES: position}, busy=busy)
            await asyncio.sleep(STALL.total_seconds() / 5)
        return self.end.reason


async def test_records_that_are_there_and_do_not_come_end_it() -> None:
    assert await Subject().beat() == "no records"


@pytest.mark.parametrize(("position", "busy"), [(10, False), (12, False), (0, True)])
async def test_nothing_to_fetch_is_no_stall(position: int, busy: bool) -> None:
    subject = Subject()
    assert await subject.beat(position, busy=busy) == ""
    assert not subject.end.happened


async def test_progress_keeps_it_going() -> None:
    subject = Subject()
    for _ in range(10):
        subject.pulse.note_progress()
        assert await subject.pulse.beat({SALES: 0}, busy=False)
        await asyncio.sleep(STALL.total_seconds() / 5)
    assert not subject.end.happened


@pytest.mark.parametrize("error", [KafkaConnectionError("gone"), RuntimeError("the handler is closed")])
async def test_a_cluster_that_does_not_answer_ends_it(error: Exception) -> None:
    subject = Subject()
    subject.log.error = error
    subject.log.answers = False
    assert not await subject.pulse.beat({SALES: 10}, busy=True)
    assert await subject.beat(10, busy=True) == "no answer"


async def test_partitions_that_do_not_come_end_it_and_a_pause_that_ends_does_not() -> None:
    paused = Subject()
    paused.pulse.pause()
    await paused.beat()
    assert await paused.beat() == "no partitions"
    resumed = Subject()
    resumed.pulse.pause()
    resumed.pulse.resume()
    assert await resumed.beat(10) == ""


async def test_the_lag_is_what_is_between_the_positions_and_the_ends() -> None:
    subject = Subject(end=10)
    assert subject.pulse.lag({SALES: 4}) == 0
    await subject.pulse.beat({SALES: 4}, busy=False)
    assert subject.pulse.lag({SALES: 4}) == 6
    assert subject.pulse.lag({SALES: 15}) == 0
    assert subject.pulse.lag({}) == 0


@pytest.mark.parametrize(("position", "answers", "expected"), [(10, True, True), (0, True, False), (10, False, False)])
async def test_a_cluster_that_says_that_there_is_nothing_to_read_is_progress(
    position: int, answers: bool, expected: bool
) -> None:
    noted = list[bool]()
    log = Log(10)
    log.answers = answers
    pulse = Pulse(log, SETTINGS, Interruption(), lambda: noted.append(True))
    await pulse.beat({SALES: position}, busy=True)
    assert bool(noted) is expected
