"""The life of a service, in a real process: settings, start, drain, failures, exit codes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest

TINY_SERVICE = Path(__file__).parent / "tiny_service.py"
STEPS = ("ingress", "work", "sink")


class Process(Protocol):
    events: list[dict[str, Any]]
    process: asyncio.subprocess.Process

    async def until(self, name: str, **fields: Any) -> dict[str, Any]: ...
    def send_signal(self, number: signal.Signals) -> None: ...
    async def finish(self) -> int: ...
    def names(self) -> list[str]: ...


Start = Callable[..., Awaitable[Process]]


def run_to_end(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TINY_", "OTEL_"))}
    return subprocess.run(
        [sys.executable, str(TINY_SERVICE), *arguments],
        env=environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_all_problems_of_the_settings_are_printed_and_the_exit_code_is_2(arguments: list[str]) -> None:
    ended = run_to_end(*arguments, TINY_ADMIN_PORT="port", TINY_DRAIN_GRACE="20", TINY_NO_SUCH="x", TINY_LOG_LEVEL="x")
    assert ended.returncode == 2
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert lines[0] == "tiny: 4 problems in the settings"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "TINY_ADMIN_PORT",
        "TINY_DRAIN_GRACE",
        "TINY_LOG_LEVEL",
        "TINY_NO_SUCH",
    ]


def test_check_says_ok_and_starts_nothing() -> None:
    ended = run_to_end("--check", TINY_FAULT_KIND="wiring")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ok\n", "")


# --- start and drain --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_in_order_and_the_exit_code_is_0(start_service: Start, number: signal.Signals) -> None:
    service = await start_service()
    await service.until("service.started")
    service.send_signal(number)
    assert await service.finish() == 0

    names = [name for name in service.names() if not name.startswith(("step.running", "admin."))]
    assert names == [
        "wiring.opened",
        "step.started:sink",
        "step.started:work",
        "step.started:ingress",
        "phase.entered",
        "service.started",
        "service.stopping",
        "phase.entered",
        "step.stopped:ingress",
        "step.stopped:work",
        "step.stopped:sink",
        "wiring.closed",
        "service.stopped",
    ]
    phases = [(event["phase"], event["ready"]) for event in service.events if event["event"] == "phase.entered"]
    assert phases == [("running", True), ("draining", False)]
    assert not any(event["ready"] for event in service.events if event["event"] == "step.stopped")
    last = service.events[-1]
    assert (last["reason"], last["abandoned"], last["exit_code"]) == (number.name, 0, 0)


async def status(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as answer:
        return answer.status


async def test_readiness_fails_before_anything_stops_and_liveness_holds_to_the_end(start_service: Start) -> None:
    service = await start_service(DRAIN_PROPAGATION="1h")
    port = (await service.until("admin.listening"))["port"]
    await service.until("service.started")
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        assert await status(session, f"{url}/healthz/ready") == 200
        assert await status(session, f"{url}/healthz/live") == 200
        service.send_signal(signal.SIGTERM)
        await service.until("phase.entered", phase="draining")
        assert await status(session, f"{url}/healthz/ready") == 503
        assert await status(session, f"{url}/healthz/live") == 200
        assert await status(session, f"{url}/metrics") == 200
    assert not [name for name in service.names() if name.startswith("step.stopped")]
    # The propagation of an hour is cut short by a second signal.
    service.send_signal(signal.SIGTERM)
    assert await service.finish() == 128 + signal.SIGTERM
    assert service.events[-1]["event"] == "service.killed"


async def test_a_signal_during_the_start_cancels_it_and_releases_what_there_is(start_service: Start) -> None:
    service = await start_service(FAULT_KIND="slow-start", FAULT_STEP="work", DRAIN_PROPAGATION="1h")
    await service.until("step.starting")
    service.send_signal(signal.SIGTERM)
    assert await service.finish() == 0
    stopped = [name for name in service.names() if name.startswith("step.stopped")]
    assert stopped == ["step.stopped:work", "step.stopped:sink"]
    assert "service.started" not in service.names()
    assert "wiring.closed" in service.names()


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_one_component_that_dies_stops_all_and_the_exit_code_says_so(start_service: Start) -> None:
    service = await start_service(FAULT_KIND="run", DRAIN_PROPAGATION="1h")
    assert await service.finish() == 1
    failed = next(event for event in service.events if event["event"] == "component.failed")
    assert (failed["component"], failed["error"]) == ("work", "RuntimeError: the step broke")
    assert "Traceback" in failed["exception"]
    assert "\n" in failed["exception"]
    assert [name for name in service.names() if name.startswith("step.stopped")][-1] == "step.stopped:sink"
    assert service.events[-1]["reason"] == "failed: RuntimeError: the step broke"


async def test_a_component_may_return_early(start_service: Start) -> None:
    service = await start_service(FAULT_KIND="early-return")
    await service.until("service.started")
    service.send_signal(signal.SIGTERM)
    assert await service.finish() == 0


@pytest.mark.parametrize(("kind", "event"), [("start", "component.start_failed"), ("wiring", "service.failed")])
async def test_a_start_that_fails_says_why_in_one_line(start_service: Start, kind: str, event: str) -> None:
    service = await start_service(FAULT_KIND=kind, FAULT_STEP="work")
    assert await service.finish() == 1
    failed = next(line for line in service.events if line["event"] == event)
    assert failed["error"] == {"start": "OSError: the port is taken", "wiring": "OSError: no database"}[kind]
    # What the system refuses needs no place in the program.
    assert "exception" not in failed
    assert "step.started:ingress" not in service.names()


@pytest.mark.parametrize("kind", ["stop", "stop-cancelled"])
async def test_a_stop_that_fails_keeps_no_other_from_stopping(start_service: Start, kind: str) -> None:
    service = await start_service(FAULT_KIND=kind, FAULT_STEP="ingress")
    await service.until("service.started")
    service.send_signal(signal.SIGTERM)
    assert await service.finish() == 1
    assert "component.stop_failed" in service.names()
    assert [name for name in service.names() if name.startswith("step.stopped")] == [
        "step.stopped:work",
        "step.stopped:sink",
    ]
    assert "wiring.closed" in service.names()


async def test_a_component_that_does_not_stop_is_left_behind_after_the_grace(start_service: Start) -> None:
    service = await start_service(
        FAULT_KIND="stuck-stop", FAULT_STEP="ingress", DRAIN_GRACE="300ms", DRAIN_RESERVE="100ms"
    )
    await service.until("service.started")
    service.send_signal(signal.SIGTERM)
    assert await service.finish() == 0
    assert [event["component"] for event in service.events if event["event"] == "component.stop_abandoned"] == [
        "ingress"
    ]
    assert service.names()[-4:] == ["step.stopped:work", "step.stopped:sink", "wiring.closed", "service.stopped"]
    assert service.events[-1]["abandoned"] == 3


@pytest.mark.parametrize("kind", ["deaf", "thread"])
async def test_a_process_that_cannot_end_by_itself_is_ended(start_service: Start, kind: str) -> None:
    service = await start_service(FAULT_KIND=kind, DRAIN_GRACE="200ms", DRAIN_RESERVE="100ms")
    await service.until("step.running", step="work")
    service.send_signal(signal.SIGTERM)
    assert await service.finish() == 1
    assert "component.run_abandoned" in service.names()
    assert "step.stopped:sink" in service.names()
    assert service.events[-1]["event"] == "service.stuck"


async def test_a_taken_admin_port_is_reported_in_one_line(start_service: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = await start_service(ADMIN_PORT=str(port))
        assert await service.finish() == 1
    failed = service.events[-1]
    assert (failed["event"], failed["port"]) == ("admin.bind_failed", port)
    assert re.search("in use", failed["error"])
    assert "wiring.opened" not in service.names()


# --- logs and telemetry of the process --------------------------------------------------------------------------------


async def test_every_line_is_json_with_the_identity_of_the_process_and_no_secret(start_service: Start) -> None:
    service = await start_service(TOKEN="hunter2", INSTANCE="tiny-7")
    await service.until("service.started")
    service.send_signal(signal.SIGTERM)
    assert await service.finish() == 0
    assert all((event["service"], event["instance"]) == ("tiny", "tiny-7") for event in service.events)
    opened = next(event for event in service.events if event["event"] == "wiring.opened")
    assert (opened["token"], opened["text"]) == ("[redacted]", "[redacted]")
    assert "hunter2" not in str(service.events)
    # A context of one task is not seen by others.
    bound = {event["event"] for event in service.events if event.get("request_id") == "request-7"}
    assert bound == {"step.running"}


class SpansAndMetrics(Protocol):
    endpoint: str
    spans: dict[str, Any]
    resources: list[dict[str, str]]
    metrics: set[str]


async def test_telemetry_of_the_last_component_reaches_the_collector(
    start_service: Start, collector: SpansAndMetrics
) -> None:
    service = await start_service(TELEMETRY_OTLP_ENDPOINT=collector.endpoint, INSTANCE="tiny-7")
    await service.until("service.started")
    service.send_signal(signal.SIGTERM)
    assert await service.finish() == 0
    assert {f"stop {step}" for step in STEPS} <= collector.spans.keys()
    assert "tiny.step.stops" in collector.metrics
    resource = collector.resources[0]
    assert (resource["service.name"], resource["service.instance.id"]) == ("tiny", "tiny-7")
    assert resource["service.namespace"] == "turnpike"


async def test_a_collector_that_hangs_does_not_hold_up_the_process(start_service: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        service = await start_service(TELEMETRY_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
        await service.until("service.started")
        service.send_signal(signal.SIGTERM)
        assert await service.finish() == 0
    assert service.events[-1]["event"] == "telemetry.flush_abandoned"
