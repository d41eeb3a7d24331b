"""Activity and exports over gRPC, on a real engine, against recounts in Python."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from datetime import UTC, timedelta
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


# --- exports


async def exported(asked: Asked, form: messages.ExportFormat.ValueType) -> bytes:
    request = messages.ExportUsageRequest(org_id=ORG, start=at(START), end=at(END), format=form)
    return b"".join([piece.chunk async for piece in asked.stub.ExportUsage(request)])


async def test_exports_hold_every_generation_once_with_its_exact_charge(asked: Asked) -> None:
    await asked.insert(EVENTS[:2_000])
    await asked.insert(EVENTS[1_500:], batch=1)
    wanted = sorted(
        (each.generation_id, Decimal(each.cost_nano_usd) / 10**9, each.usage.prompt_tokens) for each in ours()
    )
    text = (await exported(asked, messages.EXPORT_FORMAT_CSV)).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted((row["generation_id"], Decimal(row["cost_usd"]), int(row["prompt_tokens"])) for row in rows) == wanted
    table = pyarrow.parquet.read_table(io.BytesIO(await exported(asked, messages.EXPORT_FORMAT_PARQUET))).to_pylist()
    assert sorted((row["generation_id"], row["cost_usd"], row["prompt_tokens"]) for row in table) == wanted
    assert list(table[0]) == list(rows[0])
    assert [row["started_at"] for row in table] == sorted(row["started_at"] for row in table)


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
