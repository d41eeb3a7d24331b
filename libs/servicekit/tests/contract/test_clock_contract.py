"""What holds for every Clock: the machine's and the one of tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, timedelta

import pytest

from servicekit.clock import Clock, SystemClock
from servicekit.testing import ManualClock

Pass = Callable[[float], Awaitable[None]]


@pytest.fixture(params=["system", "manual"])
async def clock(request: pytest.FixtureRequest) -> AsyncIterator[Clock]:
    if request.param == "system":
        yield SystemClock()
        return
    manual = ManualClock()

    async def tick() -> None:
        while True:
            await manual.wait_for_sleepers()
            await manual.advance(0.01)

    async with asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(tick())
        yield manual
        ticking.cancel()


async def test_now_is_aware_and_in_utc(clock: Clock) -> None:
    assert clock.now().tzinfo is UTC


async def test_a_sleep_lasts_at_least_as_long_as_asked_on_both_scales(clock: Clock) -> None:
    wall, steady = clock.now(), clock.monotonic()
    await clock.sleep(0.05)
    # The wall clock of a machine may be set meanwhile, by far less than this.
    assert clock.now() - wall > timedelta(seconds=0.03)
    assert clock.monotonic() - steady >= 0.05


async def test_sleepers_wake_in_the_order_of_their_instants(clock: Clock) -> None:
    woken = list[str]()

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleep("last", 0.3))
        tasks.create_task(sleep("first", 0.02))
        tasks.create_task(sleep("second", 0.15))
    assert woken == ["first", "second", "last"]


@pytest.mark.parametrize("seconds", [0, -1])
async def test_no_time_lets_others_run_and_returns(clock: Clock, seconds: float) -> None:
    ran = False

    async def other() -> None:
        nonlocal ran
        ran = True

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(other())
        await clock.sleep(seconds)
        assert ran


async def test_a_sleep_can_be_cancelled(clock: Clock) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await clock.sleep(3600)
