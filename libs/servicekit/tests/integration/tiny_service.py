"""A service of three steps, run as a process by tests: ingress, work and sink, in drain order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Literal

from pydantic import SecretStr

from servicekit import Component, Runtime, Service, run
from servicekit.logs import bind_request, get_logger
from servicekit.metrics import CounterSpec
from servicekit.readiness import Phase
from servicekit.settings import Section, ServiceSettings, service_config
from servicekit.tracing import span

_log = get_logger(__name__)

STOPS = CounterSpec("tiny.step.stops", "{stop}", "Steps that were stopped.")

Fault = Literal[
    "none",
    "start",
    "slow-start",
    "wiring",
    "run",
    "early-return",
    "stop",
    "stop-cancelled",
    "stuck-stop",
    "deaf",
    "thread",
]


class FaultSettings(Section):
    kind: Fault = "none"
    step: Literal["ingress", "work", "sink"] = "work"


class Settings(ServiceSettings):
    model_config = service_config("TINY")

    token: SecretStr = SecretStr("")
    fault: FaultSettings = FaultSettings()


class Step(Component):
    def __init__(self, name: str, runtime: Runtime, fault: Fault) -> None:
        self.name = name
        self._runtime = runtime
        self._fault = fault
        self._stopping = asyncio.Event()
        self._stops = STOPS.create(runtime.meter)

    async def start(self) -> None:
        if self._fault == "start":
            raise OSError("the port is taken")
        if self._fault == "slow-start":
            _log.info("step.starting", step=self.name)
            await asyncio.Event().wait()
        _log.info("step.started", step=self.name)

    async def run(self) -> None:
        bind_request("request-7")
        _log.info("step.running", step=self.name)
        if self._fault == "run":
            raise RuntimeError("the step broke")
        if self._fault == "early-return":
            return
        if self._fault == "thread":
            await asyncio.to_thread(time.sleep, 3600)
        while self._fault == "deaf":
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
        await self._stopping.wait()

    async def stop(self, grace: timedelta) -> None:
        self._stopping.set()
        with span(self._runtime.tracer, f"stop {self.name}"):
            self._stops.add(1, {"step": self.name})
            if self._fault == "stop":
                raise RuntimeError("the step cannot stop")
            if self._fault == "stop-cancelled":
                raise asyncio.CancelledError
            if self._fault == "stuck-stop":
                await asyncio.Event().wait()
        _log.info("step.stopped", step=self.name, ready=self._runtime.readiness.ready)

    def in_flight(self) -> int:
        return 3 if self._fault == "stuck-stop" else 0


@asynccontextmanager
async def wire(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    if settings.fault.kind == "wiring":
        raise OSError("no database")

    def log_phase(phase: Phase) -> None:
        _log.info("phase.entered", phase=phase, ready=runtime.readiness.ready)

    runtime.readiness.on_phase(log_phase)
    _log.info("wiring.opened", token=settings.token, text=f"Bearer {settings.token.get_secret_value()}")
    steps = [
        Step(name, runtime, settings.fault.kind if settings.fault.step == name else "none")
        for name in ("ingress", "work", "sink")
    ]
    yield Service(steps)
    _log.info("wiring.closed")


if __name__ == "__main__":
    run("tiny", Settings, wire)
