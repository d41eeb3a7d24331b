"""What a service is made of, and how it starts, fails and stops.

The supervisor's order: start the components in reverse drain order, each running as soon as it has started; ready; on
SIGTERM or SIGINT not ready, wait for that to spread, stop the components in drain order. A component that dies causes the
same drain and exit code 1. A second signal ends the process at once, and so does the end of the time when something is stuck.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.metrics import Meter, NoOpMeter
from opentelemetry.trace import NoOpTracer, Tracer

from servicekit.clock import Clock, SystemClock
from servicekit.interruption import Interruption, raise_if_ours
from servicekit.liveness import Liveness
from servicekit.logs import get_logger
from servicekit.readiness import Phase, Readiness
from servicekit.settings import DrainSettings

if TYPE_CHECKING:
    from servicekit.settings import ServiceSettings

__all__ = ["Component", "Readiness", "Runtime", "Service", "Supervisor"]

_log = get_logger(__name__)

_REPORT_SECONDS: Final = 5.0
_OVERRUN_SECONDS: Final = 5.0
"""From the longest that a drain may take to the end of a process that is stuck."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Component:
    """A part of a service that has a life of its own. The defaults do nothing.

    Calls come in this order: `start`, then `run` (concurrently with everything else), then `stop`, after which `run` must
    return. `stop` is also called after a `start` that raised or was cancelled by a signal, to release what it had got.
    """

    name: str = ""

    async def start(self) -> None:
        """Become able to work and return; raise if that is impossible. May be cancelled."""

    async def run(self) -> None:
        """Work until `stop`, then return. Returning earlier is fine; raising fails the service."""

    async def stop(self, grace: timedelta) -> None:
        """Refuse new work, finish what is in hand within `grace`, release everything."""

    def in_flight(self) -> int:
        """How many pieces of work are in hand, for the log of a drain."""
        return 0


@dataclass(frozen=True)
class Service:
    """The components, in drain order: ingress first, sinks last. They start in reverse order."""

    components: Sequence[Component]


@dataclass(frozen=True)
class Runtime:
    """What `wire` gets besides the settings."""

    service: str
    settings: ServiceSettings
    clock: Clock = field(default_factory=SystemClock)
    tracer: Tracer = field(default_factory=NoOpTracer)
    meter: Meter = field(default_factory=lambda: NoOpMeter("servicekit"))
    readiness: Readiness = field(default_factory=Readiness)
    liveness: Liveness = field(default_factory=Liveness)


class _Stage:
    """A component together with the task of its `run`."""

    def __init__(self, component: Component) -> None:
        self.component = component
        self.name = component.name or type(component).__name__
        self.touched = False
        self.abandoned = False
        self.task: asyncio.Task[None] | None = None


