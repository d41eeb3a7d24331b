"""Figures over all organisations, over gRPC, on a real engine, against recounts in Python."""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import grpc
import pytest

from contracts.apps import app_of
from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_endpoint_stats import ClickHouseEndpointStats
from metering.adapters.clickhouse_insight import ClickHouseInsight
from metering.adapters.clickhouse_rollups import ClickHouseRollups
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.api.insight_service import InsightServicer
from metering.convert import usage_row_from_proto
from metering.domain.batch import BatchPlan, Span
from metering.domain.insight import LEAST_SESSIONS
from metering.domain.rollups import Rollup
from metering.domain.usage import UnixMs
from metering.rollups import Rollups
from metering.testing.rollup_recounts import counts_against
from metering.testing.seeded_usage import SeededUsage
from metering.testing.usage_questions import at, refused
from servicekit.clock import SystemClock
from servicekit.testing import run_servicer
from turnpike.metering.v1 import insight_service_pb2 as messages
from turnpike.metering.v1.insight_service_pb2_grpc import InsightServiceStub, add_InsightServiceServicer_to_server
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
START = TODAY - timedelta(days=9)
BEFORE = START - timedelta(days=27)
EVENTS = SeededUsage(Random(21), BEFORE - timedelta(days=1), TODAY + timedelta(hours=1)).events(3_000)
# More of late, so that there is growth.
EVENTS += SeededUsage(Random(22), START, TODAY).events(600)
Events = Sequence[usage_pb.UsageEvent]


class Asked:
    """The service."""

    def __init__(self, log: ClickHouseUsageLog, stub: InsightServiceStub) -> None:
        self.log = log
        self.stub = stub

    async def refresh(self, *rollups: Rollup) -> None:
        store = ClickHouseRollups(self.log.calls)
        await Rollups(store, SystemClock(), timedelta(1), is_in_charge=lambda: True).refresh(*rollups)


def opened(engine: Any, name: str) -> ClickHouseUsageLog:
    return ClickHouseUsageLog(engine.dsn(name), SystemClock(), CallLimits(), cluster=None, may_migrate=True)


@pytest.fixture(scope="module")
def filled(engine: Any) -> Iterator[str]:
    """A database with all events, filled once: no test changes what another one counts."""
    name = f"insight_{uuid4().hex}"
    engine.client.command(f"CREATE DATABASE {name}")

    async def fill() -> None:
        log = opened(engine, name)
        await log.start()
        plan = BatchPlan("c", "turnpike.usage.v1", (Span(0, 0, len(EVENTS) - 1),), UnixMs(1))
        await log.append(plan, [usage_row_from_proto(event) for event in EVENTS])
        rollups = Rollups(ClickHouseRollups(log.calls), SystemClock(), timedelta(1), is_in_charge=lambda: True)
        await rollups.refresh(Rollup.USAGE_DAYS, Rollup.PAGE_DAYS)
        await log.stop(timedelta(seconds=1))

    asyncio.run(fill())
    yield name
    engine.client.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture
async def asked(engine: Any, filled: str) -> AsyncIterator[Asked]:
    log = opened(engine, filled)
    await log.start()
    servicer = InsightServicer(ClickHouseEndpointStats(log.calls), ClickHouseInsight(log.calls), SystemClock())

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_InsightServiceServicer_to_server(servicer, server)
        return []

    async with run_servicer(register) as channel:
        yield Asked(log, InsightServiceStub(channel))
    await log.stop(timedelta(seconds=1))


def started(event: usage_pb.UsageEvent) -> datetime:
    return event.started_at.ToDatetime(UTC)


def public(start: datetime = START, end: datetime = TODAY) -> list[usage_pb.UsageEvent]:
    """Traffic that public figures show: answered by an endpoint, and not private."""
    return [each for each in EVENTS if start <= started(each) < end and each.endpoint_id and not each.private]


def tokens_of(events: Events) -> int:
    return sum(each.usage.prompt_tokens + each.usage.completion_tokens for each in events)


