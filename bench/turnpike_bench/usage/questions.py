"""Every question that a page asks of metering, put to its adapters as the services put it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final

from contracts import analytics
from metering.adapters.clickhouse_analytics import ClickHouseAnalytics
from metering.adapters.clickhouse_calls import ClickHouseCalls
from metering.adapters.clickhouse_endpoint_stats import ClickHouseEndpointStats
from metering.adapters.clickhouse_export import ClickHouseUsageExport
from metering.adapters.clickhouse_insight import ClickHouseInsight
from metering.adapters.clickhouse_rollups import ClickHouseRollups
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.domain.analytics import ActivityQuestion, Filter, Split, question_of
from metering.domain.errors import InvalidQuestionError
from metering.domain.export import ExportFormat
from metering.domain.insight import (
    DAY_S,
    Period,
    RankedKind,
    RankingQuestion,
    SessionQuestion,
    ShareHolder,
    TrafficFilter,
)
from metering.domain.rollups import Rollup, UnixSeconds
from metering.domain.usage import Dimension, UnixMs, UsageQuestion
from turnpike_bench.usage.events import SyntheticUsage

_DAY_MS: Final = DAY_S * 1_000
_PLAIN: Final = tuple(name for name, metric in analytics.METRICS.items() if not metric.detailed)


@dataclass(frozen=True, slots=True)
class Page:
    """Something that people look at.

    Attributes:
        name: of the page and of what varies in it.
        asks: the questions of one look each; they are timed one by one.
        limit_s: the 95th percentile that is promised.
    """

    name: str
    asks: Sequence[Callable[[], Awaitable[Any]]]
    limit_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """Organisations from the largest to small ones, and some of their keys and generations."""

    orgs: Sequence[str]
    keys: Sequence[tuple[str, str]]
    generations: Sequence[tuple[str, str]]


_ORGS: Final = """
SELECT org_id FROM
(SELECT org_id, row_number() OVER (ORDER BY count() DESC, org_id) AS place FROM usage_events GROUP BY org_id)
WHERE place IN (1, 2, 3, 5, 8, 20, 50, 150, 500, 2000, 6000, 15000) ORDER BY place
"""
_SAMPLE: Final = """
SELECT org_id, key_id, generation_id FROM usage_events
WHERE org_id IN {orgs:Array(String)} AND cityHash64(event_id) % 50 = 0
ORDER BY cityHash64(event_id, 1) LIMIT 2 BY org_id
"""


# They read everything, and are no page.
_PATIENT: Final = {"max_execution_time": 0}


async def sample(calls: ClickHouseCalls) -> Asked:
    """Choose whom to ask for: the same ones every time."""
    orgs = [row[0] for row in await calls.step(lambda client: client.query(_ORGS, settings=_PATIENT).result_rows)]
    rows = await calls.step(lambda client: client.query(_SAMPLE, {"orgs": orgs}, settings=_PATIENT).result_rows)
    return Asked(orgs, [(row[0], row[1]) for row in rows], [(row[0], row[2]) for row in rows])


def pages(usage: SyntheticUsage, asked: Asked, log: ClickHouseUsageLog) -> list[Page]:
    """List every page."""
    end_s = int(usage.end.timestamp())
    return [
        *_activity(asked, ClickHouseAnalytics(log.calls), end_s),
        *_analytics(asked, ClickHouseAnalytics(log.calls), end_s),
        *_records(asked, log, ClickHouseUsageExport(log.calls), end_s),
        *_insight(ClickHouseInsight(log.calls), ClickHouseEndpointStats(log.calls), end_s),
        *_upkeep(ClickHouseRollups(log.calls), end_s),
    ]


def _activity(asked: Asked, store: ClickHouseAnalytics, end_s: int) -> list[Page]:
    def ask(org: str, days: int, **members: Any) -> Callable[[], Awaitable[Any]]:
        return lambda: _unless_refused(
            store.activity(
                ActivityQuestion(org, UnixMs((end_s - days * DAY_S) * 1_000), UnixMs(end_s * 1_000), **members)
            )
        )

    return [
        Page("activity, 30 days", [ask(org, 30) for org in asked.orgs], 0.3),
        Page("activity, one day", [ask(org, 1) for org in asked.orgs], 0.3),
        Page("activity, 30 days of one key", [ask(org, 30, key_id=key) for org, key in asked.keys], 0.3),
        *(
            Page(
                f"activity, 30 days by {split.name.lower()}",
                [ask(o, 30, splits=frozenset({split})) for o in asked.orgs],
                0.3,
            )
            for split in Split
        ),
    ]


def _analytics(asked: Asked, store: ClickHouseAnalytics, end_s: int) -> list[Page]:
    random = Random(7)

    def ask(org: str, days: int, metrics: Sequence[str], **members: Any) -> Callable[[], Awaitable[Any]]:
        end = end_s * 1_000 - 1_234_567  # as by default: now, in the middle of an hour
        question = question_of(
            org_id=org, start=UnixMs(end - days * _DAY_MS), end=UnixMs(end), metrics=metrics, **members
        )
        return lambda: store.analytics(question)

    def filters_of(org: str) -> Sequence[Filter]:
        key = next((key for owner, key in asked.keys if owner == org), "")
        return random.choice(
            [[], [], [Filter("api_key_id", analytics.Operator.IN, (key,))], [Filter("model", analytics.Operator.NEQ, ("x",))],
             [Filter("provider", analytics.Operator.NOT_IN, ("provider-1", "provider-2"))]]
        )  # fmt: skip

    found = []
    for granularity, days in (
        ("", 7),
        ("minute", 1),
        ("hour", 7),
        ("day", 30),
        ("day", 366),
        ("week", 366),
        ("month", 366),
    ):
        asks = []
        for name, dimension in analytics.DIMENSIONS.items():
            if dimension.detailed and days > analytics.DETAILED_RANGE.days:
                continue
            for org in [*asked.orgs[:2], *random.sample(asked.orgs[2:], 2)]:
                asks.append(
                    ask(
                        org,
                        days,
                        random.sample(_PLAIN, 3),
                        dimensions=[name],
                        granularity=granularity,
                        filters=filters_of(org),
                    )
                )
        label = f"by {granularity}" if granularity else "in all"
        found.append(Page(f"analytics, {days} days {label}, each dimension", asks))
    names = [name for name, dimension in analytics.DIMENSIONS.items() if not dimension.detailed]
    pairs = [(first, second) for first in names for second in names if first < second]
    for days in (7, 30, 366):
        asks = [
            ask(asked.orgs[random.randrange(3)], days, _PLAIN, dimensions=pair) for pair in random.sample(pairs, 20)
        ]
        found.append(Page(f"analytics, {days} days, every sum, two dimensions", asks))
    speed = [name for name, metric in analytics.METRICS.items() if metric.detailed]
    found.append(
        Page(
            "analytics, 31 days, speed by model and day",
            [ask(o, 31, speed, dimensions=["model"], granularity="day") for o in asked.orgs],
        )
    )
    found.append(Page("analytics, 366 days, every sum, in all", [ask(org, 366, _PLAIN) for org in asked.orgs]))
    return found


def _records(asked: Asked, log: ClickHouseUsageLog, export: ClickHouseUsageExport, end_s: int) -> list[Page]:
    def usage(org: str, dimension: Dimension, days: int) -> Callable[[], Awaitable[Any]]:
        question = UsageQuestion(org, UnixMs((end_s - days * DAY_S) * 1_000), UnixMs(end_s * 1_000), dimension)
        return lambda: log.totals(question)

    def file(org: str, days: int, form: ExportFormat) -> Callable[[], Awaitable[Any]]:
        return lambda: anext(export.export(org, UnixMs((end_s - days * DAY_S) * 1_000), UnixMs(end_s * 1_000), form))

    return [
        Page("one generation", [partial(log.find, org, name) for org, name in asked.generations]),
        *(
            Page(f"usage, 30 days by {dimension.value}", [usage(org, dimension, 30) for org in asked.orgs])
            for dimension in Dimension
        ),
        Page(
            "statement of a month",
            [
                partial(
                    ClickHouseAnalytics(log.calls).ended_usage,
                    org,
                    UnixMs((end_s - 31 * DAY_S) * 1_000),
                    UnixMs(end_s * 1_000),
                )
                for org in asked.orgs
            ],
        ),
        Page("export, 1 day, CSV, first piece", [file(org, 1, ExportFormat.CSV) for org in asked.orgs]),
        Page("export, 7 days, Parquet, first piece", [file(org, 7, ExportFormat.PARQUET) for org in asked.orgs]),
    ]


def _insight(store: ClickHouseInsight, stats: ClickHouseEndpointStats, end_s: int) -> list[Page]:
    def traffic(days: int, **conditions: Any) -> TrafficFilter:
        return TrafficFilter(UnixSeconds(end_s - days * DAY_S), UnixSeconds(end_s), **conditions)

    def ranking(kind: RankedKind, days: int, trending: bool, *categories: str) -> Callable[[], Awaitable[Any]]:
        question = RankingQuestion(traffic(days, categories=categories), kind, trending, False, 50, 0)
        return lambda: store.rankings(question)

    conditions: list[dict[str, Any]] = [
        {}, {"categories": ("cli-agent",)}, {"with_tools": True}, {"context_bucket": 2},
        {"models": tuple(f"author-{n % 50}/model-{n}" for n in range(1, 400, 3))},
    ]  # fmt: skip
    found = []
    for days in (31, 366):
        found += [
            Page(
                f"models over time, {days} days by {period.value}",
                [
                    partial(store.model_series, traffic(days, **each), period, 50, by_requests=False)
                    for each in conditions
                ],
            )
            for period in Period
        ]
        found += [
            Page(
                f"{kind.value} rankings, {days} days",
                [
                    ranking(kind, days, trending, *some)
                    for trending in (False, True)
                    for some in ((), ("cli-agent",), ("roleplay",))
                ],
            )
            for kind in RankedKind
        ]
        found.append(
            Page(
                f"market shares, {days} days",
                [
                    partial(store.market_shares, traffic(days), holder, period)
                    for holder in ShareHolder
                    for period in Period
                ],
            )
        )

    def sessions(apps: tuple[str, ...], model: str) -> Callable[[], Awaitable[Any]]:
        question = SessionQuestion(UnixSeconds(end_s - 7 * DAY_S), UnixSeconds(end_s), apps, model, "", 100, 0)
        return lambda: store.session_costs(question)

    return [
        *found,
        Page(
            "costs of sessions, 7 days",
            [sessions((), ""), sessions(("https://app-1.example",), ""), sessions((), "author-1/model-1")],
        ),
        Page(
            "days of providers, 31 days",
            [
                partial(store.provider_days, UnixSeconds(end_s - 31 * DAY_S), UnixSeconds(end_s), name)
                for name in ("", "provider-7", "provider-39")
            ],
        ),
        Page("endpoint statistics, all", [partial(stats.endpoint_stats, UnixSeconds(end_s)) for _ in range(3)]),
        Page(
            "endpoint statistics, one",
            [partial(stats.endpoint_stats, UnixSeconds(end_s), ["author-1/model-1@provider-7"]) for _ in range(3)],
        ),
    ]


def _upkeep(rollups: ClickHouseRollups, end_s: int) -> list[Page]:
    """What metering asks by itself every ten seconds, and what it does with an event that has just come."""

    def look(rollup: Rollup) -> Callable[[], Awaitable[Any]]:
        since, until = UnixSeconds(end_s - 120), UnixSeconds(end_s)
        return lambda: rollups.touched(rollup, since, (until, until), until)

    return [
        Page("look for news", [look(rollup) for rollup in Rollup]),
        Page(
            "add a minute up anew",
            [
                partial(rollups.rebuild, Rollup.ENDPOINT_MINUTES, [UnixSeconds(end_s - at * 60)])
                for at in (1, 2, 60, 1_500, 9_000)
            ],
        ),
        Page(
            "add an hour up anew",
            [partial(rollups.rebuild, Rollup.USAGE_HOURS, [UnixSeconds(end_s - at * 3_600)]) for at in (1, 2, 60, 700)],
        ),
    ]


async def _unless_refused(question: Awaitable[Any]) -> Any:
    """Ask; too large an answer is refused, which is an answer, too."""
    try:
        return await question
    except InvalidQuestionError as refusal:
        return refusal
