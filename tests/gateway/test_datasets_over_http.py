"""Datasets through the public API, every figure against a recount in Python."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from contracts.apps import app_of
from gateway_support.usage import NOW, TODAY, Events, Filled, between, grouped, tokens_of
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
    document = await filled.get(f"/datasets/rankings-daily?start_date={first}&{query}", key=filled.edge.key)
    assert (document["meta"]["start_date"], document["meta"]["end_date"]) == (str(first), str(last))
    events = [each for each in filled.public(first, last) if holds(each)]
    cells = grouped(events, lambda each: (str(first_of(period, each.started_at.ToDatetime().date())), each.model))
    wanted = [(day, model, str(tokens_of(some)), len(some)) for (day, model), some in cells.items()]
    wanted.sort(key=lambda row: (row[0], -int(row[2]), row[1]))
    assert [
        (row["date"], row["model_permaslug"], row["total_tokens"], row["total_requests"]) for row in document["data"]
    ] == wanted


@pytest.mark.parametrize("kind", ["model", "app"])
@pytest.mark.parametrize("sort", ["popular", "trending"])
@pytest.mark.parametrize("by", ["tokens", "requests"])
async def test_rankings_are_what_a_recount_gives(filled: Filled, kind: str, sort: str, by: str) -> None:
    last = TODAY - timedelta(days=1)
    first = last - timedelta(days=6)
    name_of: Callable[[usage_pb.UsageEvent], str] = (
        (lambda each: each.model) if kind == "model" else (lambda each: app_of(each.http_referer, each.app_title).name)
    )
    measure: Callable[[Events], int] = tokens_of if by == "tokens" else len
    before = grouped(filled.public(first - timedelta(days=21), first - timedelta(days=1)), name_of)
    scores = []
    for name, some in grouped(filled.public(first, last), name_of).items():
        score = measure(some) - (measure(before.get(name, [])) / 3 if sort == "trending" else 0)
        if name and score > 0:
            scores.append((-score, name, str(tokens_of(some)), len(some), some[0]))
    scores.sort(key=lambda row: row[:2])
    path = f"/datasets/{kind}-rankings?start_date={first}&end_date={last}&sort={sort}&by={by}"
    rows = (await filled.get(path, key=filled.edge.key))["data"]
    assert [(row["rank"], row["total_tokens"], row["total_requests"]) for row in rows] == [
        (place, row[2], row[3]) for place, row in enumerate(scores, start=1)
    ]
    if kind == "model":
        assert [row["model_permaslug"] for row in rows] == [row[1] for row in scores]
    else:
        apps = [app_of(row[4].http_referer, row[4].app_title).app_id for row in scores]
        assert [row["app_id"] for row in rows] == apps
        assert {row["app_name"] for row in rows} <= {"Code Example", "Chat", "Untitled"}
    paged = (await filled.get(path + "&limit=1&offset=1", key=filled.edge.key))["data"]
    assert paged == rows[1:2]


async def test_app_rankings_by_category_hold_its_applications_only(filled: Filled) -> None:
    for query, names in (
        ("category=coding", {"Code Example"}),
        ("subcategory=roleplay", {"Chat"}),
        ("category=productivity&subcategory=general-chat", {"Chat"}),
        ("category=creative", set()),
    ):
        rows = (await filled.get(f"/datasets/app-rankings?{query}", key=filled.edge.key))["data"]
        assert {row["app_name"] for row in rows} == names


@pytest.mark.parametrize("by", ["author", "provider"])
async def test_market_shares_are_what_a_recount_gives(filled: Filled, by: str) -> None:
    first, last = TODAY - timedelta(days=15), TODAY - timedelta(days=1)
    rows = (await filled.get(f"/datasets/market-share?by={by}&start_date={first}", key=filled.edge.key))["data"]
    wanted = []
    weeks = grouped(filled.public(first, last), lambda each: first_of("week", each.started_at.ToDatetime().date()))
    for week, events in weeks.items():
        for name, some in grouped(
            events, lambda each: each.provider if by == "provider" else each.model.partition("/")[0]
        ).items():
            wanted.append((str(week), name, str(tokens_of(some)), tokens_of(some) / tokens_of(events)))
    wanted.sort(key=lambda row: (row[0], -int(row[2]), row[1]))
    assert [(row["date"], row["name"], row["total_tokens"], float(row["token_share"])) for row in rows] == wanted


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
        return {
            (row["app_slug"], row["model_permaslug"], row["turn_range"]): float(row["median_session_cost_usd"])
            for row in document["data"]
        }

    assert await costs() == pytest.approx(wanted)
    for slug in ("code.example", "Untitled"):
        assert await costs(f"app_slug={slug}") == pytest.approx({k: v for k, v in wanted.items() if k[0] == slug})


def day_of_calls(filled: Filled) -> dict[str, list[usage_pb.UsageEvent]]:
    """Answers of the current minute and the 1,440 before it, by endpoint."""
    first = int(NOW.timestamp()) // 60 * 60 - 86_400
    done = [
        event
        for event in filled.events
        if event.started_at.seconds >= first + 120 and event.status == usage_pb.GENERATION_STATUS_COMPLETED
    ]
    return grouped(done, lambda each: each.endpoint_id)


async def test_cost_effectiveness_is_price_against_speed(filled: Filled) -> None:
    rows = (await filled.get("/datasets/cost-effectiveness", key=filled.edge.key))["data"]
    answers = day_of_calls(filled)
    assert {row["endpoint_id"] for row in rows} >= set(answers)
    for row in rows:
        some = answers.get(row["endpoint_id"], [])
        if len(some) < 2 or row["prompt_price"] is None:
            continue
        scale = 1 + ["acme/large", "acme/small", "borealis/one", "cirrus/mini", "cirrus/maxi"].index(
            row["model_permaslug"]
        )
        # Cached input costs a quarter, writing to the cache a quarter more; output has one price.
        assert 0.025 * scale <= float(row["prompt_price"]) <= 0.126 * scale
        assert float(row["completion_price"]) == pytest.approx(0.300007 * scale, rel=1e-6)
        assert float(row["blended_price"]) == pytest.approx(
            (3 * float(row["prompt_price"]) + float(row["completion_price"])) / 4
        )
    one = (await filled.get("/datasets/cost-effectiveness?model=acme/large", key=filled.edge.key))["data"]
    assert one == [row for row in rows if row["model_permaslug"] == "acme/large"]
    for model, of_model in grouped_rows(rows).items():
        best = [row for row in of_model if row["is_efficient"]]
        known = [row for row in of_model if row["blended_price"] is not None and row["throughput_p50"] is not None]
        assert bool(best) == bool(known), model
        for row in best:
            assert not any(
                other["blended_price"] < row["blended_price"] and other["throughput_p50"] > row["throughput_p50"]
                for other in known
            )


def grouped_rows(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["model_permaslug"]].append(row)
    return groups


def counts_against(call: usage_pb.Attempt) -> bool:
    free = (
        usage_pb.ATTEMPT_OUTCOME_SUCCESS,
        usage_pb.ATTEMPT_OUTCOME_CANCELLED,
        usage_pb.ATTEMPT_OUTCOME_RATE_LIMITED,
    )
    if call.outcome in free or call.status_code in (400, 403, 413, 429):
        return False
    if call.status_code in (401, 402, 404) or call.status_code >= 500:
        return True
    return call.outcome != usage_pb.ATTEMPT_OUTCOME_REJECTED


async def test_status_of_providers_is_what_a_recount_gives(filled: Filled) -> None:
    document = await filled.get("/datasets/provider-status?days=10", key=filled.edge.key)
    first = TODAY - timedelta(days=10)
    assert (document["meta"]["start_date"], document["meta"]["end_date"]) == (str(first), str(TODAY))
    wanted: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    for event in between(filled.events, first, TODAY):
        for call in event.attempts:
            counts = wanted[call.provider][str(event.started_at.ToDatetime().date())]
            counts[0] += call.outcome == usage_pb.ATTEMPT_OUTCOME_SUCCESS
            counts[1] += counts_against(call)
            counts[2] += call.outcome == usage_pb.ATTEMPT_OUTCOME_RATE_LIMITED
    assert [row["provider"] for row in document["data"]] == sorted(wanted)
    for row in document["data"]:
        days = {day: counts for day, counts in wanted[row["provider"]].items() if any(counts)}
        assert {day["date"]: [day["successes"], day["errors"], day["rate_limited"]] for day in row["days"]} == days
        for day in row["days"]:
            counted = day["successes"] + day["errors"]
            uptime = 100 * day["successes"] / counted if counted else None
            assert day["uptime"] is None if uptime is None else float(day["uptime"]) == pytest.approx(uptime)
    one = (await filled.get("/datasets/provider-status?days=10&provider=north", key=filled.edge.key))["data"]
    assert [row["days"] for row in one] == [row["days"] for row in document["data"] if row["provider"] == "north"]


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
