"""One suite for every SpendLog, and what only the file promises."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from pathlib import Path

import pytest

from contracts.ids import EndpointId
from contracts.money import NanoUsd
from health_prober.adapters.spend_file import FileSpendLog, MemorySpendLog
from health_prober.domain.budget import DaySpend
from health_prober.domain.ports import SpendLog
from servicekit.clock import SystemClock

A, B = EndpointId("m/a@p"), EndpointId("m/b@p")
TODAY = DaySpend(date(2026, 11, 24), NanoUsd(7))
YESTERDAY = DaySpend(date(2026, 11, 23), NanoUsd(9))


@pytest.fixture(params=["memory", "file"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> SpendLog:
    if request.param == "memory":
        return MemorySpendLog()
    spends = FileSpendLog(tmp_path / "state" / "spend.json", SystemClock())
    await spends.start()
    return spends


async def test_the_last_put_is_got(log: SpendLog) -> None:
    assert log.get(A) is None
    log.put(A, YESTERDAY)
    log.put(A, TODAY)
    assert log.get(A) == TODAY
    assert log.get(B) is None


async def test_the_file_is_read_again_after_a_restart_with_only_the_last_day(tmp_path: Path) -> None:
    path = tmp_path / "spend.json"
    first = FileSpendLog(path, SystemClock())
    await first.start()
    first.put(A, TODAY)
    first.put(B, YESTERDAY)
    await first.stop(timedelta(0))
    second = FileSpendLog(path, SystemClock())
    await second.start()
    assert second.get(A) == TODAY
    assert second.get(B) is None


async def test_changes_are_written_while_it_runs(tmp_path: Path) -> None:
    path = tmp_path / "spend.json"
    log = FileSpendLog(path, SystemClock())
    await log.start()
    log.put(A, TODAY)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(log.run())
        for _ in range(500):
            if path.exists():
                break
            await asyncio.sleep(0.02)
        assert path.exists()
        await log.stop(timedelta(0))
        await running


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 5}', b"\xff"])
async def test_a_broken_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "spend.json"
    path.write_bytes(content)
    log = FileSpendLog(path, SystemClock())
    await log.start()
    assert log.get(A) is None
    log.put(A, TODAY)
    await log.stop(timedelta(0))
    again = FileSpendLog(path, SystemClock())
    await again.start()
    assert again.get(A) == TODAY
