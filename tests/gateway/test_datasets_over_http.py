"""Datasets through the public API, every figure against a recount in Python."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import product
from time import time
from typing import Any

import pytest

from contracts.apps import app_of
from contracts.topics import ENDPOINT_STATS
from edge.testing.router import model as listed_model
from edge.testing.waiting import eventually
from gateway_support.usage import TODAY, Events, Filled, between, grouped, tokens_of
from metering.adapters.clickhouse_endpoint_stats import ClickHouseEndpointStats
from metering.domain.rollups import UnixSeconds
from metering.stats_convert import stats_to_proto
from metering.testing.metric_recounts import is_percentile, speeds, waits
from metering.testing.rollup_recounts import counts_against, prices_recount
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

pytestmark = pytest.mark.asyncio(loop_scope="module")


def first_of(period: str, moment: date) -> date:
    if period == "week":
        return moment - timedelta(days=moment.weekday())
    return moment.replace(day=1) if period == "month" else moment


@pytest.mark.parametrize(
    ("query", "period", "holds"),
    [
        ("", "day", lambda each: True),
        ("period=month", "month", lambda each: True),
        ("category=programming", "week", lambda each: "cli-agent" in each.app_categories),
        ("category=roleplay&period=month", "month", lambda each: "roleplay" in each.app_categories),
        ("modality=tool_calling", "day", lambda each: each.tool_calls > 0),
        ("context_bucket=1K", "day", lambda each: each.usage.prompt_tokens <= 1_000),
        ("modality=audio", "day", lambda each: False),
    ],
)
async def test_rankings_by_date_are_what_a_recount_gives(
    filled: Filled, query: str, period: str, holds: Callable[[usage_pb.UsageEvent], bool]
) -> None:
    first, last = TODAY - timedelta(days=20), TODAY - timedelta(days=1)
    events = [each for each in filled.public(first, last) if holds(each)]
    cells = grouped(events, lambda each: (str(first_of(period, each.started_at.ToDatetime().date())), each.model))
    wanted = [(day, model, str(tokens_of(some)), len(some)) for (day, model), some in cells.items()]
    orders: dict[str, Callable[[tuple[Any, ...]], Any]] = {
        "tokens": lambda row: (row[0], -int(row[2]), row[1]),
        "requests": lambda row: (row[0], -row[3], row[1]),
    }
    for by, order in orders.items():
        wanted.sort(key=order)
        document = await filled.get(f"/datasets/rankings-daily?start_date={first}&{query}&by={by}", key=filled.edge.key)
        assert (document["meta"]["start_date"], document["meta"]["end_date"]) == (str(first), str(last))
        assert [
            (row["date"], row["model_permaslug"], row["total_tokens"], row["total_requests"])
            for row in document["data"]
        ] == wanted


# What is asked for by kind and category, and the category of applications whose traffic it is.
CATEGORIES = {
    ("model", ""): None,
    ("model", "&category=programming"): "cli-agent",
    ("model", "&category=roleplay"): "roleplay",
    ("model", "&category=legal"): "legal",
    ("app", ""): None,
    ("app", "&category=coding"): "cli-agent",
    ("app", "&subcategory=roleplay"): "roleplay",
    ("app", "&category=productivity&subcategory=general-chat"): "general-chat",
    ("app", "&category=creative"): "creative-writing",
}


@pytest.mark.parametrize(("kind", "asked"), CATEGORIES)
async def test_rankings_are_what_a_recount_gives(filled: Filled, kind: str, asked: str) -> None:
    last = TODAY - timedelta(days=1)
    first = last - timedelta(days=6)
    category = CATEGORIES[kind, asked]
    name_of: Callable[[usage_pb.UsageEvent], str] = (
        (lambda each: each.model) if kind == "model" else (lambda each: app_of(each.http_referer, each.app_title).name)
    )

    def groups(start: date, end: date) -> dict[str, list[usage_pb.UsageEvent]]:
        events = filled.public(start, end)
        return grouped([each for each in events if category is None or category in each.app_categories], name_of)

    before = groups(first - timedelta(days=21), first - timedelta(days=1))
    for sort, by in product(("popular", "trending"), ("tokens", "requests")):
        measure: Callable[[Events], int] = tokens_of if by == "tokens" else len
        scores = []
        for name, some in groups(first, last).items():
            score = measure(some) - (measure(before.get(name, [])) / 3 if sort == "trending" else 0)
            if name and score > 0:
                scores.append((-score, name, str(tokens_of(some)), len(some), some[0]))
        scores.sort(key=lambda row: row[:2])
        path = f"/datasets/{kind}-rankings?start_date={first}&end_date={last}&sort={sort}&by={by}{asked}"
        rows = (await filled.get(path, key=filled.edge.key))["data"]
        assert [(row["rank"], row["total_tokens"], row["total_requests"]) for row in rows] == [
            (place, row[2], row[3]) for place, row in enumerate(scores, start=1)
        ]
        if kind == "model":
            assert [row["model_permaslug"] for row in rows] == [row[1] for row in scores]
        else:
            apps = [app_of(row[4].http_referer, row[4].app_title).app_id for row in scores]
            assert [row["app_id"] for row in rows] == apps
            assert [row["app_name"] for row in rows] == [row[4].app_title for row in scores]
        assert bool(rows) == (category not in ("legal", "creative-writing"))
        paged = (await filled.get(path + "&limit=1&offset=1", key=filled.edge.key))["data"]
        assert paged == rows[1:2]


@pytest.mark.parametrize("by", ["author", "provider"])
async def test_market_shares_are_what_a_recount_gives(filled: Filled, by: str) -> None:
    first, last = TODAY - timedelta(days=15), TODAY - timedelta(days=1)
    for period in ("day", "week", "month"):
        path = f"/datasets/market-share?by={by}&start_date={first}&period={period}"
        rows = (await filled.get(path, key=filled.edge.key))["data"]
        wanted = []
        dates: dict[date, list[usage_pb.UsageEvent]] = defaultdict(list)
        for event in filled.public(first, last):
            dates[first_of(period, event.started_at.ToDatetime().date())].append(event)
        for day, events in dates.items():
            for name, some in grouped(
                events, lambda each: each.provider if by == "provider" else each.model.partition("/")[0]
            ).items():
                shares = tokens_of(some) / tokens_of(events), len(some) / len(events)
                wanted.append((str(day), name, str(tokens_of(some)), len(some), *shares))
        wanted.sort(key=lambda row: (row[0], -int(row[2]), row[1]))
        assert [
            (
                row["date"], row["name"], row["total_tokens"], row["total_requests"], float(row["token_share"]),
                float(row["request_share"]),
            )
            for row in rows
        ] == wanted  # fmt: skip


async def test_costs_of_sessions_are_medians(filled: Filled) -> None:
    first, last = TODAY - timedelta(days=7), TODAY - timedelta(days=1)
    sessions = grouped(
        [each for each in filled.public(first, last) if each.session_id and (each.http_referer or each.app_title)],
        lambda each: (app_of(each.http_referer, each.app_title).name, each.model, each.org_id, each.session_id),
    )
    kinds: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for (app, model, *_), some in sessions.items():
        turns = "1-turn" if len(some) == 1 else "2-9-turns"
        kinds[app.removeprefix("https://"), model, turns].append(sum(each.cost_nano_usd for each in some))
    wanted = {kind: statistics.median(costs) / 10**9 for kind, costs in kinds.items() if len(costs) >= 5}
    assert wanted

    async def costs(query: str = "") -> dict[tuple[str, str, str], float]:
        document = await filled.get(f"/datasets/session-cost?limit=500&{query}", key=filled.edge.key)
        assert (document["meta"]["window_days"], document["meta"]["window_end_date"]) == (7, str(last))
        names = {"code.example": "Code Example", "chat.example": "Chat"}
        assert all(row["app_name"] == names.get(row["app_slug"], row["app_slug"]) for row in document["data"])
        return {
            (row["app_slug"], row["model_permaslug"], row["turn_range"]): float(row["median_session_cost_usd"])
            for row in document["data"]
        }

    assert await costs() == pytest.approx(wanted)
    for turns in {kind[2] for kind in wanted}:
        assert await costs(f"turn_range={turns}") == pytest.approx({k: v for k, v in wanted.items() if k[2] == turns})
    of_model = {kind: cost for kind, cost in wanted.items() if kind[1] == "acme/small"}
    assert await costs("model=acme/small") == pytest.approx(of_model)
    for slug in ("code.example", "Untitled"):
        assert await costs(f"app_slug={slug}") == pytest.approx({k: v for k, v in wanted.items() if k[0] == slug})


async def asked_within_a_minute(filled: Filled, path: str) -> tuple[Any, int]:
    """An answer, and the start of the minute in which all of it was made: a window is so many whole minutes before that."""
    while True:
        minute = int(time()) // 60
        document = await filled.get(path, key=filled.edge.key)
        if int(time()) // 60 == minute:
            return document, minute * 60


def since(filled: Filled, minute: int, minutes: int) -> list[usage_pb.UsageEvent]:
    """The events of a minute and of so many before it."""
    return [each for each in filled.events if each.started_at.seconds >= minute - minutes * 60]


def answers_of(events: Events, endpoint_id: str) -> list[usage_pb.UsageEvent]:
    done = usage_pb.GENERATION_STATUS_COMPLETED
    return [each for each in events if each.endpoint_id == endpoint_id and each.status == done]


def uptime(events: Events, endpoint_or_provider: str) -> float | None:
    """In per cent, of the calls that count."""
    calls = [
        call for event in events for call in event.attempts if endpoint_or_provider in (call.endpoint_id, call.provider)
    ]
    successes = sum(call.outcome == usage_pb.ATTEMPT_OUTCOME_SUCCESS for call in calls)
    counted = successes + sum(map(counts_against, calls))
    return 100 * successes / counted if counted else None


def is_near(value: Any, values: Sequence[float], level: float) -> bool:
    return value is None if not values else is_percentile(float(value), values, level)


def approx(value: float | None) -> Any:
    return None if value is None else pytest.approx(Decimal(value), rel=Decimal("1e-9"))


async def test_cost_effectiveness_is_price_against_speed(filled: Filled) -> None:
    document, minute = await asked_within_a_minute(filled, "/datasets/cost-effectiveness")
    rows = document["data"]
    day = since(filled, minute, 1_440)
    assert {row["endpoint_id"] for row in rows} >= {each.endpoint_id for each in day if each.endpoint_id}
    for row in rows:
        endpoint_id = row["endpoint_id"]
        assert (row["model_permaslug"], row["provider_name"]) == (endpoint_id.split("@")[0], endpoint_id.split("@")[1])
        answers = answers_of(day, endpoint_id)
        prompt, completion = (None if pico is None else pico / 10**6 for pico in prices_recount(answers))
        assert (row["prompt_price"], row["completion_price"]) == (approx(prompt), approx(completion))
        blended = None if prompt is None or completion is None else (3 * prompt + completion) / 4
        assert row["blended_price"] == approx(blended)
        assert is_near(row["throughput_p50"], speeds(answers), 0.5)
        assert is_near(row["latency_p50_ms"], waits(answers), 0.5)
        assert row["uptime_last_1d"] == approx(uptime(day, endpoint_id))
    one = (await filled.get("/datasets/cost-effectiveness?model=acme/large", key=filled.edge.key))["data"]
    assert one == [row for row in rows if row["model_permaslug"] == "acme/large"]
    for of_model in grouped_rows(rows).values():
        known = [row for row in of_model if row["blended_price"] is not None and row["throughput_p50"] is not None]
        for row in of_model:
            price, speed = row["blended_price"], row["throughput_p50"]
            beaten = row not in known or any(
                (other["blended_price"] < price and other["throughput_p50"] >= speed)
                or (other["blended_price"] <= price and other["throughput_p50"] > speed)
                for other in known
            )
            assert row["is_efficient"] == (not beaten)


def grouped_rows(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["model_permaslug"]].append(row)
    return groups


async def test_status_of_providers_is_what_a_recount_gives(filled: Filled) -> None:
    document, minute = await asked_within_a_minute(filled, "/datasets/provider-status?days=10")
    first = TODAY - timedelta(days=10)
    assert (document["meta"]["start_date"], document["meta"]["end_date"]) == (str(first), str(TODAY))
    days = grouped(between(filled.events, first, TODAY), lambda each: str(each.started_at.ToDatetime().date()))
    wanted: dict[str, dict[str, tuple[int, ...]]] = defaultdict(dict)
    for day, events in days.items():
        for call in [call for event in events for call in event.attempts]:
            counts = wanted[call.provider].get(day, (0, 0, 0))
            outcomes = (
                call.outcome == usage_pb.ATTEMPT_OUTCOME_SUCCESS,
                counts_against(call),
                call.outcome == usage_pb.ATTEMPT_OUTCOME_RATE_LIMITED,
            )
            wanted[call.provider][day] = tuple(map(sum, zip(counts, outcomes, strict=True)))
    assert [row["provider"] for row in document["data"]] == sorted(wanted)
    for row in document["data"]:
        provider = row["provider"]
        counts_by_day = {day: counts for day, counts in wanted[provider].items() if any(counts)}
        assert {each["date"]: (each["successes"], each["errors"], each["rate_limited"]) for each in row["days"]} == (
            counts_by_day
        )
        for each in row["days"]:
            assert each["uptime"] == approx(uptime(days[each["date"]], provider))
            assert each["good_minutes"] == approx(good_minutes(days[each["date"]], provider))
        for name, minutes in (("5m", 5), ("30m", 30), ("1d", 1_440)):
            assert row[f"uptime_last_{name}"] == approx(uptime(since(filled, minute, minutes), provider))
    assert any(each["good_minutes"] is not None for row in document["data"] for each in row["days"])
    one = (await filled.get("/datasets/provider-status?days=10&provider=north", key=filled.edge.key))["data"]
    assert [row["days"] for row in one] == [row["days"] for row in document["data"] if row["provider"] == "north"]


def good_minutes(events: Events, provider: str) -> float | None:
    """Of the minutes with ten calls that count or more those in which 80 % were answered, in per cent."""
    minutes = grouped(events, lambda each: each.started_at.seconds // 60).values()
    calls = [[call for event in some for call in event.attempts if call.provider == provider] for some in minutes]
    counts = [
        (sum(call.outcome == usage_pb.ATTEMPT_OUTCOME_SUCCESS for call in some), sum(map(counts_against, some)))
        for some in calls
    ]
    busy = [(answered, missed) for answered, missed in counts if answered + missed >= 10]
    return 100 * sum(answered >= 0.8 * (answered + missed) for answered, missed in busy) / len(busy) if busy else None


async def test_endpoints_of_a_model_show_what_a_recount_gives(filled: Filled) -> None:
    name, minute = "acme/large", int(time()) // 60 * 60
    listed = listed_model(name)
    for provider in ("north", "south", "west"):
        endpoint = listed.endpoints.add()
        endpoint.CopyFrom(listed.endpoints[0])
        endpoint.id = f"{name}@{provider}"
        endpoint.provider = endpoint.provider_name = endpoint.tag = provider
    del listed.endpoints[0]
    listed.canonical_slug = name  # as other tests call it
    filled.edge.around.router.models = [listed]
    filled.edge.around.router.version = "measured"
    stats = await ClickHouseEndpointStats(filled.metering.log.calls).endpoint_stats(UnixSeconds(minute))
    records = [(ENDPOINT_STATS.name, each.endpoint_id, stats_to_proto(each).SerializeToString()) for each in stats]
    await filled.edge.publisher.send(*records)
    path = f"/models/{name}/endpoints"

    async def is_known() -> bool:
        answer = await filled.edge.call("GET", path)
        return answer.status == 200 and all(
            row["uptime_last_1d"] is not None for row in answer.document["data"]["endpoints"]
        )

    await eventually(is_known)
    rows = (await filled.get(path, key=filled.edge.key))["data"]["endpoints"]
    assert [row["tag"] for row in rows] == ["north", "south", "west"]
    for row in rows:
        endpoint_id = f"{name}@{row['tag']}"

        for window, minutes in (("5m", 5), ("30m", 30), ("1d", 1_440)):
            assert row[f"uptime_last_{window}"] == approx(uptime(since(filled, minute, minutes), endpoint_id))
        answers = answers_of(since(filled, minute, 30), endpoint_id)
        assert answers
        for level in (50, 75, 90, 99):
            assert is_near(row["latency_last_30m"][f"p{level}"], waits(answers), level / 100)
            assert is_near(row["throughput_last_30m"][f"p{level}"], speeds(answers), 1 - level / 100)


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("rankings-daily?start_date=2026-13-01", "start_date"),
        ("rankings-daily?end_date=2024-12-31", "end_date"),
        ("rankings-daily?start_date=2026-02-01&end_date=2026-01-01", "start_date"),
        ("rankings-daily?start_date=2025-01-01", "start_date"),
        ("rankings-daily?period=year", "period"),
        ("rankings-daily?category=programming&period=day", "period"),
        ("rankings-daily?category=programming&modality=text", "category"),
        ("rankings-daily?language_type=natural", "language_type"),
        ("rankings-daily?context_bucket=2K", "context_bucket"),
        ("app-rankings?limit=101", "limit"),
        ("app-rankings?offset=101", "offset"),
        ("app-rankings?sort=best", "sort"),
        ("app-rankings?category=coding&subcategory=legal", "subcategory"),
        ("session-cost?turn_range=3-turns", "turn_range"),
        ("session-cost?limit=501", "limit"),
        ("market-share?by=country", "by"),
        ("provider-status?days=31", "days"),
    ],
)
async def test_dataset_that_is_asked_for_wrongly_is_refused_by_name(filled: Filled, path: str, param: str) -> None:
    document = await filled.get(f"/datasets/{path}", key=filled.edge.key, status=400)
    assert document["error"]["metadata"]["param"] == param
