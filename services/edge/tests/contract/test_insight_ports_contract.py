"""What every Analytics and every Insight does: the doubles themselves, and the real clients of servers that they answer behind."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from contracts.errors import ErrorReason
from edge.adapters.analytics_client import GrpcAnalytics, GrpcInsight
from edge.domain.errors import DependencyError, RefusedError
from edge.insight_ports import Analytics, Insight
from edge.testing.analytics import MemoryAnalytics, register_analytics
from edge.testing.insight import MemoryInsight, register_insight
from servicekit.testing import run_servicer
from turnpike.metering.v1 import analytics_service_pb2 as usage
from turnpike.metering.v1 import insight_service_pb2 as traffic

TIMEOUT = timedelta(seconds=20)
# The first of October 2026 and the days after it.
START, DAY_S = 1_790_812_800, 86_400
FROM, TO = Timestamp(seconds=START), Timestamp(seconds=START + DAY_S)
PERIOD: dict[str, Any] = {"org_id": "org-1", "start": FROM, "end": TO}
TRAFFIC = traffic.TrafficFilter(start=FROM, end=TO)


@pytest.fixture
def memory_analytics() -> MemoryAnalytics:
    return MemoryAnalytics()


@pytest.fixture
async def store(kind: str, memory_analytics: MemoryAnalytics, opened: AsyncExitStack) -> Analytics:
    if kind == "double":
        return memory_analytics
    served = run_servicer(lambda server: register_analytics(server, memory_analytics))
    return GrpcAnalytics(await opened.enter_async_context(served), TIMEOUT)


@pytest.fixture
def memory_insight() -> MemoryInsight:
    return MemoryInsight()


@pytest.fixture
async def insight(kind: str, memory_insight: MemoryInsight, opened: AsyncExitStack) -> Insight:
    if kind == "double":
        return memory_insight
    served = run_servicer(lambda server: register_insight(server, memory_insight))
    return GrpcInsight(await opened.enter_async_context(served), TIMEOUT)


async def test_activity_is_split_by_what_is_asked_for(store: Analytics) -> None:
    (row,) = (await store.activity(usage.QueryActivityRequest(**PERIOD))).rows
    assert (row.date, row.requests, row.key_id, row.app) == ("2026-10-01", 3, "", "")
    split = [usage.ACTIVITY_SPLIT_KEY, usage.ACTIVITY_SPLIT_APP]
    (row,) = (await store.activity(usage.QueryActivityRequest(**PERIOD, splits=split))).rows
    assert (row.key_id, row.app, row.member_id, row.workspace_id) == ("key-1", "https://app.example", "", "")


async def test_what_ended_in_a_period_comes_as_it_is(store: Analytics, memory_analytics: MemoryAnalytics) -> None:
    memory_analytics.ended = [usage.EndedUsage(model="acme/one", generations=2, cost_nano_usd=2**60)]
    answer = await store.ended_usage(usage.QueryEndedUsageRequest(**PERIOD))
    assert list(answer.rows) == memory_analytics.ended
    late = Timestamp(seconds=START + 33 * DAY_S)
    with pytest.raises(RefusedError) as refusal:
        await store.ended_usage(usage.QueryEndedUsageRequest(org_id="org-1", start=FROM, end=late))
    assert refusal.value.metadata["param"] == "end"
    memory_analytics.too_heavy = True
    with pytest.raises(RefusedError) as refusal:
        await store.ended_usage(usage.QueryEndedUsageRequest(**PERIOD))
    assert refusal.value.reason is ErrorReason.TIMEOUT


async def test_metrics_come_with_their_columns(store: Analytics) -> None:
    request = usage.QueryAnalyticsRequest(
        **PERIOD, metrics=["request_count", "total_usage"], dimensions=["app"], granularity="day", order_by="date"
    )
    answer = await store.analytics(request)
    assert list(answer.columns) == ["date", "app", "app_id", "request_count", "total_usage"]
    (row,) = answer.rows
    kinds = [value.WhichOneof("kind") for value in row.values]
    assert kinds == ["unix_seconds", "text", "count", "count", "nano_usd"]
    assert row.values[0].unix_seconds == START


@pytest.mark.parametrize(
    ("field", "members"),
    [
        ("metrics", {"metrics": ["nothing"]}),
        ("metrics", {"metrics": ["request_count", "request_count"]}),
        ("dimensions", {"metrics": ["request_count"], "dimensions": ["nothing"]}),
        ("order_by", {"metrics": ["request_count"], "order_by": "date"}),
        ("filters", {"metrics": ["request_count"], "filters": [usage.AnalyticsFilter(field="model", operator="like")]}),
    ],
)
async def test_a_name_that_is_unknown_is_refused_with_its_member(
    store: Analytics, field: str, members: dict[str, Any]
) -> None:
    with pytest.raises(RefusedError) as refused:
        await store.analytics(usage.QueryAnalyticsRequest(**PERIOD, **members))
    assert refused.value.metadata["param"] == field


async def test_a_file_comes_whole_and_in_its_order(store: Analytics, memory_analytics: MemoryAnalytics) -> None:
    memory_analytics.chunks = [b"one", b"two", b"three"]
    request = usage.ExportUsageRequest(**PERIOD, format=usage.EXPORT_FORMAT_CSV)
    assert b"".join([chunk async for chunk in store.export(request)]) == b"onetwothree"


async def test_a_file_of_too_many_days_is_refused_with_its_member(store: Analytics) -> None:
    end = Timestamp(seconds=START + 32 * DAY_S)
    request = usage.ExportUsageRequest(**PERIOD | {"end": end}, format=usage.EXPORT_FORMAT_CSV)
    with pytest.raises(RefusedError) as refused:
        await anext(store.export(request))
    assert refused.value.metadata["param"] == "end"


async def test_an_outage_is_not_an_absence_of_usage(store: Analytics, memory_analytics: MemoryAnalytics) -> None:
    memory_analytics.down = True
    with pytest.raises(DependencyError):
        await store.activity(usage.QueryActivityRequest(**PERIOD))
    with pytest.raises(DependencyError):
        await store.analytics(usage.QueryAnalyticsRequest(**PERIOD, metrics=["request_count"]))
    with pytest.raises(DependencyError):
        await anext(store.export(usage.ExportUsageRequest(**PERIOD)))


async def test_endpoints_are_those_that_are_asked_for(insight: Insight, memory_insight: MemoryInsight) -> None:
    every = await insight.endpoint_stats(traffic.GetEndpointStatsRequest())
    assert list(every.stats) == memory_insight.stats
    asked = traffic.GetEndpointStatsRequest(endpoint_ids=["acme/two@acme"])
    assert not (await insight.endpoint_stats(asked)).stats


async def test_figures_begin_on_the_first_day_that_is_asked_about(insight: Insight) -> None:
    series = await insight.model_series(traffic.GetModelSeriesRequest(filter=TRAFFIC, top=1))
    shares = await insight.market_shares(traffic.GetMarketSharesRequest(filter=TRAFFIC))
    days = await insight.provider_days(traffic.GetProviderDaysRequest(start=FROM, end=TO))
    dates = [row.date for row in series.rows] + [row.date for row in shares.rows] + [row.date for row in days.rows]
    assert set(dates) == {"2026-10-01"}
    assert [row.model for row in series.rows] == ["acme/one", "other"]
    other = traffic.GetProviderDaysRequest(start=FROM, end=TO, provider="other")
    assert not (await insight.provider_days(other)).rows


async def test_rankings_and_costs_end_where_their_rows_do(insight: Insight) -> None:
    first = traffic.GetRankingsRequest(filter=TRAFFIC, kind=traffic.RANKED_KIND_APP, limit=1)
    (app,) = (await insight.rankings(first)).rows
    assert (app.rank, app.title, app.tokens) == (1, "App", 2**60)
    further = traffic.GetRankingsRequest(filter=TRAFFIC, kind=traffic.RANKED_KIND_APP, limit=1, offset=1)
    assert not (await insight.rankings(further)).rows
    (cost,) = (await insight.session_costs(traffic.GetSessionCostsRequest(turn_range="2-9-turns", limit=1))).rows
    assert (cost.turn_range, cost.median_nano_usd) == ("2-9-turns", 1_500.5)
    assert not (await insight.session_costs(traffic.GetSessionCostsRequest(limit=1, offset=1))).rows


async def test_an_outage_is_not_an_absence_of_traffic(insight: Insight, memory_insight: MemoryInsight) -> None:
    memory_insight.down = True
    for asked in (
        insight.endpoint_stats(traffic.GetEndpointStatsRequest()),
        insight.model_series(traffic.GetModelSeriesRequest()),
        insight.rankings(traffic.GetRankingsRequest()),
        insight.market_shares(traffic.GetMarketSharesRequest()),
        insight.session_costs(traffic.GetSessionCostsRequest()),
        insight.provider_days(traffic.GetProviderDaysRequest()),
    ):
        with pytest.raises(DependencyError):
            await asked
