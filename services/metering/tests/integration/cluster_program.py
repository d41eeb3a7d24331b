"""`python cluster_program.py FOLDER [CONFIG]`: answers to questions of every kind, as JSON.

With a configuration of the engine that has a cluster `default`, the tables are those of a cluster: parts of shards, and
`Distributed` tables over them, which every statement goes through. There is one shard in it, this process, because another
one would have to be a server. Nothing replicates, for want of a server: statements lose `ON CLUSTER` and `Replicated` before
they run. In a process of its own, as an engine takes its configuration once.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from metering.adapters.clickhouse_analytics import ClickHouseAnalytics
from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_endpoint_stats import ClickHouseEndpointStats
from metering.adapters.clickhouse_export import ClickHouseUsageExport
from metering.adapters.clickhouse_insight import ClickHouseInsight
from metering.adapters.clickhouse_layout import CLUSTER_SETTINGS
from metering.adapters.clickhouse_rollups import ClickHouseRollups
from metering.adapters.clickhouse_schema import migrate, packaged_migrations
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.convert import usage_row_from_proto
from metering.domain.analytics import ActivityQuestion, Split, question_of
from metering.domain.batch import BatchPlan, Span
from metering.domain.export import ExportFormat
from metering.domain.insight import Period, RankedKind, RankingQuestion, SessionQuestion, ShareHolder, TrafficFilter
from metering.domain.rollups import UnixSeconds
from metering.domain.usage import Dimension, UnixMs, UsageQuestion
from metering.rollups import Rollups
from metering.testing.seeded_usage import SeededUsage
from servicekit.clock import SystemClock

CLUSTER: Final = "default"
_TODAY: Final = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
_START: Final = _TODAY - timedelta(days=8)
_MONTHLY: Final = 6  # migrations
_OLD: Final = f"""
INSERT INTO usage_events (org_id, started_at, event_id)
SELECT 'org-of-before', toDateTime64({int(_START.timestamp())} - number * 86400, 3, 'UTC'), generateUUIDv4() FROM numbers(40)
"""
_REPLICATED: Final = re.compile(r"Replicated(ReplacingMergeTree\()('[^']*', '[^']*', )?")


class WithoutKeeper:
    """A client whose statements neither go to other nodes nor replicate."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def command(self, text: str, settings: dict[str, Any] | None = None) -> object:
        """Run a statement."""
        alone = _REPLICATED.sub(r"\1", text).replace(f"ON CLUSTER `{CLUSTER}`", "")
        return self._client.command(alone, settings=settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


async def answers(log: ClickHouseUsageLog) -> dict[str, Any]:
    """Insert events, some of them twice, add them up, and ask."""
    events = SeededUsage(Random(41), _START, _TODAY).events(900)
    rows = [usage_row_from_proto(event) for event in events]
    for number, some in enumerate((rows[:600], rows[500:], rows[:600])):
        # The last one is the first one again, under its token.
        token = number % 2
        await log.append(BatchPlan("c", "turnpike.usage.v1", (Span(0, token, token),), UnixMs(token)), some)
    rollups = Rollups(ClickHouseRollups(log.calls), SystemClock(), timedelta(1), is_in_charge=lambda: True)
    await rollups.refresh()
    org = rows[0].org_id
    start, end = int(_START.timestamp()), int(_TODAY.timestamp())
    traffic = TrafficFilter(UnixSeconds(start), UnixSeconds(end))
    analytics, insight = ClickHouseAnalytics(log.calls), ClickHouseInsight(log.calls)

    async def count(metrics: Sequence[str], by: Sequence[str], granularity: str) -> object:
        question = question_of(
            org_id=org, start=UnixMs(start * 1_000 + 7_777_777), end=UnixMs(end * 1_000 - 5_555_555), metrics=metrics,
            dimensions=by, granularity=granularity,
        )  # fmt: skip
        return (await analytics.analytics(question)).rows

    activity = ActivityQuestion(org, UnixMs(start * 1_000), UnixMs(end * 1_000), splits=frozenset(Split))
    file = ClickHouseUsageExport(log.calls, 200).export(org, activity.start, activity.end, ExportFormat.CSV)
    apps = TrafficFilter(UnixSeconds(start), UnixSeconds(end), ("roleplay", "cli-agent"))
    return {
        "rows": await log.calls.step(lambda client: client.query("SELECT count() FROM usage_events").result_rows),
        "found": await log.find(org, rows[0].generation_id),
        "totals": [
            await log.totals(UsageQuestion(org, UnixMs(start * 1_000), UnixMs(end * 1_000), dimension))
            for dimension in Dimension
        ],
        "activity": await analytics.activity(activity),
        "sums": [await count(["tokens_total", "total_usage"], ["model", "status"], name) for name in ("", "hour", "day")],
        "speed": await count(["p90_latency", "avg_throughput"], ["provider"], "minute"),
        "export": str([piece async for piece in file]),
        "stats": await ClickHouseEndpointStats(log.calls).endpoint_stats(UnixSeconds(end)),
        "series": [await insight.model_series(each, Period.WEEK, 3, by_requests=False) for each in (traffic, apps)],
        "rankings": [
            await insight.rankings(RankingQuestion(each, kind, trending=False, by_requests=True, limit=5, offset=0))
            for each in (traffic, apps)
            for kind in RankedKind
        ],
        "shares": await insight.market_shares(traffic, ShareHolder.PROVIDER, Period.DAY),
        "sessions": await insight.session_costs(SessionQuestion(UnixSeconds(start), UnixSeconds(end), (), "", "", 50, 0)),
        "providers": await insight.provider_days(UnixSeconds(start), UnixSeconds(end), ""),
    }  # fmt: skip


async def _main(folder: str, config: str | None) -> None:
    dsn = f"chdb://{folder}"
    options: dict[str, Any] = {} if config is None else {"chdb_options": {"config-file": config}}
    client = clickhouse_connect.get_client(dsn=dsn, **options)
    cluster = None if config is None else CLUSTER
    alone: Any = WithoutKeeper(client)
    # What was there before the events had a partition a day is copied, through the tables over all shards.
    migrate(alone, packaged_migrations()[:_MONTHLY], cluster)
    alone.command(_OLD, {} if cluster is None else dict(CLUSTER_SETTINGS))
    migrate(alone, packaged_migrations(), cluster)
    kept = client.query("SELECT count() FROM usage_events FINAL WHERE org_id = 'org-of-before'").result_rows[0][0]
    log = ClickHouseUsageLog(dsn, SystemClock(), CallLimits(), cluster=cluster, may_migrate=False)
    await log.start()
    engines = client.query("SELECT name, engine FROM system.tables WHERE database = currentDatabase()").result_rows
    document = {
        "kept": kept,
        "engines": {str(name): str(kind) for name, kind in engines},
        "answers": await answers(log),
    }
    await log.stop(timedelta(seconds=1))
    client.close()
    sys.stdout.write(json.dumps(document, default=str))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
