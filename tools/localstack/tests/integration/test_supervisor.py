from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from localstack.child import ChildSpec, ChildState
from localstack.errors import ChildFailedError, ChildNotReadyError
from localstack.state import StateDir
from localstack.supervisor import RestartPolicy, Supervisor
from localstack.testing import RecordingReport, lives, small_process, supervised

# Pauses that a test need not wait for.
BRISK = RestartPolicy(deaths=2, first_pause=0.01, longest_pause=0.05)
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); serve()"


async def until(condition: Callable[[], bool]) -> None:
    """Look again and again, for as long as the test may take."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.01)


async def nothing() -> None:
    """Work that is done at once."""


async def forever() -> None:
    await asyncio.Event().wait()


def gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_processes_start_after_their_needs_and_stop_stage_by_stage(
    state: StateDir, report: RecordingReport
) -> None:
    supervisor = Supervisor(
        [
            small_process(state, "edge", needs=("router",), stage=0),
            small_process(state, "router", needs=("broker",), stage=1),
            small_process(state, "broker", stage=2),
        ],
        report,
    )
    async with supervised(supervisor):
        pids = [child.pid for child in supervisor.children.values()]
    assert report.texts == [
        "broker is ready",
        "router is ready",
        "edge is ready",
        "edge stopped",
        "router stopped",
        "broker stopped",
    ]
    assert all(gone(pid) for pid in pids)


async def test_killed_process_is_started_again(state: StateDir, report: RecordingReport) -> None:
    changes: list[tuple[str, int]] = []
    supervisor = Supervisor(
        [small_process(state, "edge")],
        report,
        on_change=lambda: changes.extend((child.state, child.pid) for child in supervisor.children.values()),
        policy=BRISK,
    )
    child = supervisor.children["edge"]
    async with supervised(supervisor):
        first = child.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.pid != first and child.ready.is_set())
        assert lives(state, "edge") == 2
    assert report.problems == [f"edge was killed by SIGKILL; last words: ready; log: {state.log('edge')}; restarting"]
    assert "edge is ready again" in report.texts
    assert changes[:3] == [("starting", first), ("ready", first), ("dead", first)]
    assert changes[3:5] == [("starting", child.pid), ("ready", child.pid)]


async def test_process_that_does_not_stay_up_ends_all(state: StateDir, report: RecordingReport) -> None:
    supervisor = Supervisor(
        [small_process(state, "edge", "say('no luck'); sys.exit(3)"), small_process(state, "sim")], report, policy=BRISK
    )
    with pytest.raises(ChildFailedError) as raised:
        await supervisor.run(forever)
    assert str(raised.value) == (
        f"edge ended with exit code 3; last words: no luck; log: {state.log('edge')}; it does not stay up"
    )
    assert lives(state, "edge") == BRISK.deaths + 1
    assert not supervisor.children["sim"].running


async def test_wrong_settings_end_all_at_once(state: StateDir, report: RecordingReport) -> None:
    supervisor = Supervisor([small_process(state, "edge", "say('EDGE_X: required'); sys.exit(2)")], report)
    with pytest.raises(ChildFailedError, match="last words: EDGE_X: required"):
        await supervisor.run(forever)
    assert lives(state, "edge") == 1


async def test_optional_process_that_cannot_run_is_done_without(state: StateDir, report: RecordingReport) -> None:
    illegal = "os.kill(os.getpid(), signal.SIGILL)"
    supervisor = Supervisor(
        [
            small_process(state, "model-a", illegal, optional=True),
            small_process(state, "edge", needs=("model-a",)),
        ],
        report,
    )
    async with supervised(supervisor):
        assert supervisor.children["model-a"].state is ChildState.GIVEN_UP
        assert supervisor.children["edge"].state is ChildState.READY
        with pytest.raises(ChildFailedError, match="model-a was given up"):
            await supervisor.release("model-a")
    assert lives(state, "model-a") == 1
    assert report.problems == [
        f"model-a was killed by SIGILL; last words: born; log: {state.log('model-a')}; "
        "it cannot run on this machine; going on without it"
    ]


async def test_optional_process_that_hangs_is_killed_and_done_without(state: StateDir, report: RecordingReport) -> None:
    hanging = small_process(state, "model-a", "time.sleep(1000)", optional=True, start_limit=timedelta(seconds=0.2))
    supervisor = Supervisor([hanging], report)
    async with supervised(supervisor):
        assert supervisor.children["model-a"].state is ChildState.GIVEN_UP
        await until(lambda: not supervisor.children["model-a"].running)


async def test_optional_process_that_was_ready_is_started_again(state: StateDir, report: RecordingReport) -> None:
    supervisor = Supervisor([small_process(state, "model-a", optional=True)], report, policy=BRISK)
    child = supervisor.children["model-a"]
    async with supervised(supervisor):
        first = child.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.pid != first and child.ready.is_set())


async def test_process_that_is_not_ready_in_time_ends_all(state: StateDir, report: RecordingReport) -> None:
    hanging = small_process(state, "edge", "say('thinking'); time.sleep(1000)", start_limit=timedelta(seconds=2))
    supervisor = Supervisor([hanging], report)
    with pytest.raises(ChildNotReadyError, match="edge is not ready after 2 s; last words: thinking; log: "):
        await supervisor.run(forever)
    assert not supervisor.children["edge"].running


async def test_held_process_stays_down_until_it_is_released(state: StateDir, report: RecordingReport) -> None:
    supervisor = Supervisor([small_process(state, "metering")], report, policy=BRISK)
    child = supervisor.children["metering"]
    async with supervised(supervisor):
        first = child.pid
        await supervisor.hold("metering")
        held = child.state
        assert held is ChildState.HELD
        assert gone(first)
        await supervisor.hold("metering")
        await supervisor.release("metering")
        released: ChildState = child.state
        assert released is ChildState.READY
        assert child.pid != first
        with pytest.raises(KeyError):
            await supervisor.hold("nobody")
    assert report.problems == []


async def test_released_process_that_does_not_become_ready_is_reported(
    state: StateDir, report: RecordingReport
) -> None:
    script = "time.sleep(1000) if Path('metering.slow').exists() else serve()"
    # Long enough for the first start on a busy machine.
    spec = small_process(state, "metering", script, start_limit=timedelta(seconds=3))
    supervisor = Supervisor([spec], report)
    async with supervised(supervisor):
        await supervisor.hold("metering")
        (state.root / "metering.slow").touch()
        with pytest.raises(ChildNotReadyError, match="metering is not ready"):
            await supervisor.release("metering")


async def test_what_dies_because_another_part_is_down_comes_back_with_it(
    state: StateDir, report: RecordingReport
) -> None:
    dependent = "serve() if Path('broker.up').exists() else sys.exit(1)"
    supervisor = Supervisor(
        [small_process(state, "broker"), small_process(state, "accounts", dependent, needs=("broker",))],
        report,
        policy=BRISK,
    )
    up = state.root / "broker.up"
    up.touch()
    accounts = supervisor.children["accounts"]
    async with supervised(supervisor):
        await supervisor.hold("broker")
        up.unlink()
        os.kill(accounts.pid, signal.SIGKILL)
        await until(lambda: lives(state, "accounts") > BRISK.deaths + 3)
        up.touch()
        await supervisor.release("broker")
        await until(accounts.ready.is_set)


async def test_process_that_does_not_stop_is_killed_after_its_grace(state: StateDir, report: RecordingReport) -> None:
    supervisor = Supervisor([small_process(state, "edge", STUBBORN, grace=timedelta(seconds=0.2))], report)
    async with supervised(supervisor):
        pid = supervisor.children["edge"].pid
    assert gone(pid)
    assert report.problems == [
        f"edge did not stop within 0 s and was killed; last words: ready; log: {state.log('edge')}"
    ]


async def test_impatience_kills_what_has_not_stopped(state: StateDir, report: RecordingReport) -> None:
    supervisor = Supervisor([small_process(state, "edge", STUBBORN, grace=timedelta(hours=1))], report)
    async with supervised(supervisor):
        pid = supervisor.children["edge"].pid
        supervisor.impatient.set()
    assert gone(pid)


async def test_kill_takes_along_what_a_process_started(state: StateDir, report: RecordingReport) -> None:
    script = f"{STUBBORN.removesuffix('serve()')}pid = os.fork(); Path(f'{{os.getpid()}}.is').touch(); serve()"
    supervisor = Supervisor([small_process(state, "edge", script)], report, policy=BRISK)
    async with supervised(supervisor, settle=False):
        await until(lambda: len(list(state.root.glob("*.is"))) == 2)
        pids = [int(path.stem) for path in state.root.glob("*.is")]
        supervisor.impatient.set()
    await until(lambda: all(gone(pid) for pid in pids))


async def test_program_that_is_not_there_is_said_so(state: StateDir, report: RecordingReport) -> None:
    spec = small_process(state, "edge", command=("/none/edge",))
    supervisor = Supervisor([spec], report, policy=BRISK)
    with pytest.raises(ChildFailedError, match="last words: cannot run /none/edge: No such file or directory"):
        await supervisor.run(forever)


async def test_log_that_cannot_be_written_is_said_so(state: StateDir, report: RecordingReport) -> None:
    spec: ChildSpec = small_process(state, "edge", log=state.root / "none" / "edge.log")
    with pytest.raises(ChildFailedError, match="cannot start edge: No such file or directory"):
        await Supervisor([spec], report).run(forever)


async def test_work_that_is_done_stops_all(state: StateDir, report: RecordingReport) -> None:
    supervisor = Supervisor([small_process(state, "edge")], report)
    await supervisor.run(nothing)
    assert not supervisor.children["edge"].running


ORPHANED = """
import asyncio, sys
from pathlib import Path
from localstack.state import StateDir
from localstack.supervisor import Supervisor
from localstack.testing import RecordingReport, small_process

async def main():
    supervisor = Supervisor([small_process(StateDir.at(Path(sys.argv[1])), "edge")], RecordingReport())
    async def work():
        await supervisor.settled()
        print(supervisor.children["edge"].pid, flush=True)
        await asyncio.Event().wait()
    await supervisor.run(work)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
async def test_killed_supervisor_leaves_nothing_running(state: StateDir) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ORPHANED, str(state.root), stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert not gone(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: gone(pid))
    assert not Path(f"/proc/{pid}/cmdline").exists() or Path(f"/proc/{pid}/cmdline").read_bytes() == b""
