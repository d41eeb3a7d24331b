"""Who changes the tables, where several start at once: over HTTP, on a real engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import clickhouse_connect
import pytest

from metering.adapters.clickhouse_calls import CallLimits, ClickHouseCalls
from metering.adapters.clickhouse_schema import packaged_migrations
from metering.adapters.clickhouse_turn import SILENCE, in_turn
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.domain.errors import SchemaError
from metering.testing.clickhouse_http import clickhouse_over_http
from servicekit.clock import SystemClock
from servicekit.testing.service_process import eventually as in_time

CLOCK = SystemClock()


@pytest.fixture
async def dsn(engine: Any, database: str) -> AsyncIterator[str]:
    async with clickhouse_over_http(engine.path) as server:
        yield f"{server}/{database}?compress=false"


@pytest.fixture
async def calls(dsn: str) -> AsyncIterator[ClickHouseCalls]:
    opened = ClickHouseCalls(dsn, CLOCK, CallLimits())
    await opened.open()
    yield opened
    await opened.close()


async def rows(calls: ClickHouseCalls, query: str) -> list[Any]:
    return await calls.step(lambda client: list(client.query(query).result_rows))


async def numbers(calls: ClickHouseCalls) -> list[Any]:
    """The turns so far, and whether each is over."""
    return await rows(calls, "SELECT number, max(ended) FROM schema_turns GROUP BY number ORDER BY number")


async def test_three_that_start_at_once_migrate_once(dsn: str, calls: ClickHouseCalls) -> None:
    logs = [ClickHouseUsageLog(dsn, CLOCK, CallLimits(), cluster=None, may_migrate=True) for _ in range(3)]
    await asyncio.gather(*(log.start() for log in logs))
    for log in logs:
        await log.stop(timedelta(seconds=1))

    ran = await rows(calls, "SELECT name FROM schema_migrations ORDER BY version")  # not FINAL: twice would be seen
    assert [name for (name,) in ran] == [migration.name for migration in packaged_migrations()]
    ((key,),) = await rows(
        calls, "SELECT partition_key FROM system.tables WHERE database = currentDatabase() AND name = 'usage_events'"
    )
    assert "toYYYYMMDD" in key  # tables that changed places twice would be where they were
    turns = await numbers(calls)
    assert turns == [(number, True) for number in range(1, len(turns) + 1)]
    assert 1 <= len(turns) <= len(logs)


async def test_a_turn_is_one_holders_until_its_end(calls: ClickHouseCalls) -> None:
    held: list[str] = []

    async def take(name: str) -> None:
        async def work() -> None:
            held.append(name)
            await asyncio.sleep(0.05)
            held.append(name)

        await in_turn(calls, CLOCK, None, work)

    await asyncio.gather(*(take(name) for name in "abcd"))
    assert sorted(held[::2]) == list("abcd")
    assert held[::2] == held[1::2]


async def test_what_fails_ends_its_turn(calls: ClickHouseCalls) -> None:
    async def fail() -> None:
        raise SchemaError("broken")

    for _ in range(2):
        with pytest.raises(SchemaError, match="broken"):
            await in_turn(calls, CLOCK, None, fail)
    assert await numbers(calls) == [(1, True), (2, True)]


async def test_one_that_is_gone_holds_up_nobody_for_long(calls: ClickHouseCalls) -> None:
    await in_turn(calls, CLOCK, None, partial(numbers, calls))
    gone = f"(2, 'gone', false, now64(3) - INTERVAL {int(SILENCE.total_seconds()) + 1} SECOND)"
    await calls.step(
        lambda client: client.command(f"INSERT INTO schema_turns (number, holder, ended, at) VALUES {gone}")
    )

    assert await in_turn(calls, CLOCK, None, partial(numbers, calls)) == [(1, True), (2, False), (3, False)]


async def test_one_that_is_heard_of_is_waited_for(calls: ClickHouseCalls) -> None:
    while_first: list[Any] = []

    async def first() -> None:
        await asyncio.sleep(1.5)
        while_first.extend(await numbers(calls))

    async def second() -> None:
        async def has_begun() -> bool:
            return tuple(await rows(calls, "EXISTS TABLE schema_turns")) == ((1,),) and bool(await numbers(calls))

        await in_time(has_begun, "the first one has its turn")
        await in_turn(calls, CLOCK, None, partial(numbers, calls))

    await asyncio.gather(in_turn(calls, CLOCK, None, first), second())
    assert while_first == [(1, False)]
    assert await numbers(calls) == [(1, True), (2, True)]


async def test_a_store_that_goes_away_during_a_start_is_waited_for(
    engine: Any, database: str, unused_tcp_port: int
) -> None:
    address = f"http://127.0.0.1:{unused_tcp_port}/{database}?compress=false"
    log = ClickHouseUsageLog(address, CLOCK, CallLimits(), cluster=None, may_migrate=True)

    def say(*, ended: bool) -> None:
        client = clickhouse_connect.get_client(dsn=engine.dsn(database))
        client.insert("schema_turns", [(1, "other", ended)], column_names=["number", "holder", "ended"])
        client.close()

    async with asyncio.TaskGroup() as tasks:
        async with clickhouse_over_http(engine.path, unused_tcp_port):
            calls = ClickHouseCalls(address, CLOCK, CallLimits())
            await calls.open()
            await in_turn(calls, CLOCK, None, partial(numbers, calls))
            await calls.step(lambda client: client.command("TRUNCATE TABLE schema_turns"))
            await calls.close()
            say(ended=False)
            starting = tasks.create_task(log.start())
            await asyncio.sleep(1.0)
        await asyncio.sleep(1.0)
        assert not starting.done()
        say(ended=True)
        async with clickhouse_over_http(engine.path, unused_tcp_port):
            await starting
            await log.stop(timedelta(seconds=1))