class Supervisor:
    """Starts, watches and drains one service."""

    def __init__(
        self, runtime: Runtime, drain: DrainSettings | None = None, *, exit_now: Callable[[int], None] = os._exit
    ) -> None:
        """Make a supervisor.

        Args:
            runtime: of the service.
            drain: how long stopping may take.
            exit_now: ends the process without clean-up: on the second signal, or when a drain does not end.
        """
        self._runtime = runtime
        self._drain = drain or DrainSettings()
        self._exit_now = exit_now
        self._stop = Interruption()
        self._failed = False
        self._stages: list[_Stage] = []
        self._abandoned = 0
        self._owns_process = False
        self._overrun: threading.Timer | None = None

    def request_stop(self, reason: str) -> None:
        """Begin the drain; what is still starting is cancelled. Later requests change nothing."""
        self._stop.happen(reason)

    async def supervise(self, wiring: AbstractAsyncContextManager[Service]) -> int:
        """Run a service from its wiring to its end.

        Returns:
            The exit code: 0 after a requested stop, 1 when something failed.
        """
        self._owns_process = True
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            return await self.supervise_without_signals(wiring)
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    async def supervise_without_signals(self, wiring: AbstractAsyncContextManager[Service]) -> int:
        """The same for a service inside another process: only `request_stop` stops it."""
        try:
            await self._supervise(wiring)
        except Exception as error:
            self._fail("service.failed", error)
        code = 1 if self._failed else 0
        _log.info(
            "service.stopped",
            reason=self._stop.reason,
            drained_in=round(asyncio.get_running_loop().time() - self._stop.happened_at, 3),
            abandoned=self._abandoned,
            exit_code=code,
        )
        return code

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._stop.happened:
            _log.warning("service.killed", signal=name)
            self._exit_now(128 + number)
            return
        _log.info("service.stopping", signal=name)
        self.request_stop(name)

    async def _supervise(self, wiring: AbstractAsyncContextManager[Service]) -> None:
        stack = AsyncExitStack()

        async def enter() -> None:
            service = await stack.enter_async_context(wiring)
            self._stages = [_Stage(component) for component in service.components]

        try:
            if not (await self._stop.guard(enter())).done:
                self._expect_stop("wiring")
            else:
                async with asyncio.TaskGroup() as tasks:
                    await self._start(tasks)
                    await self._stop.wait()
                    await self._drain_stages(tasks)
        finally:
            self._limit_process()
            await self._bounded("wiring", stack.aclose(), self._drain.reserve.total_seconds())

    async def _start(self, tasks: asyncio.TaskGroup) -> None:
        began = asyncio.get_running_loop().time()
        for stage in reversed(self._stages):
            if self._stop.happened:
                return
            stage.touched = True
            try:
                started = await self._stop.guard(stage.component.start())
            except Exception as error:
                self._fail("component.start_failed", error, component=stage.name)
                return
            if not started.done:
                self._expect_stop(stage.name)
                return
            stage.task = tasks.create_task(self._run(stage), name=stage.name)
        if not self._stop.happened:
            self._runtime.readiness.enter(Phase.RUNNING)
            seconds = round(asyncio.get_running_loop().time() - began, 3)
            _log.info("service.started", components=[stage.name for stage in self._stages], seconds=seconds)

    def _expect_stop(self, name: str) -> None:
        if not self._stop.happened:
            self._fail("component.start_failed", RuntimeError("cancelled itself"), component=name)

    async def _run(self, stage: _Stage) -> None:
        try:
            await stage.component.run()
        except asyncio.CancelledError:
            if not stage.abandoned:
                self._fail("component.failed", RuntimeError("cancelled itself"), component=stage.name)
            raise
        except Exception as error:
            self._fail("component.failed", error, component=stage.name)

    def _fail(self, event: str, error: Exception, **fields: str) -> None:
        self._failed = True
        causes = "; ".join(_causes(error))
        # What the operating system refuses (a port, a file) is clear without the place in the program.
        trace = None if isinstance(error, OSError) else error
        _log.error(event, error=causes, exc_info=trace, **fields)  # house: log-event - the callers pass constants
        self.request_stop(f"failed: {causes}")

    async def _drain_stages(self, tasks: asyncio.TaskGroup) -> None:
        self._limit_process()
        was_running = self._runtime.readiness.phase is Phase.RUNNING
        self._runtime.readiness.enter(Phase.DRAINING)
        if was_running and not self._failed:
            await self._runtime.clock.sleep(self._drain.propagation.total_seconds())
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._drain.grace.total_seconds()
        reporting = tasks.create_task(self._report(), name="drain-report")
        for stage in self._stages:
            if stage.touched:
                await self._stop_stage(stage, max(deadline - loop.time(), self._drain.reserve.total_seconds()))
        reporting.cancel()

    async def _stop_stage(self, stage: _Stage, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        # The component is told a little less, so that it can end by itself what it has to abandon.
        told = timedelta(seconds=seconds - min(0.5, seconds / 4))
        await self._bounded(stage.name, stage.component.stop(told), seconds)
        if stage.task is not None:
            await asyncio.wait([stage.task], timeout=max(deadline - loop.time(), 0.1))
            if not stage.task.done():
                _log.warning("component.run_abandoned", component=stage.name)
                stage.abandoned = True
                stage.task.cancel()
        self._abandoned += stage.component.in_flight()

    async def _bounded(self, name: str, work: Coroutine[Any, Any, None], seconds: float) -> None:
        """Do the work of a drain; a failure or the end of the time is logged and the drain goes on."""
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                await work
        except TimeoutError as error:
            if scope.expired():
                _log.warning("component.stop_abandoned", component=name, seconds=round(seconds, 3))
            else:
                self._fail("component.stop_failed", error, component=name)
        except asyncio.CancelledError as error:
            # Libraries let the cancellation of their own tasks escape; the components after this one must stop too.
            raise_if_ours(error)
            self._fail("component.stop_failed", RuntimeError("cancelled itself"), component=name)
        except Exception as error:
            self._fail("component.stop_failed", error, component=name)

    def _limit_process(self) -> None:
        """From here on the process ends, even if a task ignores its cancellation or a thread never returns."""
        if not self._owns_process or self._overrun is not None:
            return
        seconds = self._drain.longest(len(self._stages) + 1).total_seconds() + _OVERRUN_SECONDS
        self._overrun = threading.Timer(seconds, self._end_stuck_process)
        # Not waited for by the interpreter: a process that ends by itself is not held up.
        self._overrun.daemon = True
        self._overrun.start()

    def _end_stuck_process(self) -> None:
        _log.error("service.stuck", threads=[thread.name for thread in threading.enumerate()])
        self._exit_now(1)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            waiting = {stage.name: count for stage in self._stages if (count := stage.component.in_flight())}
            _log.info("drain.waited", in_flight=waiting)


def _causes(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [cause for inner in error.exceptions for cause in _causes(inner)]
    return [f"{type(error).__name__}: {error}"]
