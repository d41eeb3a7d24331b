"""Every page reads the days it asks for, of the smallest table of sums that knows the answer, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from contracts.analytics import Operator
from metering.adapters.clickhouse_analytics import ClickHouseAnalytics
from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_endpoint_stats import ClickHouseEndpointStats
from metering.adapters.clickhouse_export import ClickHouseUsageExport
from metering.adapters.clickhouse_insight import ClickHouseInsight
from metering.adapters.clickhouse_reconciliation import ClickHouseReconciliation
from metering.adapters.clickhouse_rollups import ClickHouseRollups
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.convert import usage_row_from_proto
from metering.domain.analytics import ActivityQuestion, Filter, Split, question_of
from metering.domain.batch import BatchPlan, Span
from metering.domain.export import ExportFormat
from metering.domain.insight import Period, RankedKind, RankingQuestion, SessionQuestion, ShareHolder, TrafficFilter
from metering.domain.rollups import UnixSeconds
from metering.domain.usage import Dimension, UnixMs, UsageQuestion
from metering.rollups import Rollups
from metering.testing.plans import Recorder, reads
from metering.testing.seeded_usage import SeededUsage
from servicekit.clock import SystemClock

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
# Whole weeks, so that it is known how many of the parts by week are read.
MONDAY = TODAY - timedelta(days=TODAY.weekday() + 14)
# On a few days only, some of them in other weeks than the one that is asked for.
EVENTS = [
    event
    for number in (-8, -1, 0, 1, 2, 8)
    for event in SeededUsage(Random(number), MONDAY + number * DAY, MONDAY + number * DAY + timedelta(hours=4)).events(
        80
    )
]
ORG, GENERATION = EVENTS[0].org_id, EVENTS[0].generation_id
TABLES = (
    "usage_events", "usage_hours", "usage_days", "key_days", "kind_days", "user_days", "session_days", "provider_days", "model_days",
    "category_days", "app_days", "endpoint_minutes", "rollup_progress",
)  # fmt: skip


def opened(engine: Any, name: str) -> ClickHouseUsageLog:
    return ClickHouseUsageLog(engine.dsn(name), SystemClock(), CallLimits(), cluster=None, may_migrate=True)


@pytest.fixture(scope="module")
def filled(engine: Any) -> Iterator[str]:
    """A database with all events and sums, a part for each partition."""
    name = f"plans_{uuid4().hex}"
    engine.client.command(f"CREATE DATABASE {name}")

    async def fill() -> None:
        log = opened(engine, name)
        await log.start()
        plan = BatchPlan("c", "turnpike.usage.v1", (Span(0, 0, len(EVENTS) - 1),), UnixMs(1))
        await log.append(plan, [usage_row_from_proto(event) for event in EVENTS])
        await Rollups(ClickHouseRollups(log.calls), SystemClock(), DAY, is_in_charge=lambda: True).refresh()
        await log.stop(timedelta(seconds=1))

    asyncio.run(fill())
    for table in TABLES:
        engine.client.command(f"OPTIMIZE TABLE {name}.{table} FINAL")
    yield name
    engine.client.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture
async def log(engine: Any, filled: str) -> AsyncIterator[ClickHouseUsageLog]:
    log = opened(engine, filled)
    await log.start()
    yield log
    await log.stop(timedelta(seconds=1))


def ms(moment: datetime) -> UnixMs:
    return UnixMs(int(moment.timestamp() * 1_000))


def s(moment: datetime) -> UnixSeconds:
    return UnixSeconds(int(moment.timestamp()))


Page = Callable[[ClickHouseUsageLog], Awaitable[Any]]


def activity(start: datetime, end: datetime, **members: Any) -> Page:
    question = ActivityQuestion(ORG, ms(start), ms(end), **members)
    return lambda log: ClickHouseAnalytics(log.calls).activity(question)


def analytics(
    *dimensions: str, metrics: Sequence[str] = ("request_count", "tool_call_error_rate"), start: datetime = MONDAY,
    end: datetime = MONDAY + 7 * DAY, granularity: str = "", filters: Sequence[Filter] = (),
) -> Page:  # fmt: skip
    question = question_of(
        org_id=ORG, start=ms(start), end=ms(end), metrics=metrics, dimensions=dimensions, granularity=granularity, filters=filters
    )  # fmt: skip
    return lambda log: ClickHouseAnalytics(log.calls).analytics(question)


def insight(name: str, *arguments: Any, **members: Any) -> Page:
    return lambda log: getattr(ClickHouseInsight(log.calls), name)(*arguments, **members)


def week(**conditions: Any) -> TrafficFilter:
    return TrafficFilter(s(MONDAY), s(MONDAY + 7 * DAY), **conditions)


async def export_of_a_day(log: ClickHouseUsageLog) -> bytes:
    export = ClickHouseUsageExport(log.calls)
    return b"".join([piece async for piece in export.export(ORG, ms(MONDAY), ms(MONDAY + DAY), ExportFormat.CSV)])


def usage(dimension: Dimension) -> Page:
    return lambda log: log.totals(UsageQuestion(ORG, ms(MONDAY), ms(MONDAY + 2 * DAY), dimension))


def months(start: datetime, end: datetime) -> int:
    return (end.year - start.year) * 12 + end.month - start.month + 1


WEEK_MONTHS = months(MONDAY, MONDAY + 6 * DAY)
BY_KEY = Filter("api_key_id", Operator.EQ, (EVENTS[0].key_id,))
# By page: its question, and how many parts it reads of which tables.
PAGES: dict[str, tuple[Page, dict[str, int]]] = {
    "activity of a week": (activity(MONDAY, MONDAY + 7 * DAY), {"key_days": 1}),
    "activity of a day": (activity(MONDAY + DAY, MONDAY + 2 * DAY), {"key_days": 1}),
    **{
        f"activity of two weeks by {split.name}": (
            activity(MONDAY - 7 * DAY, MONDAY + 7 * DAY, splits=frozenset({split})),
            {"key_days": 2},
        )
        for split in Split
    },
    "activity of a key": (activity(MONDAY, MONDAY + 7 * DAY, key_id=EVENTS[0].key_id), {"key_days": 1}),
    **{
        f"a week by {name}": (analytics(name), {"kind_days": 1})
        for name in (
            "model",
            "variant",
            "provider",
            "finish_reason",
            "status",
            "service_tier",
            "context_length_bucket",
            "country",
        )
    },
    **{
        f"a week by {name}": (analytics(name, "model"), {"key_days": 1})
        for name in ("api_key_id", "user", "workspace", "app", "origin")
    },
    "a week by external user": (analytics("external_user", "api_key_id"), {"user_days": 1}),
    "a week by key and variant": (analytics("api_key_id", "variant"), {"usage_days": 1}),
    "a week by finish reason of a key": (analytics("finish_reason", filters=[BY_KEY]), {"usage_days": 1}),
    "a week by days of a key": (analytics(granularity="day", filters=[BY_KEY]), {"key_days": 1}),
    "a day by hours": (
        analytics("model", start=MONDAY + DAY, end=MONDAY + 2 * DAY, granularity="hour"),
        {"usage_hours": 1},
    ),
    "a day by minutes": (
        analytics("model", start=MONDAY + DAY, end=MONDAY + 2 * DAY, granularity="minute"),
        {"usage_events": 1},
    ),
    "a day and a half in all": (
        analytics(start=MONDAY + DAY, end=MONDAY + 2.5 * DAY),
        {"kind_days": 1, "usage_events": 1},
    ),
    "speed of a day": (
        analytics("model", metrics=["p90_latency"], start=MONDAY + DAY, end=MONDAY + 2 * DAY),
        {"usage_events": 1},
    ),
    "statement of a day": (
        lambda log: ClickHouseAnalytics(log.calls).ended_usage(ORG, ms(MONDAY + DAY), ms(MONDAY + 2 * DAY)),
        # What ended in it began in it or in the week before, of which there are two days.
        {"usage_events": 3},
    ),
    **{f"usage of two days by {each.value}": (usage(each), {"usage_events": 2}) for each in Dimension},
    "export of a day": (
        export_of_a_day,
        {"usage_events": 1},
    ),
    "reconciliation of a day": (
        lambda log: ClickHouseReconciliation(log.calls).sums(ms(MONDAY + DAY), ms(MONDAY + 2 * DAY)),
        {"usage_events": 2},
    ),
    "models over time": (
        insight("model_series", week(), Period.DAY, 5, by_requests=False),
        {"model_days": WEEK_MONTHS},
    ),
    "models over time of a category": (
        insight("model_series", week(categories=("roleplay",)), Period.WEEK, 5, by_requests=True),
        {"category_days": WEEK_MONTHS},
    ),
    "ranking of models": (
        insight("rankings", RankingQuestion(week(), RankedKind.MODEL, False, False, 10, 0)),
        {"model_days": WEEK_MONTHS},
    ),
    "ranking of models of a category": (
        insight("rankings", RankingQuestion(week(categories=("cli-agent",)), RankedKind.MODEL, False, False, 10, 0)),
        {"category_days": WEEK_MONTHS},
    ),
    "ranking of applications": (
        insight("rankings", RankingQuestion(week(), RankedKind.APP, False, False, 10, 0)),
        {"app_days": WEEK_MONTHS},
    ),
    **{
        f"market shares of {holder.value}s": (
            insight("market_shares", week(), holder, Period.WEEK),
            {"model_days": WEEK_MONTHS},
        )
        for holder in ShareHolder
    },
    "costs of sessions": (
        insight("session_costs", SessionQuestion(s(MONDAY), s(MONDAY + 3 * DAY), (), "", "", 10, 0)),
        # Sessions, and the names of applications and of models.
        {"session_days": 3 * 3, "app_days": months(MONDAY, MONDAY + 2 * DAY)},
    ),
    "days of providers": (
        insight("provider_days", s(MONDAY), s(MONDAY + 7 * DAY), ""),
        {"provider_days": WEEK_MONTHS},
    ),
    "what endpoints did on a day": (
        lambda log: ClickHouseEndpointStats(log.calls).endpoint_stats(s(MONDAY + 2 * DAY + timedelta(hours=2))),
        # Half of it was on the day before.
        {"endpoint_minutes": 2},
    ),
}
OF_ONE = {"usage_events", "usage_hours", "usage_days", "key_days", "kind_days", "user_days"}
# Sums over everybody.
OF_ALL = {"reconciliation of a day"}


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_reads_its_days_of_the_smallest_table_that_knows_them(log: ClickHouseUsageLog, name: str) -> None:
    ask, wanted = PAGES[name]
    recorder = Recorder()
    await log.calls.step(recorder.watch)
    await ask(log)
    await log.calls.step(recorder.unwatch)
    most: dict[str, int] = {}
    for asked in recorder.statements:
        for table, read in (await log.calls.step(partial(reads, asked=asked))).items():
            if table == "rollup_progress":
                continue
            assert read.parts < read.of_parts or wanted.get(table) == read.of_parts, f"{table} is read whole"
            assert table not in OF_ONE or name in OF_ALL or "org_id" in read.keys
            most[table] = max(most.get(table, 0), read.parts)
    assert most == wanted


async def test_one_generation_is_found_in_the_parts_around_its_day(log: ClickHouseUsageLog) -> None:
    recorder = Recorder()
    await log.calls.step(recorder.watch)
    assert await log.find(ORG, GENERATION) is not None
    await log.calls.step(recorder.unwatch)
    (asked,) = recorder.statements
    read = (await log.calls.step(partial(reads, asked=asked)))["usage_events"]
    # The bloom filter leaves the one that has it, bar a false positive in a thousand.
    assert 1 <= read.parts <= 3 < read.of_parts
    assert {"org_id", "event_id"} <= read.keys
