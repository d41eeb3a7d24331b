"""Activity and exports over gRPC, on a real engine, against recounts in Python."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow.parquet
import pytest

from contracts.apps import app_of
from metering.testing.usage_questions import END, EVENTS, ORG, START, Asked, Events, at, ours, refused
from turnpike.metering.v1 import analytics_service_pb2 as messages
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

SPLITS = {
    messages.ACTIVITY_SPLIT_WORKSPACE: "workspace_id",
    messages.ACTIVITY_SPLIT_KEY: "key_id",
    messages.ACTIVITY_SPLIT_MEMBER: "member_id",
    messages.ACTIVITY_SPLIT_APP: "app",
}


def activity_recount(events: Events, splits: Sequence[int]) -> list[tuple[Any, ...]]:
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 8)
    for event in events:
        if not event.endpoint_id:
            continue
        values = {
            "workspace_id": event.workspace_id or event.org_id,
            "key_id": event.key_id,
            "member_id": event.member_id,
            "app": app_of(event.http_referer, event.app_title).name,
        }
        shown = [values[name] if split in splits else "" for split, name in SPLITS.items()]
        key = (
            event.started_at.ToDatetime().strftime("%Y-%m-%d"),
            event.model,
            event.endpoint_id,
            event.provider,
            *shown,
        )
        usage = event.usage
        measures = (
            1, usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens, usage.cached_tokens,
            event.cost_nano_usd, event.provider_cost_nano_usd if event.is_byok else 0, int(event.is_byok),
        )  # fmt: skip
        for index, measure in enumerate(measures):
            sums[key][index] += measure
    rows = [(*key, *counts) for key, counts in sums.items()]
    return sorted(rows, key=lambda row: (-int(row[0].replace("-", "")), -row[13], row[1], row[2], *row[4:8]))


def activity_rows(answer: messages.QueryActivityResponse) -> list[tuple[Any, ...]]:
    return [
        (
            row.date, row.model, row.endpoint_id, row.provider, row.workspace_id, row.key_id, row.member_id, row.app,
            row.requests, row.prompt_tokens, row.completion_tokens, row.reasoning_tokens, row.cached_tokens,
            row.cost_nano_usd, row.byok_cost_nano_usd, row.byok_requests,
        )
        for row in answer.rows
    ]  # fmt: skip


@pytest.mark.parametrize("rolled_up", [False, True])
async def test_b10_activity_is_what_a_recount_gives_from_events_and_from_days(asked: Asked, rolled_up: bool) -> None:
    await asked.insert(EVENTS[:2_000])
    await asked.insert(EVENTS[1_500:], batch=1)
    if rolled_up:
        await asked.rollups.refresh()
    every: list[list[messages.ActivitySplit.ValueType]] = [[], *([split] for split in SPLITS), list(SPLITS)]
    for splits in every:
        request = messages.QueryActivityRequest(org_id=ORG, start=at(START), end=at(END), splits=splits)
        assert activity_rows(await asked.stub.QueryActivity(request)) == activity_recount(ours(), splits)


async def test_activity_of_one_key_member_workspace_or_day(asked: Asked) -> None:
    await asked.insert(EVENTS)
    await asked.rollups.refresh()
    for name in ("key_id", "member_id", "workspace_id"):
        value = getattr(next(each for each in ours() if getattr(each, name)), name)
        if name == "workspace_id":
            value = ORG  # the first workspace, to which everything else belongs
        request = messages.QueryActivityRequest(org_id=ORG, start=at(START), end=at(END), **{name: value})
        some = [each for each in ours() if (getattr(each, name) or ORG) == value]
        assert activity_rows(await asked.stub.QueryActivity(request)) == activity_recount(some, [])
    day = START + timedelta(days=2)
    request = messages.QueryActivityRequest(org_id=ORG, start=at(day), end=at(day + timedelta(days=1)))
    some = ours(start=day, end=day + timedelta(days=1))
    assert activity_rows(await asked.stub.QueryActivity(request)) == activity_recount(some, [])


async def test_b10_what_ended_in_a_period_is_what_a_recount_gives(asked: Asked) -> None:
    await asked.insert(EVENTS[:2_000])
    await asked.insert(EVENTS[1_500:], batch=1)
    # Some began before it, and some of those that began in it ended after.
    start, end = START + timedelta(seconds=1), END - timedelta(days=2)
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * 4)
    for event in EVENTS:
        if event.org_id == ORG and start <= event.ended_at.ToDatetime(UTC) < end:
            usage = event.usage
            measures = (1, usage.prompt_tokens, usage.completion_tokens, event.cost_nano_usd)
            sums[event.model] = [before + more for before, more in zip(sums[event.model], measures, strict=True)]
    by_cost = sorted(sums.items(), key=lambda item: (-item[1][3], item[0]))
    wanted = [(model, *counts) for model, counts in by_cost]
    request = messages.QueryEndedUsageRequest(org_id=ORG, start=at(start), end=at(end))
    rows = (await asked.stub.QueryEndedUsage(request)).rows
    got = [(row.model, row.generations, row.prompt_tokens, row.completion_tokens, row.cost_nano_usd) for row in rows]
    assert got == wanted
    long = messages.QueryEndedUsageRequest(org_id=ORG, start=at(END - timedelta(days=33)), end=at(END))
    assert await refused(asked.stub.QueryEndedUsage(long)) == "end"


async def test_questions_about_activity_that_break_a_rule_are_refused_by_name(asked: Asked) -> None:
    def ask(**members: Any) -> Awaitable[object]:
        good: dict[str, Any] = {"org_id": ORG, "start": at(START), "end": at(END)}
        request = messages.QueryActivityRequest(**{name: value for name, value in (good | members).items() if value})
        return asked.stub.QueryActivity(request)

    assert await refused(ask(org_id="")) == "org_id"
    assert await refused(ask(start=None)) == "start"
    assert await refused(ask(end=at(START))) == "start"
    assert await refused(ask(start=at(START + timedelta(hours=1)))) == "start"
    assert await refused(ask(start=at(START - timedelta(days=400)))) == "end"
    assert await refused(ask(splits=[77])) == "splits"


@pytest.mark.parametrize("splits", [[], [messages.ACTIVITY_SPLIT_KEY]])
async def test_activity_of_more_rows_than_an_answer_has_is_refused_whole(
    asked: Asked, engine: Any, emptied: str, splits: list[messages.ActivitySplit.ValueType]
) -> None:
    most = 50_000
    engine.client.command(f"INSERT INTO {emptied}.rollup_progress VALUES ('page_days', 1, {int(END.timestamp())}, 1)")
    request = messages.QueryActivityRequest(org_id=ORG, start=at(START), end=at(END), splits=splits)
    for first, count in ((0, most), (most, 1)):
        engine.client.command(
            f"INSERT INTO {emptied}.key_days (org_id, bucket, endpoint_id, key_id, requests)"
            f" SELECT '{ORG}', toDateTime({int(START.timestamp())}), toString(number), 'key', 1 FROM numbers({first}, {count})"
        )
        if not first:
            assert len((await asked.stub.QueryActivity(request)).rows) == most
    assert await refused(asked.stub.QueryActivity(request)) == "date"


# --- exports


async def exported(asked: Asked, form: messages.ExportFormat.ValueType) -> bytes:
    request = messages.ExportUsageRequest(org_id=ORG, start=at(START), end=at(END), format=form)
    return b"".join([piece.chunk async for piece in asked.stub.ExportUsage(request)])


def generation(event: usage_pb.UsageEvent) -> dict[str, Any]:
    """A generation as it is exported, in the order of the columns."""
    usage = event.usage
    return {
        "generation_id": event.generation_id,
        "started_at": event.started_at.ToDatetime(UTC),
        "ended_at": event.ended_at.ToDatetime(UTC),
        **{name: getattr(event, name) for name in ("model", "requested_model", "provider", "endpoint_id")},
        **{name: getattr(event, name) for name in ("key_id", "workspace_id", "member_id", "external_user")},
        "app": app_of(event.http_referer, event.app_title).name,
        "session_id": event.session_id,
        "status": usage_pb.GenerationStatus.Name(event.status).removeprefix("GENERATION_STATUS_").lower(),
        **{name: getattr(event, name) for name in ("finish_reason", "error_type", "streamed")},
        **{name: getattr(usage, name) for name in ("prompt_tokens", "completion_tokens", "reasoning_tokens")},
        **{name: getattr(usage, name) for name in ("cached_tokens", "cache_write_tokens")},
        **{name: getattr(event, name) for name in ("tool_calls", "bad_tool_calls", "is_byok")},
        "cost_usd": Decimal(event.cost_nano_usd) / 10**9,
        "provider_cost_usd": Decimal(event.provider_cost_nano_usd) / 10**9,
        **{name: getattr(event, name) for name in ("first_token_ms", "generation_ms")},
    }


def read_as(value: Any, text: str) -> Any:
    """What a cell of CSV says, in the type of a value."""
    if isinstance(value, bool):
        return {"true": True, "false": False}[text]
    return datetime.fromisoformat(text) if isinstance(value, datetime) else type(value)(text)


async def test_b10_exports_hold_every_generation_once_in_every_column(asked: Asked) -> None:
    await asked.insert(EVENTS[:2_000])
    await asked.insert(EVENTS[1_500:], batch=1)
    wanted = sorted(map(generation, ours()), key=lambda row: (row["started_at"], row["generation_id"]))
    text = (await exported(asked, messages.EXPORT_FORMAT_CSV)).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == list(wanted[0])
    assert [
        {name: read_as(value, row[name]) for name, value in each.items()}
        for row, each in zip(rows, wanted, strict=True)
    ] == wanted
    table = pyarrow.parquet.read_table(io.BytesIO(await exported(asked, messages.EXPORT_FORMAT_PARQUET))).to_pylist()
    assert table == wanted
    assert list(table[0]) == list(wanted[0])


async def test_s_text_of_a_caller_is_no_formula_in_a_spreadsheet(asked: Asked) -> None:
    event = usage_pb.UsageEvent()
    event.CopyFrom(ours()[0])
    event.external_user, event.http_referer, event.app_title = '=HYPERLINK("https://evil.example")', "", "@app"
    await asked.insert([event])
    (row,) = csv.DictReader(io.StringIO((await exported(asked, messages.EXPORT_FORMAT_CSV)).decode()))
    assert row["external_user"] == "'" + event.external_user
    assert row["app"] == "'@app"
    table = pyarrow.parquet.read_table(io.BytesIO(await exported(asked, messages.EXPORT_FORMAT_PARQUET))).to_pylist()
    assert table[0]["external_user"] == event.external_user


async def test_exports_that_break_a_rule_are_refused_by_name(asked: Asked) -> None:
    async def ask(**members: Any) -> None:
        good: dict[str, Any] = {"org_id": ORG, "start": at(START), "end": at(END), "format": messages.EXPORT_FORMAT_CSV}
        async for _ in asked.stub.ExportUsage(messages.ExportUsageRequest(**(good | members))):
            pass

    assert await refused(ask(org_id="")) == "org_id"
    assert await refused(ask(format=messages.EXPORT_FORMAT_UNSPECIFIED)) == "format"
    assert await refused(ask(start=at(END - timedelta(days=32)))) == "end"
