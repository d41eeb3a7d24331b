"""The service of one organisation's usage on a real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import grpc
import pytest

from metering.adapters.clickhouse_analytics import ClickHouseAnalytics
from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_export import ClickHouseUsageExport
from metering.adapters.clickhouse_rollups import ClickHouseRollups
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.api.analytics_service import AnalyticsServicer
from metering.rollups import Rollups
from metering.testing.usage_questions import Asked
from servicekit.clock import SystemClock
from servicekit.testing import run_servicer
from turnpike.metering.v1.analytics_service_pb2_grpc import AnalyticsServiceStub, add_AnalyticsServiceServicer_to_server


@pytest.fixture
async def asked(engine: Any, emptied: str) -> AsyncIterator[Asked]:
    log = ClickHouseUsageLog(engine.dsn(emptied), SystemClock(), CallLimits(), cluster=None, may_migrate=True)
    await log.start()
    servicer = AnalyticsServicer(ClickHouseAnalytics(log.calls), ClickHouseUsageExport(log.calls, slice_rows=100))

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_AnalyticsServiceServicer_to_server(servicer, server)
        return []

    rollups = Rollups(ClickHouseRollups(log.calls), SystemClock(), timedelta(1), is_in_charge=lambda: True)

    async def empty(table: str) -> None:
        await log.calls.step(lambda client: client.command("TRUNCATE TABLE {table:Identifier}", {"table": table}))

    async with run_servicer(register) as channel:
        yield Asked(log, rollups, AnalyticsServiceStub(channel), empty)
    await log.stop(timedelta(seconds=1))