def app_name(event: usage_pb.UsageEvent) -> str:
    return app_of(event.http_referer, event.app_title).name


def begin(period: messages.Period.ValueType, moment: datetime) -> str:
    day = moment.date()
    if period == messages.PERIOD_WEEK:
        day -= timedelta(days=day.weekday())
    if period == messages.PERIOD_MONTH:
        day = day.replace(day=1)
    return day.isoformat()


def grouped(events: Events, key: Callable[[usage_pb.UsageEvent], Any]) -> dict[Any, list[usage_pb.UsageEvent]]:
    groups: dict[Any, list[usage_pb.UsageEvent]] = defaultdict(list)
    for event in events:
        groups[key(event)].append(event)
    return groups


PERIODS = [messages.PERIOD_DAY, messages.PERIOD_WEEK, messages.PERIOD_MONTH]
TRAFFIC: dict[str, tuple[dict[str, Any], Callable[[usage_pb.UsageEvent], bool]]] = {
    "all": ({}, lambda each: True),
    "category": ({"categories": ["roleplay", "nothing"]}, lambda each: "roleplay" in each.app_categories),
    "models": (
        {"models": ["acme/small", "cirrus/mini"], "only_models": True},
        lambda each: each.model in ("acme/small", "cirrus/mini"),
    ),
    "no models": ({"only_models": True}, lambda each: False),
    "context": ({"context_bucket": "10K"}, lambda each: 1_000 < each.usage.prompt_tokens <= 10_000),
    "tools": ({"with_tools": True}, lambda each: each.tool_calls > 0),
}


def traffic(name: str) -> tuple[messages.TrafficFilter, list[usage_pb.UsageEvent]]:
    """A filter, and the events that it takes."""
    members, holds = TRAFFIC[name]
    return messages.TrafficFilter(start=at(START), end=at(TODAY), **members), [each for each in public() if holds(each)]


@pytest.mark.parametrize("by_requests", [False, True])
@pytest.mark.parametrize("period", PERIODS)
async def test_models_over_time_are_what_a_recount_gives(
    asked: Asked, period: messages.Period.ValueType, by_requests: bool
) -> None:
    for name in TRAFFIC:
        conditions, events = traffic(name)
        wanted = []
        for date, of_date in grouped(events, lambda each: begin(period, started(each))).items():
            sizes = [
                (model, tokens_of(some), len(some)) for model, some in grouped(of_date, lambda each: each.model).items()
            ]
            sizes.sort(key=lambda size: (-size[1 + by_requests], size[0]))
            wanted += [(date, *size) for size in sizes[:3]]
            if sizes[3:]:
                wanted.append((date, "other", sum(s[1] for s in sizes[3:]), sum(s[2] for s in sizes[3:])))
        wanted.sort(key=lambda row: (row[0], row[1] == "other", -row[2 + by_requests], row[1]))
        request = messages.GetModelSeriesRequest(filter=conditions, period=period, top=3, by_requests=by_requests)
        answer = await asked.stub.GetModelSeries(request)
        assert [(row.date, row.model, row.tokens, row.requests) for row in answer.rows] == wanted, name


NAMED: dict[messages.RankedKind.ValueType, Callable[[usage_pb.UsageEvent], str]] = {
    messages.RANKED_KIND_MODEL: lambda each: each.model,
    messages.RANKED_KIND_APP: app_name,
}


