"""Questions that are asked one by one and answered together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from servicekit.batches import Batches, FullError
from servicekit.testing import ManualClock


class Oracle:
    """Answers with twice the number when it is let; a negative number is an error. Notes every call."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.may_answer = asyncio.Event()

    async def __call__(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.calls.append(list(numbers))
        await self.may_answer.wait()
        if 0 in numbers:
            raise ConnectionError
        return [2 * number if number > 0 else ValueError(number) for number in numbers]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def oracle() -> Oracle:
    return Oracle()


async def test_what_comes_while_a_call_is_under_way_goes_together_in_the_next(oracle: Oracle) -> None:
    batches = Batches(oracle, ManualClock(), together=3, under_way=1)
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(batches.ask(number)) for number in range(1, 7)]
        await settle()
        assert oracle.calls == [[1]]
        oracle.may_answer.set()
    assert [task.result() for task in asked] == [2, 4, 6, 8, 10, 12]
    assert oracle.calls == [[1], [2, 3, 4], [5, 6]]


async def test_an_error_is_of_its_question_and_that_of_a_call_of_all_its_questions(oracle: Oracle) -> None:
    batches = Batches(oracle, ManualClock(), together=2, under_way=1)
    asyncio.get_running_loop().call_later(0.01, oracle.may_answer.set)
    answers = await asyncio.gather(*(batches.ask(number) for number in (1, -1, 2, 0, 3)), return_exceptions=True)
    assert oracle.calls[:3] == [[1], [-1, 2], [0, 3]]
    assert [answers[0], answers[2]] == [2, 4]
    assert isinstance(answers[1], ValueError)
    assert all(isinstance(answers[number], ConnectionError) for number in (3, 4))


async def test_who_goes_away_while_calling_for_others_does_not_take_their_answers_along(oracle: Oracle) -> None:
    batches = Batches(oracle, ManualClock(), together=9, under_way=1)
    async with asyncio.TaskGroup() as tasks:
        leaving = tasks.create_task(batches.ask(1))
        await settle()
        asked = [tasks.create_task(batches.ask(number)) for number in (2, 3, 4)]
        await settle()
        leaving.cancel()
        await settle()
        assert oracle.calls == [[1], [2, 3, 4]] or oracle.calls == [[1], [1, 2, 3, 4]]
        # The one who calls now, and one who only waits.
        asked[0].cancel()
        asked[1].cancel()
        oracle.may_answer.set()
    assert asked[2].result() == 8


async def test_calls_under_way_and_calls_in_a_time_have_a_bound_whatever_is_asked(oracle: Oracle) -> None:
    clock = ManualClock()
    batches = Batches(oracle, clock, together=1, under_way=2, pause=timedelta(seconds=1), waiting=3)
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(batches.ask(number)) for number in range(1, 5)]
        await settle()
        assert oracle.calls == [[1]]
        with pytest.raises(FullError):
            await batches.ask(9)
        await clock.advance(1)
        await settle()
        assert oracle.calls == [[1], [2]]
        await clock.advance(5)
        await settle()
        assert oracle.calls == [[1], [2]]
        oracle.may_answer.set()
        await settle()
        await clock.advance(5)
        await settle()
        await clock.advance(5)
    assert [task.result() for task in asked] == [2, 4, 6, 8]
