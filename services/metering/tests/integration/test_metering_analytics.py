"""Analytics over gRPC, on a real engine, against recounts in Python."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts import analytics
from contracts.apps import app_of
from metering.adapters.clickhouse_calls import CallLimits, ClickHouseCalls
from metering.domain.errors import QuestionTooHeavyError
from metering.testing.metric_recounts import COUNTS, DIMENSIONS, SPREADS, bucket_of, check_metrics
from metering.testing.usage_questions import END, EVENTS, START, TODAY, Asked, ours, refused
from servicekit.clock import SystemClock
from turnpike.metering.v1 import analytics_service_pb2 as messages
from turnpike.usage.v1 import usage_event_pb2 as usage_pb


def test_recount_knows_every_metric_and_dimension() -> None:
    assert set(COUNTS) | set(SPREADS) == set(analytics.METRICS)
    assert set(DIMENSIONS) == set(analytics.DIMENSIONS)


async def test_b10_every_metric_by_every_dimension_is_what_a_recount_gives(asked: Asked) -> None:
    await asked.insert(EVENTS[:2_000])
    await asked.insert(EVENTS[1_500:], batch=1)
    for dimension, value in DIMENSIONS.items():
        rows, truncated = await asked.query(metrics=list(analytics.METRICS), dimensions=[dimension])
        groups: dict[str, list[usage_pb.UsageEvent]] = defaultdict(list)
        for event in ours():
            groups[value(event)].append(event)
        assert not truncated
        assert {row[dimension] for row in rows} == set(groups)
        assert [row["request_count"] for row in rows] == sorted(map(len, groups.values()), reverse=True)
        for row in rows:
            check_metrics(row, groups[row[dimension]])
            if dimension == "app":
                some = groups[row["app"]][0]
                assert row["app_id"] == app_of(some.http_referer, some.app_title).app_id


def begin(granularity: str, moment: datetime) -> datetime:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "minute": moment.replace(second=0, microsecond=0),
        "hour": moment.replace(minute=0, second=0, microsecond=0),
        "day": day,
        "week": day - timedelta(days=day.weekday()),
        "month": day.replace(day=1),
    }[granularity]


async def test_series_over_time_are_what_a_recount_gives(asked: Asked) -> None:
    await asked.insert(EVENTS)
    for granularity in analytics.Granularity:
        rows, truncated = await asked.query(
            metrics=["credits_usage", "request_count"], dimensions=["model", "provider"], granularity=granularity
        )
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
        for event in ours():
            start = int(begin(granularity, event.started_at.ToDatetime(UTC)).timestamp())
            key = start, DIMENSIONS["model"](event), event.provider
            groups[key][0] += event.cost_nano_usd
            groups[key][1] += 1
        wanted = [(*key, *counts) for key, counts in groups.items()]
        wanted.sort(key=lambda row: (row[0], -row[3], row[1], row[2]))
        assert not truncated
        assert [tuple(row.values()) for row in rows] == wanted, granularity


async def test_b10_sums_out_of_hours_and_days_are_those_of_the_events(asked: Asked) -> None:
    await asked.insert(EVENTS[:2_000])
    await asked.rollups.refresh()
    await asked.insert(EVENTS[1_900:], batch=1)  # late, and some again
    await asked.rollups.refresh()
    # In the middle of an hour, so that there is something around the whole buckets.
    start, end = START + timedelta(hours=5, minutes=13), END - timedelta(hours=1, minutes=7)
    questions: list[tuple[str, str | None]] = [(dimension, None) for dimension in DIMENSIONS]
    questions += itertools.product(("model", "finish_reason", "external_user"), ("hour", "day", "month"))
    for dimension, granularity in questions:
        value = DIMENSIONS[dimension]
        rows, truncated = await asked.query(
            metrics=list(COUNTS),
            dimensions=[dimension],
            granularity=granularity or "",
            start=start,
            end=end,
            limit=10_000,
        )
        groups: dict[tuple[Any, ...], list[usage_pb.UsageEvent]] = defaultdict(list)
        for event in ours(start=start, end=end):
            moment = event.started_at.ToDatetime(UTC)
            bucket = [] if granularity is None else [int(begin(granularity, moment).timestamp())]
            groups[*bucket, value(event)].append(event)
        assert not truncated
        shown = [dimension] if granularity is None else ["date", dimension]
        assert {tuple(row[name] for name in shown) for row in rows} == set(groups)
        for row in rows:
            for name, count in COUNTS.items():
                assert row[name] == count(groups[tuple(row[column] for column in shown)]), (
                    dimension,
                    granularity,
                    name,
                )


@pytest.mark.parametrize(("granularity", "table"), [("hour", "usage_hours"), ("day", "key_days"), ("", "key_days")])
async def test_whole_hours_and_days_are_read_from_their_rollup(asked: Asked, granularity: str, table: str) -> None:
    await asked.insert(EVENTS)
    await asked.rollups.refresh()
    question: dict[str, Any] = {
        "metrics": list(COUNTS), "dimensions": ["model", "api_key_id"], "granularity": granularity, "end": TODAY, "limit": 10_000,
        "filters": [messages.AnalyticsFilter(field="status", operator="neq", values=["cancelled"])],
    }  # fmt: skip
    answer = await asked.query(**question)
    assert len(answer[0]) > 5
    for other in {"usage_events", "usage_hours", "usage_days", "kind_days", "key_days", "user_days"} - {table}:
        await asked.empty(other)
    assert await asked.query(**question) == answer


FILTERS: list[tuple[str, str, Sequence[str], bool, Callable[[usage_pb.UsageEvent], bool]]] = [
    ("model", "eq", ["acme/large"], False, lambda each: DIMENSIONS["model"](each) == "acme/large"),
    ("model", "neq", ["acme/large"], False, lambda each: DIMENSIONS["model"](each) != "acme/large"),
    ("provider", "in", ["north", "west"], False, lambda each: each.provider in ("north", "west")),
    ("provider", "in", ["north"], True, lambda each: each.provider in ("north", "")),
    ("provider", "not_in", ["north"], False, lambda each: each.provider not in ("north", "")),
    ("provider", "not_in", ["north"], True, lambda each: each.provider != "north"),
    ("variant", "eq", ["nitro"], False, lambda each: each.requested_model.endswith(":nitro")),
    ("user", "in", ["org-a-member-0"], False, lambda each: each.member_id == "org-a-member-0"),
    ("external_user", "eq", ["' OR 1 = 1 --"], False, lambda each: False),
    ("external_user", "eq", ["user-1"], False, lambda each: each.external_user == "user-1"),
    (
        "app",
        "eq",
        [str(app_of("https://chat.example", "").app_id)],
        False,
        lambda each: app_of(each.http_referer, each.app_title).name == "https://chat.example",
    ),
    ("app", "in", ["1"], True, lambda each: not app_of(each.http_referer, each.app_title).app_id),
    ("context_length_bucket", "gt", ["1K"], False, lambda each: each.usage.prompt_tokens > 1_000),
    ("context_length_bucket", "gte", ["10K"], False, lambda each: each.usage.prompt_tokens > 1_000),
    ("context_length_bucket", "lt", ["100K"], False, lambda each: each.usage.prompt_tokens <= 10_000),
    ("context_length_bucket", "lte", ["100K"], False, lambda each: each.usage.prompt_tokens <= 100_000),
    (
        "context_length_bucket",
        "in",
        ["1K", "1M"],
        False,
        lambda each: bucket_of(each.usage.prompt_tokens) in ("1K", "1M"),
    ),
]


async def test_filters_take_what_they_say(asked: Asked) -> None:
    await asked.insert(EVENTS)
    await asked.rollups.refresh()  # as long as all of the questions
    for field, operator, values, include_unset, holds in FILTERS:
        condition = messages.AnalyticsFilter(field=field, operator=operator, values=values, include_unset=include_unset)
        (row,), _ = await asked.query(metrics=["request_count", "tokens_total"], filters=[condition])
        some = [each for each in ours() if holds(each)]
        assert row == {"request_count": len(some), "tokens_total": COUNTS["tokens_total"](some)}, condition


async def test_filters_hold_together(asked: Asked) -> None:
    await asked.insert(EVENTS)
    filters = [
        messages.AnalyticsFilter(field="model", operator="eq", values=["acme/small"]),
        messages.AnalyticsFilter(field="finish_reason", operator="in", values=["stop", "length"]),
    ]
    (row,), _ = await asked.query(metrics=["request_count"], filters=filters)
    some = [
        each
        for each in ours()
        if DIMENSIONS["model"](each) == "acme/small" and each.finish_reason in ("stop", "length")
    ]
    assert row["request_count"] == len(some) > 0


async def test_order_limits_and_what_is_left_out(asked: Asked) -> None:
    await asked.insert(EVENTS)
    by_model, _ = await asked.query(metrics=["tokens_total"], dimensions=["model"])
    ascending, _ = await asked.query(metrics=["tokens_total"], dimensions=["model"], order_by="tokens_total")
    assert ascending == by_model[::-1]
    by_name, _ = await asked.query(metrics=["tokens_total"], dimensions=["model"], order_by="model", descending=True)
    assert [row["model"] for row in by_name] == sorted((row["model"] for row in by_model), reverse=True)
    by_count, _ = await asked.query(
        metrics=["tokens_total"], dimensions=["api_key_id"], order_by="request_count", descending=True
    )
    counts = {key: sum(each.key_id == key for each in ours()) for key in {each.key_id for each in ours()}}
    assert [row["api_key_id"] for row in by_count] == sorted(counts, key=lambda key: (-counts[key], key))
    first, more = await asked.query(metrics=["tokens_total"], dimensions=["model"], limit=2)
    assert (first, more) == (by_model[:2], True)
    everything, more = await asked.query(metrics=["tokens_total"], dimensions=["model"], limit=len(by_model))
    assert (everything, more) == (by_model, False)
    two_each, _ = await asked.query(
        metrics=["request_count"],
        dimensions=["model"],
        granularity="day",
        group_limit=2,
        order_by="date",
        descending=True,
    )
    days: dict[str, set[int]] = defaultdict(set)
    for event in ours():
        days[DIMENSIONS["model"](event)].add(event.started_at.seconds // 86_400 * 86_400)
    latest = {(model, day) for model, all_days in days.items() for day in sorted(all_days)[-2:]}
    assert {(row["model"], row["date"]) for row in two_each} == latest
    assert len(two_each) == len(latest)


async def test_organisation_without_usage_gets_a_row_of_nothing_or_no_row(asked: Asked) -> None:
    (row,), truncated = await asked.query(metrics=list(analytics.METRICS))
    check_metrics(row, [])
    assert not truncated
    assert await asked.query(metrics=["request_count"], dimensions=["model"]) == ([], False)


async def test_questions_that_break_a_rule_are_refused_by_name(asked: Asked) -> None:
    def ask(**members: Any) -> Awaitable[object]:
        return asked.query(**({"metrics": ["request_count"]} | members))

    def by(field: str, operator: str, *values: str, include_unset: bool = False) -> Awaitable[object]:
        return ask(
            filters=[
                messages.AnalyticsFilter(field=field, operator=operator, values=values, include_unset=include_unset)
            ]
        )

    long_ago = END - timedelta(days=32)
    assert await refused(ask(metrics=[])) == "metrics"
    assert await refused(ask(metrics=["cost); DROP TABLE usage_events --"])) == "metrics"
    assert await refused(ask(metrics=["request_count", "request_count"])) == "metrics"
    assert await refused(ask(dimensions=["planet"])) == "dimensions"
    assert await refused(ask(dimensions=["model", "app", "user"])) == "dimensions"
    assert await refused(ask(granularity="second")) == "granularity"
    assert await refused(ask(order_by="tokens_total")) == "order_by"
    assert await refused(ask(order_by="date")) == "order_by"
    assert await refused(ask(limit=10_001)) == "limit"
    assert await refused(ask(limit=-1)) == "limit"
    assert await refused(ask(group_limit=10_001)) == "group_limit"
    assert await refused(ask(start=END)) == "start"
    assert await refused(ask(start=END - timedelta(days=367))) == "time_range"
    assert await refused(ask(start=long_ago, metrics=["p50_latency"])) == "time_range"
    assert await refused(ask(start=long_ago, dimensions=["generation_id"])) == "time_range"
    await ask(start=long_ago)
    assert await refused(by("tokens_total", "eq", "1")) == "filters"
    assert await refused(by("model", "like", "%")) == "filters"
    assert await refused(by("model", "eq")) == "filters"
    assert await refused(by("model", "eq", "a", "b")) == "filters"
    assert await refused(by("model", "in")) == "filters"
    assert await refused(by("model", "in", *map(str, range(101)))) == "filters"
    assert await refused(by("model", "gt", "a")) == "filters"
    assert await refused(by("context_length_bucket", "eq", "2K")) == "filters"
    assert await refused(by("app", "eq", "a title")) == "filters"
    assert await refused(by("model", "eq", "a", include_unset=True)) == "filters"
    many = [messages.AnalyticsFilter(field="model", operator="eq", values=["a"])] * 21
    assert await refused(ask(filters=many)) == "filters"


async def test_s40_question_that_takes_too_long_is_given_up_and_says_so(engine: Any, database: str) -> None:
    calls = ClickHouseCalls(engine.dsn(database), SystemClock(), CallLimits(query_timeout=timedelta(seconds=1)))
    await calls.open()
    slow = "SELECT sum(sleepEachRow(0.2)) FROM numbers(100) SETTINGS max_block_size = 1"
    with pytest.raises(QuestionTooHeavyError, match="Timeout exceeded"):
        await calls.ask(lambda client: client.query(slow))
    assert await calls.ask(lambda client: client.query("SELECT 1").result_rows)
    await calls.close()
