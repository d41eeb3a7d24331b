from __future__ import annotations

import asyncio

import pytest

from servicekit.interruption import Interruption


async def answer(seconds: float = 0) -> str:
    await asyncio.sleep(seconds)
    return "done"


async def for_ever() -> str:
    await asyncio.Event().wait()
    return "never"


async def test_guarded_work_that_ends_gives_its_result() -> None:
    outcome = await Interruption().guard(answer())
    assert (outcome.done, outcome.value) == (True, "done")


async def test_happening_cancels_everything_that_is_guarded_and_keeps_the_first_reason() -> None:
    end = Interruption()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        guarded = [tasks.create_task(end.guard(for_ever())) for _ in range(3)]
        waiting = tasks.create_task(end.wait())
        await asyncio.sleep(0)
        assert not end.happened
        end.happen("first")
        end.happen("second")
        await waiting
    assert [task.result().done for task in guarded] == [False, False, False]
    assert end.reason == "first"
    assert end.happened_at == pytest.approx(asyncio.get_running_loop().time(), abs=60)


async def test_after_it_happened_nothing_is_begun() -> None:
    end = Interruption()
    end.happen()
    began = False

    async def work() -> None:
        nonlocal began
        began = True

    assert not (await end.guard(work())).done
    assert not began


async def test_work_that_takes_too_long_is_cancelled_alone() -> None:
    end = Interruption()
    assert not (await end.guard(for_ever(), seconds=0.01)).done
    assert not end.happened
    assert (await end.guard(answer(), seconds=10)).done


async def test_errors_of_the_work_are_raised_and_its_own_timeouts_are_not_mistaken() -> None:
    async def fail(error: Exception) -> None:
        raise error

    with pytest.raises(KeyError):
        await Interruption().guard(fail(KeyError("x")))
    with pytest.raises(TimeoutError, match="of the work"):
        await Interruption().guard(fail(TimeoutError("of the work")), seconds=10)


async def test_work_that_was_cancelled_from_inside_did_not_finish() -> None:
    async def wait_for_somebody_elses_task() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    assert not (await Interruption().guard(wait_for_somebody_elses_task())).done


async def test_cancellation_of_the_caller_passes_through() -> None:
    end = Interruption()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(end.guard(for_ever()))
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    end.happen()


async def test_it_can_happen_while_other_work_is_being_cancelled_for_its_time() -> None:
    end = Interruption()
    cleaning, cleaned = asyncio.Event(), asyncio.Event()

    async def slow_to_cancel() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await cleaned.wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        late = tasks.create_task(end.guard(slow_to_cancel(), seconds=0.01))
        others = [tasks.create_task(end.guard(for_ever())) for _ in range(20)]
        await cleaning.wait()
        end.happen("stop")
        cleaned.set()
    assert not late.result().done
    assert not any(task.result().done for task in others)