@pytest.mark.parametrize("trending", [False, True])
@pytest.mark.parametrize("by_requests", [False, True])
@pytest.mark.parametrize("kind", [messages.RANKED_KIND_MODEL, messages.RANKED_KIND_APP])
async def test_rankings_are_what_a_recount_gives(
    asked: Asked, kind: messages.RankedKind.ValueType, by_requests: bool, trending: bool
) -> None:
    name_of = NAMED[kind]
    measure: Callable[[Events], int] = len if by_requests else tokens_of
    for conditions, limit, offset in (("all", 100, 0), ("all", 2, 1), ("category", 100, 0)):
        filtered, lately = traffic(conditions)
        holds = TRAFFIC[conditions][1]
        before = grouped([each for each in public(BEFORE, START) if holds(each)], name_of)
        rows = []
        for name, events in grouped(lately, name_of).items():
            score = measure(events) - (measure(before.get(name, [])) / 3 if trending else 0)
            if name and score > 0:
                rows.append((name, tokens_of(events), len(events), score))
        rows.sort(key=lambda row: (-row[3], row[0]))
        assert rows
        request = messages.GetRankingsRequest(
            filter=filtered, kind=kind, trending=trending, by_requests=by_requests, limit=limit, offset=offset
        )
        answer = await asked.stub.GetRankings(request)
        got: list[Any] = [
            (row.rank, row.name, row.tokens, row.requests, pytest.approx(row.score)) for row in answer.rows
        ]
        assert got == [(offset + place, *row) for place, row in enumerate(rows[offset : offset + limit], start=1)]


async def test_ranked_applications_have_their_number_and_their_latest_title(asked: Asked) -> None:
    request = messages.GetRankingsRequest(filter=traffic("all")[0], kind=messages.RANKED_KIND_APP, limit=100)
    lately = grouped(public(TODAY - timedelta(days=7)), app_name)
    for row in (await asked.stub.GetRankings(request)).rows:
        some = lately[row.name][0]
        assert row.app_id == app_of(some.http_referer, some.app_title).app_id
        assert row.title == max(lately[row.name], key=started).app_title


async def test_rankings_by_category_hold_the_traffic_of_its_applications_only(asked: Asked) -> None:
    for name in ("category", "tools", "context", "models"):
        conditions, events = traffic(name)
        request = messages.GetRankingsRequest(filter=conditions, kind=messages.RANKED_KIND_MODEL, limit=100)
        got = {row.name: (row.tokens, row.requests) for row in (await asked.stub.GetRankings(request)).rows}
        models = grouped(events, lambda each: each.model)
        assert got == {model: (tokens_of(some), len(some)) for model, some in models.items()}


HOLDERS: dict[messages.ShareHolder.ValueType, Callable[[usage_pb.UsageEvent], str]] = {
    messages.SHARE_HOLDER_AUTHOR: lambda each: each.model.partition("/")[0],
    messages.SHARE_HOLDER_PROVIDER: lambda each: each.provider,
}


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("holder", list(HOLDERS))
async def test_market_shares_are_what_a_recount_gives(
    asked: Asked, holder: messages.ShareHolder.ValueType, period: messages.Period.ValueType
) -> None:
    conditions, events = traffic("all")
    wanted = []
    for date, of_date in grouped(events, lambda each: begin(period, started(each))).items():
        for name, some in grouped(of_date, HOLDERS[holder]).items():
            shares = tokens_of(some) / tokens_of(of_date), len(some) / len(of_date)
            wanted.append((date, name, tokens_of(some), len(some), *shares))
    wanted.sort(key=lambda row: (row[0], -row[2], row[1]))
    request = messages.GetMarketSharesRequest(filter=conditions, holder=holder, period=period)
    rows = (await asked.stub.GetMarketShares(request)).rows
    assert [
        (row.date, row.name, row.tokens, row.requests, row.token_share, row.request_share) for row in rows
    ] == wanted


def turns(count: int) -> str:
    return "1-turn" if count == 1 else "2-9-turns" if count < 10 else "10-49-turns" if count < 50 else "50-plus-turns"


ORDER = ["1-turn", "2-9-turns", "10-49-turns", "50-plus-turns"]


