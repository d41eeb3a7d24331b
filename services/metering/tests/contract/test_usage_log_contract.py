"""What every UsageLog does: the double and ClickHouse, embedded and over HTTP."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.convert import usage_row_from_proto
from metering.domain.batch import BatchPlan, Progress, Span
from metering.domain.ports import UsageLog
from metering.domain.usage import Dimension, UnixMs, UsageQuestion, UsageRow, UsageTotals
from metering.testing.clickhouse_http import clickhouse_over_http
from metering.testing.memory_usage_log import MemoryUsageLog
from metering.testing.usage_events import EventFactory
from servicekit.clock import SystemClock
from turnpike.usage.v1.usage_event_pb2 import USAGE_RANK_EDGE_ESTIMATE, USAGE_RANK_ROUTER_FINAL, UsageEvent

TOPIC = "turnpike.usage.v1"
JUNE = int(datetime(2026, 6, 10, tzinfo=UTC).timestamp() * 1_000)
DAY = 86_400_000
ALL_TIME = (UnixMs(0), UnixMs(4_000_000_000_000))


@pytest.fixture
def database(emptied: str) -> str:
    return emptied


@pytest.fixture(params=["memory", "chdb", "http"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[UsageLog]:
    if request.param == "memory":
        yield MemoryUsageLog()
        return
    engine, database = request.getfixturevalue("engine"), request.getfixturevalue("database")
    async with AsyncExitStack() as stack:
        dsn = engine.dsn(database)
        if request.param == "http":
            server = await stack.enter_async_context(clickhouse_over_http(engine.path))
            dsn = f"{server}/{database}?compress=false"
        clickhouse = ClickHouseUsageLog(dsn, SystemClock(), CallLimits(), cluster=None, may_migrate=True)
        await clickhouse.start()
        yield clickhouse
        await clickhouse.stop(timedelta(seconds=1))


def plan(first: int, last: int, *, planned_at: int = 1, partition: int = 0, cluster_id: str = "c") -> BatchPlan:
    return BatchPlan(cluster_id, TOPIC, (Span(partition, first, last),), UnixMs(planned_at))


def row(event: UsageEvent) -> UsageRow:
    return usage_row_from_proto(event)


async def total(log: UsageLog, org_id: str) -> UsageTotals:
    (answer,) = await log.totals(UsageQuestion(org_id, *ALL_TIME, Dimension.TOTAL))
    return answer


async def test_row_comes_back_as_it_went_in(log: UsageLog, example_events: dict[str, UsageEvent]) -> None:
    rows = [row(event) for event in example_events.values()]
    await log.append(plan(0, len(rows) - 1), rows)

    for stored in rows:
        assert await log.find(stored.org_id, stored.generation_id) == stored


async def test_generation_of_another_organisation_or_of_none_is_not_found(
    log: UsageLog, new_event: EventFactory
) -> None:
    event = new_event(org_id="org-a")
    await log.append(plan(0, 0), [row(event)])

    assert await log.find("org-b", event.generation_id) is None
    assert await log.find("org-a", new_event().generation_id) is None
    assert await log.find("org-a", "not-an-id") is None


async def test_b04_batch_that_is_repeated_under_its_token_is_not_inserted_again(
    log: UsageLog, new_event: EventFactory, count: Callable[..., int]
) -> None:
    rows = [row(new_event(org_id="org")) for _ in range(2_500)]
    for _ in range(3):
        await log.append(plan(0, 2_499), rows)

    assert (await total(log, "org")).requests == 2_500
    assert (len(log.rows) if isinstance(log, MemoryUsageLog) else count()) == 2_500


# Not of the double: it is where its rows are.
@pytest.mark.parametrize("log", ["chdb", "http"], indirect=True)
async def test_rows_that_are_in_the_store_are_held_by_nobody(log: UsageLog, new_event: EventFactory) -> None:
    rows = [row(new_event()) for _ in range(3)]
    before = [sys.getrefcount(each) for each in rows]
    gc.disable()
    try:
        await log.append(plan(0, 2), rows)
        assert [sys.getrefcount(each) for each in rows] == before
    finally:
        gc.enable()


async def test_b07_event_that_came_in_two_batches_counts_once(log: UsageLog, new_event: EventFactory) -> None:
    rows = [row(new_event(org_id="org")) for _ in range(5)]
    await log.append(plan(0, 2, planned_at=1), rows[:3])
    await log.append(plan(1, 4, planned_at=2), rows[1:])
    await log.append(plan(0, 4, planned_at=3), rows)

    assert (await total(log, "org")) == UsageTotals(
        "", 5, 5 * 1200, 5 * 345, 5 * 45, sum(row.cost_nano_usd for row in rows)
    )


@pytest.mark.parametrize("final_first", [True, False])
async def test_of_two_ranks_the_higher_one_counts_whichever_came_first(
    log: UsageLog, new_event: EventFactory, final_first: bool
) -> None:
    final = new_event(org_id="org", rank=USAGE_RANK_ROUTER_FINAL)
    estimate = UsageEvent()
    estimate.CopyFrom(final)
    estimate.rank = USAGE_RANK_EDGE_ESTIMATE
    estimate.cost_nano_usd = 1
    events = [final, estimate] if final_first else [estimate, final]
    for index, event in enumerate(events):
        await log.append(plan(index, index, planned_at=index), [row(event)])

    assert await log.find("org", final.generation_id) == row(final)
    assert (await total(log, "org")).cost_nano_usd == final.cost_nano_usd


async def test_b03_sum_of_large_costs_is_exact(log: UsageLog, new_event: EventFactory) -> None:
    largest = 4_000_000_000_000_000_001
    rows = [row(new_event(org_id="org", cost_nano_usd=largest)) for _ in range(3)]
    await log.append(plan(0, 2), rows)

    assert (await total(log, "org")).cost_nano_usd == 3 * largest


async def test_usage_adds_up_by_model_and_key_with_the_largest_cost_first(
    log: UsageLog, new_event: EventFactory
) -> None:
    rows = [
        row(new_event(org_id="org", model="b/small", key_id="k1", completion_tokens=100)),
        row(new_event(org_id="org", model="a/large", key_id="k1", completion_tokens=900)),
        row(new_event(org_id="org", model="b/small", key_id="k2", completion_tokens=100)),
        row(new_event(org_id="org", model="c/same", key_id="k2", completion_tokens=900)),
        row(new_event(org_id="another", model="a/large", key_id="k3")),
    ]
    await log.append(plan(0, 4), rows)

    models = await log.totals(UsageQuestion("org", *ALL_TIME, Dimension.MODEL))
    keys = await log.totals(UsageQuestion("org", *ALL_TIME, Dimension.KEY))
    assert [(t.value, t.requests, t.completion_tokens) for t in models] == [
        ("a/large", 1, 900),
        ("c/same", 1, 900),
        ("b/small", 2, 200),
    ]
    assert [(t.value, t.requests, t.completion_tokens) for t in keys] == [("k1", 2, 1000), ("k2", 2, 1000)]


async def test_usage_by_day_is_in_order_and_bounded_by_the_period(log: UsageLog, new_event: EventFactory) -> None:
    starts = [JUNE - 1, JUNE, JUNE + DAY - 1, JUNE + 3 * DAY, JUNE + 40 * DAY, JUNE + 41 * DAY]
    rows = [row(new_event(org_id="org", started_at_ms=start)) for start in starts]
    await log.append(plan(0, 5), rows)

    days = await log.totals(UsageQuestion("org", UnixMs(JUNE), UnixMs(JUNE + 41 * DAY), Dimension.DAY))
    assert [(day.value, day.requests) for day in days] == [("2026-06-10", 2), ("2026-06-13", 1), ("2026-07-20", 1)]


async def test_no_usage_is_one_row_of_zeros_in_total_and_none_by_model(log: UsageLog) -> None:
    assert await total(log, "org") == UsageTotals("", 0, 0, 0, 0, 0)
    assert await log.totals(UsageQuestion("org", *ALL_TIME, Dimension.MODEL)) == []


async def test_text_of_callers_is_data_and_never_sql(log: UsageLog, new_event: EventFactory) -> None:
    nasty = "o'; DROP TABLE usage_events; -- \\ {org_id:String} \t\n\u0000 é"
    event = new_event(org_id=nasty, model=nasty, app_title=nasty)
    await log.append(plan(0, 0), [row(event)])
    (by_model,) = await log.totals(UsageQuestion(nasty, *ALL_TIME, Dimension.MODEL))

    assert await log.find(nasty, event.generation_id) == row(event)
    assert by_model.value == nasty


async def test_progress_is_the_latest_batch_of_each_partition_in_this_cluster(log: UsageLog) -> None:
    both = BatchPlan("c", TOPIC, (Span(0, 0, 9), Span(3, 0, 4)), UnixMs(1))
    later = plan(10, 19, planned_at=2)
    await log.plan(both)
    assert await log.progress("c", TOPIC) == [Progress(0, both, done=False), Progress(3, both, done=False)]
    await log.complete(both)
    await log.plan(later)
    await log.plan(plan(0, 99, planned_at=9, cluster_id="another"))

    assert await log.progress("c", TOPIC) == [Progress(0, later, done=False), Progress(3, both, done=True)]
    # Who took partition 3 over ends the batch once more: partition 0 has gone on.
    await log.complete(both)
    await log.plan(both)
    assert await log.progress("c", TOPIC) == [Progress(0, later, done=False), Progress(3, both, done=True)]
    await log.complete(later)
    assert await log.progress("c", TOPIC) == [Progress(0, later, done=True), Progress(3, both, done=True)]
    assert await log.progress("c", "another.topic") == []


async def test_batch_without_a_valid_event_can_be_completed(log: UsageLog) -> None:
    bounds = plan(0, 0)
    await log.plan(bounds)
    await log.append(bounds, [])
    await log.complete(bounds)

    assert await log.progress("c", TOPIC) == [Progress(0, bounds, done=True)]
