from __future__ import annotations

import asyncio
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from localstack.control import listening, order
from localstack.errors import NotRunningError, StackError
from localstack.state import StateDir
from localstack.supervisor import Supervisor
from localstack.testing import RecordingReport, small_process, supervised


@asynccontextmanager
async def controlled(state: StateDir, report: RecordingReport) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(
        [small_process(state, "edge", admin_url="http://127.0.0.1:1"), small_process(state, "sim")], report
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(supervised(supervisor))
        await stack.enter_async_context(listening(state.control_socket, supervisor))
        yield supervisor


async def test_status_names_every_process(state: StateDir, report: RecordingReport) -> None:
    async with controlled(state, report) as supervisor:
        answer = await order(state.control_socket, "status")
        edge = supervisor.children["edge"]
        assert answer["processes"]["edge"] == {
            "pid": edge.pid,
            "state": "ready",
            "log": str(state.log("edge")),
            "admin_url": "http://127.0.0.1:1",
            "grpc_target": "",
        }
        assert list(answer["processes"]) == ["edge", "sim"]


async def test_process_is_stopped_started_and_restarted(state: StateDir, report: RecordingReport) -> None:
    async with controlled(state, report) as supervisor:
        pids = [supervisor.children["sim"].pid]
        stopped = await order(state.control_socket, "stop", "sim")
        assert stopped["processes"]["sim"]["state"] == "held"
        for command in ("start", "restart"):
            answer = await order(state.control_socket, command, "sim")
            assert answer["processes"]["sim"]["state"] == "ready"
            pids.append(answer["processes"]["sim"]["pid"])
        assert len(set(pids)) == 3
        assert answer["processes"]["edge"]["pid"] == supervisor.children["edge"].pid


async def test_unknown_name_and_unknown_order_are_refused(state: StateDir, report: RecordingReport) -> None:
    async with controlled(state, report):
        with pytest.raises(StackError, match=r"^no process 'nobody'; there are edge, sim$"):
            await order(state.control_socket, "stop", "nobody")
        with pytest.raises(StackError, match=r"^no order 'dance'$"):
            await order(state.control_socket, "dance", "sim")


@pytest.mark.parametrize("line", [b"hello\n", b"[]\n", b"{}\n", b'{"name": "sim"}\n', b"\xff\n"])
async def test_nonsense_is_refused_and_the_socket_goes_on(
    state: StateDir, report: RecordingReport, line: bytes
) -> None:
    async with controlled(state, report):
        reader, writer = await asyncio.open_unix_connection(str(state.control_socket))
        writer.write(line + b'{"command": "status"}\n')
        assert b'"not an order"' in await reader.readline()
        assert b'"ok": true' in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_socket_is_for_its_owner_only_and_goes_with_the_stack(state: StateDir, report: RecordingReport) -> None:
    async with controlled(state, report):
        assert stat.S_IMODE(state.control_socket.stat().st_mode) == 0o600
    assert not state.control_socket.exists()
    with pytest.raises(NotRunningError, match=r"no stack is running in .*; `turnpike up` starts one"):
        await order(state.control_socket, "status")


async def test_socket_of_a_crash_is_replaced(state: StateDir, report: RecordingReport) -> None:
    state.control_socket.touch()
    async with controlled(state, report):
        assert (await order(state.control_socket, "status"))["ok"]


@pytest.mark.skipif(sys.platform != "linux", reason="a long way round a short limit exists on Linux only")
async def test_path_too_long_for_a_socket_works(tmp_path: Path, report: RecordingReport) -> None:
    state = StateDir.at(tmp_path / ("deep" * 30))
    state.make()
    async with controlled(state, report):
        assert (await order(state.control_socket, "status"))["ok"]
