"""The composition root: the only place that chooses concrete things."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import grpc

from contracts.topics import USAGE
from metering.adapters.clickhouse_analytics import ClickHouseAnalytics
from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_endpoint_stats import ClickHouseEndpointStats
from metering.adapters.clickhouse_export import ClickHouseUsageExport
from metering.adapters.clickhouse_insight import ClickHouseInsight
from metering.adapters.clickhouse_reconciliation import ClickHouseReconciliation
from metering.adapters.clickhouse_rollups import ClickHouseRollups
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.adapters.dead_letters import KafkaDeadLetters
from metering.adapters.endpoint_stats_topic import KafkaEndpointStatsTopic
from metering.adapters.kafka_planned_records import KafkaPlannedRecords
from metering.adapters.ledger_client import GrpcLedger
from metering.api.analytics_service import SERVICE_NAME as ANALYTICS_SERVICE_NAME
from metering.api.analytics_service import AnalyticsServicer
from metering.api.insight_service import SERVICE_NAME as INSIGHT_SERVICE_NAME
from metering.api.insight_service import InsightServicer
from metering.api.metering_service import SERVICE_NAME, MeteringServicer
from metering.api.reconciliation_service import SERVICE_NAME as RECONCILIATION_SERVICE_NAME
from metering.api.reconciliation_service import ReconciliationServicer
from metering.domain.fuse import FuseLimits
from metering.endpoint_stats_feed import EndpointStatsFeed
from metering.failpoints import POINTS
from metering.ingest import Ingest, IngestLimits
from metering.ingest_telemetry import IngestTelemetry
from metering.queries import UsageQueries
from metering.recent import RecentEvents
from metering.reconciler import Reconciler, Schedule
from metering.rollups import Rollups
from metering.settings import ClickHouseSettings, ReconcileSettings, Settings
from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.garbage import collect_rarely
from servicekit.grpc_client import open_channel
from servicekit.grpc_server import GrpcServer
from servicekit.kafka import RecordConsumer, RecordSink, TopicPartition
from servicekit.lifecycle import Runtime, Service
from turnpike.metering.v1.analytics_service_pb2_grpc import add_AnalyticsServiceServicer_to_server
from turnpike.metering.v1.insight_service_pb2_grpc import add_InsightServiceServicer_to_server
from turnpike.metering.v1.metering_service_pb2_grpc import add_MeteringServiceServicer_to_server
from turnpike.metering.v1.reconciliation_service_pb2_grpc import add_ReconciliationServiceServicer_to_server

GROUP: Final = "turnpike-metering"
# Records can be read as soon as they are handed over, so what is there is handed over at once; more at a time than this
# would hold up the answers.
_POLL_RECORDS: Final = 1_000


def usage_log(settings: ClickHouseSettings, clock: Clock) -> ClickHouseUsageLog:
    """Make the store of usage events."""
    limits = CallLimits(settings.threads, settings.waiting, settings.patience, settings.query_timeout)
    return ClickHouseUsageLog(
        settings.dsn.get_secret_value(), clock, limits, cluster=settings.cluster, may_migrate=settings.migrate
    )


@asynccontextmanager
async def wire(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Make metering: questions first in drain order, then the reading, then what waits, then where it goes."""
    clock = runtime.clock
    log = usage_log(settings.clickhouse, clock)
    recent = RecentEvents(settings.recent.events)
    sink = RecordSink(settings.kafka, clock, client_id=settings.instance, meter=runtime.meter)
    ingest = Ingest(
        log,
        KafkaDeadLetters(sink),
        KafkaPlannedRecords(settings.kafka),
        recent,
        clock,
        IngestLimits(
            interval=settings.batch.interval,
            rows=settings.batch.rows,
            waiting=settings.batch.waiting,
            fuse=FuseLimits(settings.fuse.consecutive, settings.fuse.ratio, settings.fuse.window),
        ),
        IngestTelemetry(runtime.tracer, runtime.meter),
        Failpoints(POINTS, settings.failpoints),
    )
    consumer = RecordConsumer(
        settings.kafka,
        clock,
        topics=[USAGE.name],
        group=GROUP,
        handler=ingest,
        max_records=_POLL_RECORDS,
        meter=runtime.meter,
    )
    servicer = MeteringServicer(UsageQueries(log, recent, clock, is_reading=lambda: consumer.has_caught_up))
    stats = ClickHouseEndpointStats(log.calls)
    insight = InsightServicer(stats, ClickHouseInsight(log.calls), clock)
    analytics = AnalyticsServicer(ClickHouseAnalytics(log.calls), ClickHouseUsageExport(log.calls))

    # One of the instances is enough for what concerns all rows: the one that reads the first partition.
    def is_in_charge() -> bool:
        return TopicPartition(USAGE.name, 0) in consumer.assignment

    rollups = Rollups(ClickHouseRollups(log.calls), clock, settings.rollup.interval, is_in_charge=is_in_charge)
    feed = EndpointStatsFeed(
        stats,
        KafkaEndpointStatsTopic(sink, settings.instance),
        clock,
        settings.rollup.stats_interval,
        is_in_charge=is_in_charge,
    )

    reconciliation = ClickHouseReconciliation(log.calls)

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_MeteringServiceServicer_to_server(servicer, server)
        add_ReconciliationServiceServicer_to_server(ReconciliationServicer(reconciliation), server)
        add_InsightServiceServicer_to_server(insight, server)
        add_AnalyticsServiceServicer_to_server(analytics, server)
        return [SERVICE_NAME, INSIGHT_SERVICE_NAME, ANALYTICS_SERVICE_NAME, RECONCILIATION_SERVICE_NAME]

    collect_rarely()
    runtime.readiness.add("store", lambda: log.is_ready)
    runtime.liveness.add("consumer", lambda: consumer.is_live)
    async with _ledger(settings.reconcile, runtime) as ledger:
        reconcilers = (
            []
            if ledger is None
            else [
                Reconciler(
                    reconciliation,
                    ledger,
                    clock,
                    runtime.meter,
                    Schedule(settings.reconcile.interval, settings.reconcile.period, settings.reconcile.settling),
                    is_in_charge=is_in_charge,
                )
            ]
        )
        yield Service(
            [GrpcServer(settings.grpc, runtime, register), consumer, ingest, feed, rollups, *reconcilers, sink, log]
        )


@asynccontextmanager
async def _ledger(settings: ReconcileSettings, runtime: Runtime) -> AsyncIterator[GrpcLedger | None]:
    """The ledger to compare with, where its owner is named."""
    if not settings.accounts:
        yield None
        return
    async with open_channel(settings.accounts, runtime) as channel:
        yield GrpcLedger(channel)
