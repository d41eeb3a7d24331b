"""Activity, exports and analytics through the public API, every figure against a recount in Python."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from contracts import analytics
from contracts.apps import app_of
from edge.testing.stack import Neighbours, edge_stack
from gateway_support.usage import TODAY, Events, Filled, grouped, usd
from metering.testing.metric_recounts import COUNTS, DIMENSIONS, SPREADS, check_spread
from servicekit.testing import BrokerProcess
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

pytestmark = pytest.mark.asyncio(loop_scope="module")

# --- activity


def activity_recount(events: Events) -> dict[tuple[str, str, str], tuple[Any, ...]]:
    rows = {}
    answered = [event for event in events if event.endpoint_id]
    for key, some in grouped(
        answered, lambda each: (each.started_at.ToDatetime().date().isoformat(), each.model, each.endpoint_id)
    ).items():
        rows[key] = (
            usd(sum(each.cost_nano_usd for each in some)),
            usd(sum(each.provider_cost_nano_usd for each in some if each.is_byok)),
            len(some),
            sum(each.usage.prompt_tokens for each in some),
            sum(each.usage.completion_tokens for each in some),
            sum(each.usage.reasoning_tokens for each in some),
            sum(each.usage.cached_tokens for each in some),
            sum(each.is_byok for each in some),
            some[0].provider,
            some[0].model,
        )
    return rows


def activity_rows(document: Any) -> dict[tuple[str, str, str], tuple[Any, ...]]:
    rows = {
        (row["date"], row["model"], row["endpoint_id"]): (
            row["usage"], row["byok_usage_inference"], row["requests"], row["prompt_tokens"], row["completion_tokens"],
            row["reasoning_tokens"], row["cached_tokens"], row["byok_requests"], row["provider_name"], row["model_permaslug"],
        )
        for row in document["data"]
    }  # fmt: skip
    assert len(rows) == len(document["data"])
    return rows


async def test_b10_activity_is_what_a_recount_gives(filled: Filled) -> None:
    yesterday = TODAY - timedelta(days=1)
    month = filled.ours(TODAY - timedelta(days=30), yesterday)
    assert activity_rows(await filled.get("/activity")) == activity_recount(month)
    day = TODAY - timedelta(days=3)
    assert activity_rows(await filled.get(f"/activity?date={day}")) == activity_recount(filled.ours(day, day))
    own = [each for each in month if each.key_id == filled.edge.key_record.key_id]
    by_hash = await filled.get(f"/activity?api_key_hash={filled.edge.key_record.digest}")
    assert activity_rows(by_hash) == activity_recount(own)
    some = [each for each in month if each.member_id == "org-a-member-1"]
    assert activity_rows(await filled.get("/activity?user_id=org-a-member-1")) == activity_recount(some)
    org_id = filled.edge.org.org_id
    first_space = [each for each in month if not each.workspace_id]
    assert activity_rows(await filled.get(f"/activity?workspace_id={org_id}")) == activity_recount(first_space)


@pytest.mark.parametrize(
    ("group_by", "member", "value"),
    [
        ("workspace", "workspace_id", lambda each: each.workspace_id or each.org_id),
        ("api_key", "api_key_id", lambda each: each.key_id),
        ("user", "user_id", lambda each: each.member_id),
        ("app", "app", lambda each: app_of(each.http_referer, each.app_title).name),
    ],
)
async def test_activity_can_be_split(
    filled: Filled, group_by: str, member: str, value: Callable[[usage_pb.UsageEvent], str]
) -> None:
    month = filled.ours(TODAY - timedelta(days=30), TODAY - timedelta(days=1))
    document = await filled.get(f"/activity?group_by={group_by}")
    parts = grouped([each for each in month if each.endpoint_id], value)
    assert {row[member] for row in document["data"]} == set(parts)
    for name, some in parts.items():
        rows = {"data": [row for row in document["data"] if row[member] == name]}
        assert activity_rows(rows) == activity_recount(some)


async def test_activity_that_is_asked_for_wrongly_is_refused_by_name(filled: Filled) -> None:
    for query, param in (
        (f"date={TODAY}", "date"),
        (f"date={TODAY - timedelta(days=31)}", "date"),
        ("date=2026-02-30", "date"),
        ("date=yesterday", "date"),
        ("group_by=model", "group_by"),
        ("date=2026-01-01&date=2026-01-02", "date"),
    ):
        document = await filled.get(f"/activity?{query}", status=400)
        assert document["error"]["metadata"]["param"] == param
    await filled.get(f"/activity?api_key_hash={'0' * 64}", status=404)
    for path in ("/activity", "/activity/export", "/analytics/meta"):
        await filled.get(path, key=filled.edge.key, status=403)


async def test_exports_hold_every_generation_of_the_days(filled: Filled) -> None:
    first, last = TODAY - timedelta(days=5), TODAY - timedelta(days=1)
    wanted = sorted((each.generation_id, usd(each.cost_nano_usd)) for each in filled.ours(first, last))
    path = f"/activity/export?start_date={first}&end_date={last}"
    answer = await filled.edge.call("GET", path, key=filled.edge.management_key)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="usage-{first}-{last}.csv"'
    rows = csv.DictReader(io.StringIO(answer.body.decode()))
    assert sorted((row["generation_id"], Decimal(row["cost_usd"])) for row in rows) == wanted
    answer = await filled.edge.call("GET", path + "&format=parquet", key=filled.edge.management_key)
    table = pyarrow.parquet.read_table(io.BytesIO(answer.body)).to_pylist()
    assert sorted((row["generation_id"], row["cost_usd"]) for row in table) == wanted
    for query, param in (
        (f"start_date={TODAY}&end_date={first}", "start_date"),
        (f"start_date={TODAY - timedelta(days=31)}", "start_date"),
        ("format=xlsx", "format"),
    ):
        document = await filled.get(f"/activity/export?{query}", status=400)
        assert document["error"]["metadata"]["param"] == param


# --- analytics


async def test_meta_lists_what_queries_take(filled: Filled) -> None:
    meta = (await filled.get("/analytics/meta"))["data"]
    assert [metric["name"] for metric in meta["metrics"]] == list(analytics.METRICS)
    assert [each["name"] for each in meta["dimensions"]] == list(analytics.DIMENSIONS)
    names = [metric["name"] for metric in meta["metrics"]]
    for dimension in meta["dimensions"]:
        await filled.query(metrics=names[:40], dimensions=[dimension["name"]])
    for granularity in meta["granularities"]:
        await filled.query(metrics=["request_count"], granularity=granularity["name"])
    for operator in meta["operators"]:
        value: Any = ["10K"] if operator["value_type"] == "array" else "10K"
        condition = {"field": "context_length_bucket", "operator": operator["name"], "value": value}
        await filled.query(metrics=["request_count"], filters=[condition])


async def test_b10_queries_are_what_a_recount_gives(filled: Filled) -> None:
    week = [
        each
        for each in filled.ours(TODAY - timedelta(days=8))
        if each.started_at.ToDatetime(UTC) >= filled.now - timedelta(days=7)
    ]
    result = (await filled.query(metrics=list(analytics.METRICS), dimensions=["model"]))["data"]
    models = grouped(week, DIMENSIONS["model"])
    # The question is asked a moment after `now`: what began seven days before that moment is no longer in it.
    assert {row["model"] for row in result["data"]} == set(models)
    for row in result["data"]:
        some = models[row["model"]]
        for name, count in COUNTS.items():
            value = count(some)
            if value is not None and analytics.METRICS[name].format is analytics.Format.CURRENCY:
                value = usd(value)
            assert (float(row[name]) if isinstance(value, float) else row[name]) == value, name
        for name in SPREADS:
            check_spread(name, None if row[name] is None else float(row[name]), some)
    assert result["metadata"]["row_count"] == len(result["data"])
    assert result["metadata"]["truncated"] is False
    assert "warnings" not in result

    first = TODAY - timedelta(days=4)
    period = {"start": f"{first}T00:00:00Z", "end": f"{TODAY}T00:00:00+00:00"}
    result = (await filled.query(metrics=["request_count", "usage_web"], granularity="day", time_range=period))["data"]
    days = grouped(filled.ours(first, TODAY - timedelta(days=1)), lambda each: each.started_at.ToDatetime().date())
    assert [(row["date__day"], row["request_count"], row["usage_web"]) for row in result["data"]] == [
        (f"{day}T00:00:00.000Z", len(days[day]), None) for day in sorted(days)
    ]


async def test_keys_are_filtered_by_hash_and_shown_by_name(filled: Filled) -> None:
    record = filled.edge.key_record
    period = {"start": f"{TODAY - timedelta(days=20)}T00:00:00Z", "end": f"{TODAY}T00:00:00Z"}
    unknown = "f" * 64
    result = (
        await filled.query(
            metrics=["request_count"],
            dimensions=["api_key_id"],
            filters=[{"field": "api_key_id", "operator": "in", "value": [record.digest, unknown]}],
            time_range=period,
        )
    )["data"]
    some = filled.ours(TODAY - timedelta(days=20), TODAY - timedelta(days=1))
    count = sum(each.key_id == record.key_id for each in some)
    assert result["data"] == [{"api_key_id": record.name, "request_count": count}]
    assert len(result["warnings"]) == 1
    assert unknown in result["warnings"][0]


async def test_workspaces_are_shown_by_name_and_filtered_by_id(filled: Filled) -> None:
    org_id = filled.edge.org.org_id
    workspaces = (await filled.get("/workspaces"))["data"]
    names = {each["id"]: each["name"] for each in workspaces}
    assert names[org_id] != org_id
    period = {"start": f"{TODAY - timedelta(days=20)}T00:00:00Z", "end": f"{TODAY}T00:00:00Z"}
    question: dict[str, Any] = {"metrics": ["request_count"], "dimensions": ["workspace"], "time_range": period}
    some = filled.ours(TODAY - timedelta(days=20), TODAY - timedelta(days=1))
    spaces = grouped(some, lambda each: each.workspace_id or each.org_id)
    result = (await filled.query(**question))["data"]
    # Those of the events that are no longer there have their ids for names.
    assert {row["workspace"]: row["request_count"] for row in result["data"]} == {
        names.get(space, space): len(events) for space, events in spaces.items()
    }
    first = [{"field": "workspace", "operator": "eq", "value": org_id}]
    result = (await filled.query(**question, filters=first))["data"]
    assert result["data"] == [{"workspace": names[org_id], "request_count": len(spaces[org_id])}]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"metrics": []}, "metrics"),
        ({"metrics": ["no_such_metric"]}, "metrics"),
        ({"metrics": "request_count"}, "metrics"),
        ({"dimensions": ["continent"]}, "dimensions"),
        ({"dimensions": ["model", "app", "user"]}, "dimensions"),
        ({"granularity": "second"}, "granularity"),
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"order_by": {"field": "tokens_total", "direction": "asc"}}, "order_by"),
        ({"order_by": {"field": "request_count", "direction": "up"}}, "order_by.direction"),
        ({"filters": [{"field": "model", "operator": "like", "value": "%"}]}, "filters"),
        ({"filters": [{"field": "model", "operator": "eq"}]}, "filters[0]"),
        ({"time_range": {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}}, "time_range.start"),
        ({"time_range": {"start": "2026-01-01T00:00:00", "end": "2026-01-02T00:00:00"}}, "time_range.start"),
        ({"time_range": {"start": "2024-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}}, "time_range"),
        (
            {
                "metrics": ["p50_latency"],
                "time_range": {"start": "2026-01-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"},
            },
            "time_range",
        ),
        ({"classifier_dimensions": {"classifier_id": "x"}}, "classifier_dimensions"),
    ],
)
async def test_query_that_breaks_a_rule_is_refused_by_name(filled: Filled, change: dict[str, Any], param: str) -> None:
    document = await filled.query(status=400, **({"metrics": ["request_count"]} | change))
    assert document["error"]["metadata"]["param"].startswith(param)


async def test_metering_that_is_away_is_503_everywhere(tmp_path: Path, broker: BrokerProcess) -> None:
    around = Neighbours()
    around.analytics.down = around.insight.down = True
    async with edge_stack(tmp_path / "edge", broker.bootstrap, around) as edge:
        for path in (
            "/activity", "/activity/export", "/datasets/rankings-daily", "/datasets/model-rankings",
            "/datasets/app-rankings", "/datasets/market-share", "/datasets/session-cost", "/datasets/cost-effectiveness",
            "/datasets/provider-status",
        ):  # fmt: skip
            assert (await edge.call("GET", path, key=edge.management_key)).status == 503, path
        query = {"metrics": ["request_count"]}
        assert (await edge.call("POST", "/analytics/query", query, key=edge.management_key)).status == 503


async def test_question_that_takes_too_long_is_408_and_says_what_to_do(tmp_path: Path, broker: BrokerProcess) -> None:
    around = Neighbours()
    around.analytics.too_heavy = True
    async with edge_stack(tmp_path / "edge", broker.bootstrap, around) as edge:
        answer = await edge.call("POST", "/analytics/query", {"metrics": ["request_count"]}, key=edge.management_key)
    assert answer.status == 408
    error = json.loads(answer.body)["error"]
    assert error["metadata"]["error_type"] == "timeout"
    assert "shorter period" in error["message"]
