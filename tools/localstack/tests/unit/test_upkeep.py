from __future__ import annotations

import asyncio

import pytest

from localstack.disk import free_bytes
from localstack.errors import DiskFullError
from localstack.state import StateDir
from localstack.testing import RecordingReport
from localstack.upkeep import keep_up, look_once


def test_log_that_grew_is_cut_and_said_so(state: StateDir, report: RecordingReport) -> None:
    state.log("edge").write_bytes(b"x" * (2**20 + 1))
    state.log("router").write_bytes(b"x")
    look_once(state, report, limit=2**20)
    assert state.log("edge").read_bytes() == b""
    assert state.log("router").read_bytes() == b"x"
    assert report.said == [("progress", f"{state.log('edge')} had grown to 1 MiB; its content is in edge.log.1")]


def test_log_that_cannot_be_cut_is_a_problem_and_the_others_are_cut(state: StateDir, report: RecordingReport) -> None:
    state.log("edge").write_bytes(b"xx")
    (state.logs / "edge.log.1").mkdir()
    state.log("router").write_bytes(b"xx")
    look_once(state, report, limit=1)
    assert report.problems == [f"cannot cut the log {state.log('edge')}: Is a directory"]
    assert state.log("router").read_bytes() == b""


def test_full_disk_ends_the_upkeep(state: StateDir, report: RecordingReport) -> None:
    with pytest.raises(DiskFullError):
        look_once(state, report, needed=free_bytes(state.root) + 2**40)


async def said(report: RecordingReport, count: int) -> None:
    while True:
        if len(report.said) >= count:
            return
        await asyncio.sleep(0.01)


async def test_upkeep_looks_again_and_again(state: StateDir, report: RecordingReport) -> None:
    async with asyncio.TaskGroup() as group:
        upkeep = group.create_task(keep_up(state, report, interval_s=0.01, limit=10))
        for count in (1, 2):
            state.log("edge").write_bytes(b"x" * 11)
            await asyncio.wait_for(said(report, count), 30)
        upkeep.cancel()
    assert state.log("edge").read_bytes() == b""
    assert len(report.said) == 2