async def test_costs_of_sessions_are_medians_of_kinds_with_enough_of_them(asked: Asked) -> None:
    start = TODAY - timedelta(days=7)
    sessions = grouped(
        [each for each in public(start) if each.session_id and app_name(each)],
        lambda each: (app_name(each), each.model, each.org_id, each.session_id),
    )
    kinds: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for (app, model, *_), some in sessions.items():
        kinds[app, model, turns(len(some))].append(sum(each.cost_nano_usd for each in some))
    wanted = [
        (*kind, statistics.median(costs), len(costs)) for kind, costs in kinds.items() if len(costs) >= LEAST_SESSIONS
    ]
    wanted.sort(key=lambda row: (row[0], row[1], ORDER.index(row[2])))
    assert any(len(costs) < LEAST_SESSIONS for costs in kinds.values())

    async def rows(**members: Any) -> list[tuple[Any, ...]]:
        request = messages.GetSessionCostsRequest(
            start=at(start), end=at(TODAY), limit=members.pop("limit", 500), **members
        )
        answer = await asked.stub.GetSessionCosts(request)
        return [(row.app, row.model, row.turn_range, row.median_nano_usd, row.sessions) for row in answer.rows]

    assert await rows() == wanted
    app, model, turn_range = wanted[0][:3]
    assert await rows(apps=[app, "nobody"]) == [row for row in wanted if row[0] == app]
    assert await rows(model=model) == [row for row in wanted if row[1] == model]
    assert await rows(turn_range=turn_range) == [row for row in wanted if row[2] == turn_range]
    assert await rows(limit=2, offset=1) == wanted[1:3]


