"""What every usage log does, the one in memory and the one on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.ids import GenerationId, KeyId, OrgId
from router.adapters.usage_events import spool_entries
from router.adapters.usage_spool import UsageSpool
from router.domain.errors import UsageLogError
from router.domain.ports import UsageLog
from router.domain.settlement import Caller, GenerationRecord, Status
from router.testing.doubles import MemoryUsageLog
from servicekit.clock import SystemClock
from servicekit.spool import SpoolLimits
from servicekit.testing import running

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(params=["memory", "spool"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[UsageLog]:
    if request.param == "memory":
        yield MemoryUsageLog()
        return
    spool = UsageSpool(tmp_path, spool_entries("router-test", "local"), SystemClock(), SpoolLimits())
    async with running(spool):
        yield spool


def record(number: int) -> GenerationRecord:
    return GenerationRecord(
        generation_id=GenerationId(f"gen-1-{number:020d}"),
        caller=Caller(OrgId("org"), KeyId("key")),
        requested_model="acme/one",
        status=Status.FAILED,
        streamed=False,
        started_at=NOW,
        ended_at=NOW,
        attempts=(),
        answered=None,
    )


async def test_it_takes_records_waited_for_or_not(log: UsageLog) -> None:
    assert log.accepting
    not_waited_for = log.append(record(1))
    await log.append(record(2))
    await not_waited_for


async def test_a_memory_log_fails_as_a_disk_does() -> None:
    log = MemoryUsageLog()
    log.failing = True
    log.append(record(1))
    with pytest.raises(UsageLogError):
        await log.append(record(2))
