from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from servicekit.lifecycle import Component, Runtime, Service, Supervisor
from servicekit.readiness import Phase
from servicekit.settings import DrainSettings
from servicekit.testing import ManualClock, make_runtime

DRAIN = DrainSettings(propagation=timedelta(hours=1), grace=timedelta(seconds=5), reserve=timedelta(seconds=1))


class Step(Component):
    """Notes what happens to it."""

    def __init__(self, name: str, journal: list[str], *, run_error: Exception | None = None) -> None:
        self.name = name
        self.grace: timedelta | None = None
        self.broken = asyncio.Event()
        self._journal = journal
        self._run_error = run_error
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        self._journal.append(f"start {self.name}")

    async def run(self) -> None:
        if self._run_error is not None:
            await self.broken.wait()
            raise self._run_error
        await self._stopping.wait()
        self._journal.append(f"ran {self.name}")

    async def stop(self, grace: timedelta) -> None:
        self.grace = grace
        self._journal.append(f"stop {self.name}")
        self._stopping.set()


@asynccontextmanager
async def wiring(journal: list[str], *steps: Component) -> AsyncIterator[Service]:
    journal.append("open")
    yield Service(steps)
    journal.append("close")


async def until_phase(runtime: Runtime, phase: Phase) -> None:
    entered = asyncio.Event()
    runtime.readiness.on_phase(lambda now: entered.set() if now is phase else None)
    await entered.wait()


async def test_starts_in_reverse_is_ready_when_all_have_started_and_drains_in_order_after_the_propagation() -> None:
    clock, journal = ManualClock(), list[str]()
    runtime = make_runtime(clock=clock)
    supervisor = Supervisor(runtime, DRAIN)
    steps = [Step(name, journal) for name in ("ingress", "work", "sink")]
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        life = tasks.create_task(supervisor.supervise_without_signals(wiring(journal, *steps)))
        await until_phase(runtime, Phase.RUNNING)
        assert journal == ["open", "start sink", "start work", "start ingress"]
        assert runtime.readiness.results() == {"phase": True}

        supervisor.request_stop("enough")
        supervisor.request_stop("again")
        await clock.wait_for_sleepers()
        assert runtime.readiness.results() == {"phase": False}
        await clock.advance(DRAIN.propagation - timedelta(seconds=1))
        assert "stop ingress" not in journal
        await clock.advance(1)
    assert journal[4:] == [
        "stop ingress", "ran ingress", "stop work", "ran work", "stop sink", "ran sink", "close",
    ]  # fmt: skip
    assert life.result() == 0
    assert all(step.grace is not None and step.grace < DRAIN.grace for step in steps)


async def test_a_failure_while_running_drains_at_once_because_nothing_is_served_any_more() -> None:
    clock, journal = ManualClock(), list[str]()
    runtime = make_runtime(clock=clock)
    broken = Step("work", journal, run_error=RuntimeError("lost"))
    supervisor = Supervisor(runtime, DRAIN)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        life = tasks.create_task(
            supervisor.supervise_without_signals(
                wiring(journal, Step("ingress", journal), broken, Step("sink", journal))
            )
        )
        await until_phase(runtime, Phase.RUNNING)
        broken.broken.set()
    assert clock.monotonic() == 0
    assert journal[-6:] == ["stop ingress", "ran ingress", "stop work", "stop sink", "ran sink", "close"]
    assert life.result() == 1


async def test_a_component_that_fails_while_others_start_ends_the_start() -> None:
    journal = list[str]()

    class Slow(Step):
        async def start(self) -> None:
            broken.broken.set()
            await asyncio.Event().wait()

    broken = Step("sink", journal, run_error=RuntimeError("lost"))
    supervisor = Supervisor(make_runtime(), DRAIN)
    service = wiring(journal, Step("ingress", journal), Slow("work", journal), broken)
    async with asyncio.timeout(10):
        assert await supervisor.supervise_without_signals(service) == 1
    # What was not started is not stopped; what was being started is.
    assert journal == ["open", "start sink", "stop work", "stop sink", "close"]


async def test_a_stop_before_the_wiring_is_done_ends_it() -> None:
    closed = asyncio.Event()

    @asynccontextmanager
    async def endless() -> AsyncIterator[Service]:
        try:
            await asyncio.Event().wait()
            yield Service([])
        finally:
            closed.set()

    supervisor = Supervisor(make_runtime(), DRAIN)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        life = tasks.create_task(supervisor.supervise_without_signals(endless()))
        await asyncio.sleep(0)
        supervisor.request_stop("enough")
    assert life.result() == 0
    assert closed.is_set()


async def test_a_release_that_fails_shows_in_the_exit_code() -> None:
    journal = list[str]()

    @asynccontextmanager
    async def leaky() -> AsyncIterator[Service]:
        yield Service([Step("only", journal)])
        raise OSError("the disk is full")

    runtime = make_runtime()
    supervisor = Supervisor(runtime, DrainSettings())
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        life = tasks.create_task(supervisor.supervise_without_signals(leaky()))
        await until_phase(runtime, Phase.RUNNING)
        supervisor.request_stop("enough")
    assert journal == ["start only", "stop only", "ran only"]
    assert life.result() == 1