async def test_days_of_providers_are_what_a_recount_gives(asked: Asked) -> None:
    # A busy minute of each kind, besides the minutes with a call or two.
    busy = []
    for number in range(24):
        event = usage_pb.UsageEvent()
        event.CopyFrom(next(each for each in EVENTS if each.status == usage_pb.GENERATION_STATUS_COMPLETED))
        del event.attempts[:]
        event.private = True  # so that no other test counts it
        minute = START + timedelta(minutes=number % 2)
        event.started_at.FromDatetime(minute)
        event.ended_at.FromDatetime(minute + timedelta(seconds=1))
        event.event_id = f"00000000-0000-5000-8000-{number:012d}"
        failed = number % 2 == 0 and number > 10
        event.attempts.add(
            endpoint_id="a/busy@east",
            provider="east",
            outcome=usage_pb.ATTEMPT_OUTCOME_FAILURE if failed else usage_pb.ATTEMPT_OUTCOME_SUCCESS,
            status_code=500 if failed else 200,
        )
        busy.append(event)
    await asked.log.append(
        BatchPlan("c", "turnpike.usage.v1", (Span(0, 10_000, 10_023),), UnixMs(2)),
        [usage_row_from_proto(each) for each in busy],
    )
    await asked.refresh(Rollup.PAGE_DAYS)

    minutes: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for event in [*EVENTS, *busy]:
        if not START <= started(event) < TODAY:
            continue
        for call in event.attempts:
            counts = minutes[call.provider, started(event).date().isoformat(), event.started_at.seconds // 60]
            counts[0] += call.outcome == usage_pb.ATTEMPT_OUTCOME_SUCCESS
            counts[1] += counts_against(call)
            counts[2] += call.outcome == usage_pb.ATTEMPT_OUTCOME_RATE_LIMITED
    days: dict[tuple[str, str], list[list[int]]] = defaultdict(list)
    for (provider, date, _), counts in minutes.items():
        days[provider, date].append(counts)
    wanted = []
    for (provider, date), all_counts in sorted(days.items()):
        answered, missed, limited = (sum(counts[index] for counts in all_counts) for index in range(3))
        if not answered + missed + limited:
            continue
        full = [counts for counts in all_counts if counts[0] + counts[1] >= 10]
        good = [counts for counts in full if counts[0] >= 0.8 * (counts[0] + counts[1])]
        uptime = answered / (answered + missed) if answered + missed else None
        wanted.append((provider, date, answered, missed, limited, uptime, len(good) / len(full) if full else None))

    async def rows(provider: str = "") -> list[tuple[Any, ...]]:
        request = messages.GetProviderDaysRequest(start=at(START), end=at(TODAY), provider=provider)
        return [
            (
                row.provider, row.date, row.successes, row.errors, row.rate_limited,
                row.uptime if row.HasField("uptime") else None,
                row.good_minutes if row.HasField("good_minutes") else None,
            )
            for row in (await asked.stub.GetProviderDays(request)).rows
        ]  # fmt: skip

    assert await rows() == wanted  # out of days that are added up
    await asked.log.calls.step(lambda client: client.command("TRUNCATE TABLE provider_days"))
    assert await rows() == []
    await asked.log.calls.step(lambda client: client.command("TRUNCATE TABLE rollup_progress"))
    await asked.refresh(Rollup.ENDPOINT_MINUTES)
    assert await rows() == wanted  # out of minutes
    await asked.refresh(Rollup.PAGE_DAYS)
    east = await rows("east")
    assert east == [row for row in wanted if row[0] == "east"]
    assert [row[6] for row in east] == [0.5]


async def test_questions_that_break_a_rule_are_refused_by_name(asked: Asked) -> None:
    good = messages.TrafficFilter(start=at(START), end=at(TODAY))
    series, rankings = asked.stub.GetModelSeries, asked.stub.GetRankings

    def with_filter(**members: Any) -> messages.TrafficFilter:
        return messages.TrafficFilter(**({"start": at(START), "end": at(TODAY)} | members))

    assert await refused(series(messages.GetModelSeriesRequest(filter=good))) == "top"
    assert await refused(series(messages.GetModelSeriesRequest(top=1))) == "start"
    late = with_filter(start=at(START + timedelta(hours=1)))
    assert await refused(series(messages.GetModelSeriesRequest(filter=late, top=1))) == "start"
    long = with_filter(start=at(TODAY - timedelta(days=367)))
    assert await refused(series(messages.GetModelSeriesRequest(filter=long, top=1))) == "end"
    assert await refused(series(messages.GetModelSeriesRequest(filter=good, top=1, period=9))) == "period"  # type: ignore[arg-type]  # no such period
    odd = with_filter(context_bucket="2K")
    assert await refused(series(messages.GetModelSeriesRequest(filter=odd, top=1))) == "context_bucket"
    many = with_filter(categories=[str(number) for number in range(21)])
    assert await refused(series(messages.GetModelSeriesRequest(filter=many, top=1))) == "categories"
    many = with_filter(categories=["roleplay"], with_tools=True)
    assert await refused(series(messages.GetModelSeriesRequest(filter=many, top=1))) == "categories"
    assert await refused(rankings(messages.GetRankingsRequest(filter=good, limit=1))) == "kind"
    app = messages.RANKED_KIND_APP
    assert await refused(rankings(messages.GetRankingsRequest(filter=good, kind=app, limit=101))) == "limit"
    assert (
        await refused(rankings(messages.GetRankingsRequest(filter=good, kind=app, limit=1, offset=1_001))) == "offset"
    )
    of_models = with_filter(models=["acme/small"], only_models=True)
    assert await refused(rankings(messages.GetRankingsRequest(filter=of_models, kind=app, limit=1))) == "kind"
    assert await refused(asked.stub.GetMarketShares(messages.GetMarketSharesRequest(filter=good))) == "holder"
    some = messages.GetMarketSharesRequest(filter=with_filter(categories=["a"]), holder=messages.SHARE_HOLDER_AUTHOR)
    assert await refused(asked.stub.GetMarketShares(some)) == "categories"
    days: dict[str, Any] = {"start": at(START), "end": at(TODAY)}
    costs = asked.stub.GetSessionCosts
    assert await refused(costs(messages.GetSessionCostsRequest(**days, limit=501))) == "limit"
    assert await refused(costs(messages.GetSessionCostsRequest(**days, limit=1, turn_range="3-turns"))) == "turn_range"
    month: dict[str, Any] = {"start": at(TODAY - timedelta(days=32)), "end": at(TODAY)}
    assert await refused(costs(messages.GetSessionCostsRequest(**month, limit=1))) == "end"
    assert await refused(asked.stub.GetProviderDays(messages.GetProviderDaysRequest(**month))) == "end"
