"""Metering in this process without its broker: real services over a real engine, filled by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import grpc

from metering.adapters.clickhouse_analytics import ClickHouseAnalytics
from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_endpoint_stats import ClickHouseEndpointStats
from metering.adapters.clickhouse_export import ClickHouseUsageExport
from metering.adapters.clickhouse_insight import ClickHouseInsight
from metering.adapters.clickhouse_rollups import ClickHouseRollups
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.api.analytics_service import AnalyticsServicer
from metering.api.insight_service import InsightServicer
from metering.api.metering_service import MeteringServicer
from metering.convert import usage_row_from_proto
from metering.domain.batch import BatchPlan, Span
from metering.domain.rollups import Rollup
from metering.domain.usage import UnixMs
from metering.queries import UsageQueries
from metering.recent import RecentEvents
from metering.rollups import Rollups
from servicekit.clock import Clock
from servicekit.grpc_server import GrpcServer
from servicekit.settings import GrpcServerSettings
from servicekit.testing import make_runtime, running
from turnpike.metering.v1.analytics_service_pb2_grpc import add_AnalyticsServiceServicer_to_server
from turnpike.metering.v1.insight_service_pb2_grpc import add_InsightServiceServicer_to_server
from turnpike.metering.v1.metering_service_pb2_grpc import add_MeteringServiceServicer_to_server
from turnpike.usage.v1.usage_event_pb2 import UsageEvent


@dataclass
class MeteringStack:
    """A running metering."""

    log: ClickHouseUsageLog
    rollups: Rollups
    target: str
    inserted: int = 0

    async def insert(self, events: Sequence[UsageEvent], *rollups: Rollup) -> None:
        """Put events into the store as one batch, and bring rollups, or all of them, up to date."""
        first, self.inserted = self.inserted, self.inserted + len(events)
        plan = BatchPlan("c", "turnpike.usage.v1", (Span(0, first, self.inserted - 1),), UnixMs(self.inserted))
        await self.log.append(plan, [usage_row_from_proto(event) for event in events])
        await self.rollups.refresh(*rollups)


@asynccontextmanager
async def metering_stack(dsn: str, clock: Clock) -> AsyncIterator[MeteringStack]:
    """Run it on a store."""
    log = ClickHouseUsageLog(dsn, clock, CallLimits(), cluster=None, may_migrate=True)
    await log.start()
    recent = RecentEvents(1_000)

    def register(server: grpc.aio.Server) -> Sequence[str]:
        queries = UsageQueries(log, recent, clock, is_reading=lambda: True)
        add_MeteringServiceServicer_to_server(MeteringServicer(queries), server)
        analytics = AnalyticsServicer(ClickHouseAnalytics(log.calls), ClickHouseUsageExport(log.calls))
        add_AnalyticsServiceServicer_to_server(analytics, server)
        insight = InsightServicer(ClickHouseEndpointStats(log.calls), ClickHouseInsight(log.calls), clock)
        add_InsightServiceServicer_to_server(insight, server)
        return []

    server = GrpcServer(GrpcServerSettings(), make_runtime(), register)
    rollups = Rollups(ClickHouseRollups(log.calls), clock, timedelta(days=1), is_in_charge=lambda: True)
    try:
        async with running(server):
            yield MeteringStack(log, rollups, f"127.0.0.1:{server.port}")
    finally:
        await log.stop(timedelta(seconds=1))
