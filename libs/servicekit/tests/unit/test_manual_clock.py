from __future__ import annotations

import asyncio
from datetime import timedelta

from servicekit.testing import ManualClock


async def test_it_stands_still_until_it_is_told_to_go_on() -> None:
    clock = ManualClock()
    began, woken = clock.now(), list[float]()

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(clock.monotonic())

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(sleep(1))
        tasks.create_task(sleep(2))
        await clock.wait_for_sleepers(2)
        assert clock.now() == began
        await clock.advance(timedelta(seconds=1.5))
        # Each sleeper sees the instant that it slept to.
        assert woken == [1]
        assert clock.sleepers == 1
        await clock.advance(10)
    assert woken == [1, 2]
    assert clock.now() - began == timedelta(seconds=11.5)
