"""Rollups and endpoint statistics on a real engine, against recounts in Python."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import grpc
import pytest

from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_endpoint_stats import ClickHouseEndpointStats
from metering.adapters.clickhouse_insight import ClickHouseInsight
from metering.adapters.clickhouse_rollups import ClickHouseRollups
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.api.insight_service import InsightServicer
from metering.convert import usage_row_from_proto
from metering.domain.batch import BatchPlan, Span
from metering.domain.endpoint_stats import WINDOW_MINUTES, EndpointStats, Percentiles
from metering.domain.rollups import UnixSeconds
from metering.domain.usage import UnixMs
from metering.endpoint_stats_feed import EndpointStatsFeed
from metering.rollups import Rollups
from metering.stats_convert import stats_to_proto
from metering.testing.metric_recounts import is_percentile
from metering.testing.rollup_recounts import (
    ALL_PUBLIC,
    KEYS,
    all_usage,
    counted,
    counts_against,
    prices_recount,
    providers_recount,
    public_recount,
    recount,
    sessions_recount,
)
from metering.testing.seeded_usage import SeededUsage
from servicekit.clock import SystemClock
from servicekit.testing import ManualClock, run_servicer
from turnpike.metering.v1 import insight_service_pb2 as messages
from turnpike.metering.v1.insight_service_pb2_grpc import InsightServiceStub, add_InsightServiceServicer_to_server
from turnpike.usage.v1 import usage_event_pb2 as usage_pb
from turnpike.usage.v1.token_usage_pb2 import TOKEN_COUNT_SOURCE_PROVIDER

# The store dates rows by the machine's clock, so this is about now.
NOW = datetime.now(UTC).replace(microsecond=0)


class Store:
    """A usage log with its rollups."""

    def __init__(self, log: ClickHouseUsageLog) -> None:
        self.log = log
        self.rollups = Rollups(ClickHouseRollups(log.calls), SystemClock(), timedelta(1), is_in_charge=lambda: True)
        self.stats = ClickHouseEndpointStats(log.calls)
        self._inserted = 0

    async def insert(self, events: Sequence[usage_pb.UsageEvent]) -> None:
        first = self._inserted
        self._inserted += len(events)
        plan = BatchPlan("c", "turnpike.usage.v1", (Span(0, first, self._inserted - 1),), UnixMs(first))
        await self.log.append(plan, [usage_row_from_proto(event) for event in events])

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.log.calls.step(lambda client: client.query(query).result_rows)]


@pytest.fixture
def database(emptied: str) -> str:
    return emptied


@pytest.fixture
async def store(engine: Any, database: str) -> AsyncIterator[Store]:
    log = ClickHouseUsageLog(engine.dsn(database), SystemClock(), CallLimits(), cluster=None, may_migrate=True)
    await log.start()
    yield Store(log)
    await log.stop(timedelta(seconds=1))


def lately(seed: int, count: int, days: float) -> list[usage_pb.UsageEvent]:
    return SeededUsage(Random(seed), NOW - timedelta(days=days), NOW).events(count)


async def check_usage(store: Store, events: Sequence[usage_pb.UsageEvent]) -> None:
    for table in KEYS:
        rows = await store.rows(all_usage(table))
        assert counted(rows) == recount(events, 3_600 if table == "usage_hours" else 86_400, table), table
    rows = await store.rows(
        "SELECT toUnixTimestamp(bucket), app, app_id, model, sum(requests), sum(cost_nano_usd), count() FROM session_days FINAL"
        " WHERE requests > 0 GROUP BY ALL"
    )
    assert counted(rows) == sessions_recount(events)
    rows = await store.rows(
        "SELECT toUnixTimestamp(bucket), provider, successes, errors, rate_limited, busy_minutes, good_minutes"
        " FROM provider_days FINAL WHERE successes + errors + rate_limited > 0"
    )
    assert counted(rows) == providers_recount(events)
    for table, query in ALL_PUBLIC.items():
        rows = await store.rows(query + " FINAL WHERE requests > 0")
        assert counted(rows) == public_recount(events, table), table


async def test_b07_hours_and_days_equal_a_recount_whatever_comes_late_twice_or_corrected(store: Store) -> None:
    events = lately(1, 600, days=3)
    await store.insert(events[:400])
    await store.rollups.refresh()
    await check_usage(store, events[:400])

    await store.insert(events[300:])  # late, and a hundred of them again
    await store.rollups.refresh()
    await store.rollups.refresh()
    await check_usage(store, events)


async def test_event_that_a_higher_rank_corrects_leaves_nothing_behind(store: Store) -> None:
    events = lately(2, 200, days=2)
    estimates = []
    for event in events:
        estimate = usage_pb.UsageEvent()
        estimate.CopyFrom(event)
        estimate.rank = usage_pb.USAGE_RANK_EDGE_ESTIMATE
        estimate.model, estimate.provider, estimate.endpoint_id = "wrong/model", "wrong", "wrong/model@wrong"
        del estimate.attempts[:]
        estimate.attempts.add(
            endpoint_id="wrong/model@wrong", provider="wrong", outcome=usage_pb.ATTEMPT_OUTCOME_SUCCESS, status_code=200
        )
        estimates.append(estimate)
    await store.insert(estimates)
    await store.rollups.refresh()
    await check_usage(store, estimates)
    assert {each.endpoint_id for each in await store.stats.endpoint_stats(now())} <= {"wrong/model@wrong"}

    await store.insert(events)
    await store.rollups.refresh()
    await check_usage(store, events)
    assert "wrong/model@wrong" not in {each.endpoint_id for each in await store.stats.endpoint_stats(now())}


def now() -> UnixSeconds:
    return UnixSeconds(int(NOW.timestamp()))


def within(events: Sequence[usage_pb.UsageEvent], minutes: int) -> list[usage_pb.UsageEvent]:
    first = int(NOW.timestamp()) // 60 * 60 - minutes * 60
    return [event for event in events if event.started_at.seconds >= first]


def nearly(got: Percentiles | None, values: list[float], wanted: Sequence[float]) -> bool:
    if got is None or not values:
        return got is None and not values
    return all(is_percentile(value, values, level) for value, level in zip(got, wanted, strict=True))


def check_window(stats: EndpointStats, index: int, events: Sequence[usage_pb.UsageEvent]) -> None:
    window, endpoint = stats.windows[index], stats.endpoint_id
    calls = [each for event in events for each in event.attempts if each.endpoint_id == endpoint]
    successes = sum(each.outcome == usage_pb.ATTEMPT_OUTCOME_SUCCESS for each in calls)
    errors = sum(counts_against(each) for each in calls)
    assert (window.successes, window.errors) == (successes, errors)
    assert window.rate_limited == sum(each.outcome == usage_pb.ATTEMPT_OUTCOME_RATE_LIMITED for each in calls)
    assert window.uptime == (successes / (successes + errors) if successes + errors else None)

    answers = [
        event
        for event in events
        if event.endpoint_id == endpoint and event.status == usage_pb.GENERATION_STATUS_COMPLETED
    ]
    with_tools = [event for event in answers if event.finish_reason == "tool_calls"]
    assert window.tool_answers == len(with_tools)
    bad = sum(event.bad_tool_calls > 0 for event in with_tools)
    assert window.tool_call_error_rate == (bad / len(with_tools) if with_tools else None)
    counted = [event.usage for event in answers if event.usage.source == TOKEN_COUNT_SOURCE_PROVIDER]
    prompt = sum(usage.prompt_tokens for usage in counted)
    assert window.cache_hit_rate == (sum(usage.cached_tokens for usage in counted) / prompt if prompt else None)

    assert (window.prompt_price, window.completion_price) == prices_recount(answers)
    first = [float(event.first_token_ms) for event in answers if event.streamed]
    assert nearly(window.first_token_ms, first, (0.5, 0.75, 0.9, 0.99))
    speeds = [
        event.usage.completion_tokens * 1_000 / event.generation_ms
        for event in answers
        if event.usage.completion_tokens and event.generation_ms
    ]
    assert nearly(window.tokens_per_second, speeds, (0.5, 0.25, 0.1, 0.01))


async def test_endpoint_statistics_equal_a_recount_in_every_window(store: Store) -> None:
    events = lately(3, 900, days=1.5) + lately(4, 300, days=0.02) + lately(5, 60, days=0.003)
    await store.insert(events)
    await store.insert(events[100:200])
    await store.rollups.refresh()

    found = await store.stats.endpoint_stats(now())
    lasts = [within(events, minutes) for minutes in WINDOW_MINUTES]
    counted: Callable[[usage_pb.Attempt], bool] = lambda each: (  # noqa: E731 - one condition with a name
        counts_against(each)
        or each.outcome in (usage_pb.ATTEMPT_OUTCOME_SUCCESS, usage_pb.ATTEMPT_OUTCOME_RATE_LIMITED)
    )
    called = {each.endpoint_id for event in lasts[-1] for each in event.attempts if counted(each)}
    assert [stats.endpoint_id for stats in found] == sorted(called)
    for stats in found:
        for index, last in enumerate(lasts):
            check_window(stats, index, last)
    some = sorted(called)[:2]
    assert [stats for stats in found if stats.endpoint_id in some] == list(
        await store.stats.endpoint_stats(now(), some)
    )


async def test_percentiles_of_speed_are_what_so_many_percent_reached(store: Store) -> None:
    await store.insert(lately(6, 500, days=0.5))
    await store.rollups.refresh()
    for stats in await store.stats.endpoint_stats(now()):
        speed, wait = stats.windows[2].tokens_per_second, stats.windows[2].first_token_ms
        assert speed is not None
        assert wait is not None
        assert all(high >= low for high, low in pairwise(speed))
        assert all(low <= high for low, high in pairwise(wait))


class MemoryTopic:
    """Keeps the last record of each endpoint, None for a tombstone."""

    def __init__(self) -> None:
        self.records: dict[str, EndpointStats | None] = {}

    async def publish(self, stats: EndpointStats) -> None:
        self.records[stats.endpoint_id] = stats

    async def retract(self, endpoint_id: str, measured_at: int) -> None:
        assert measured_at > 0
        self.records[endpoint_id] = None


async def test_feed_publishes_every_endpoint_and_retracts_those_that_nobody_calls_any_more(store: Store) -> None:
    await store.insert(lately(7, 200, days=0.9))
    await store.rollups.refresh()
    topic, clock = MemoryTopic(), ManualClock(NOW)
    feed = EndpointStatsFeed(store.stats, topic, clock, timedelta(seconds=15), is_in_charge=lambda: True)
    assert await feed.publish() == len(topic.records) > 0
    assert list(topic.records.values()) == list(await store.stats.endpoint_stats(now()))

    await clock.advance(timedelta(days=2))
    assert await feed.publish() == 0
    assert set(topic.records.values()) == {None}


async def test_statistics_are_served_over_grpc_as_they_are_published(store: Store) -> None:
    await store.insert(lately(8, 200, days=0.9))
    await store.rollups.refresh()
    servicer = InsightServicer(store.stats, ClickHouseInsight(store.log.calls), ManualClock(NOW))

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_InsightServiceServicer_to_server(servicer, server)
        return []

    found = await store.stats.endpoint_stats(now())
    async with run_servicer(register) as channel:
        stub = InsightServiceStub(channel)
        everything = await stub.GetEndpointStats(messages.GetEndpointStatsRequest())
        assert list(everything.stats) == [stats_to_proto(stats) for stats in found]
        one = messages.GetEndpointStatsRequest(endpoint_ids=[found[0].endpoint_id, "nobody/knows@it"])
        assert list((await stub.GetEndpointStats(one)).stats) == [stats_to_proto(found[0])]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetEndpointStats(messages.GetEndpointStatsRequest(endpoint_ids=["x"] * 1_001))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
