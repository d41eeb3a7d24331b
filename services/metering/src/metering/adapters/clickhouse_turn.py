"""One instance at a time changes the tables.

Two that start on an empty database would run the same migrations at once: the second `ADD COLUMN` fails, and tables that change
places twice are where they were. ClickHouse has no lock for clients, but it takes an insert once under its token, on one
server and on a replicated table: whose row is there under the next number has the turn. A turn is over when its holder says
so, or has not been heard of for a while. Times are the store's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from metering.adapters.clickhouse_calls import ClickHouseCalls
from metering.adapters.clickhouse_layout import filled
from metering.domain.errors import UsageLogUnavailableError
from servicekit.clock import Clock
from servicekit.interruption import Interruption
from servicekit.logs import get_logger

_log = get_logger(__name__)

T = TypeVar("T")

SILENCE: Final = timedelta(seconds=15)
"""After which a holder counts as gone."""

_BEAT_S: Final = 3.0
_LOOK_S: Final = 0.5

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS schema_turns {on_cluster}
(
    number UInt64,
    holder String,
    ended Bool,
    at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {engine_prefix}ReplacingMergeTree(at)
ORDER BY (number, ended)
SETTINGS non_replicated_deduplication_window = 1000
"""
_LATEST: Final = """
SELECT number, holder, max(ended), dateDiff('millisecond', max(at), now64(3)) FROM schema_turns
GROUP BY number, holder ORDER BY number DESC LIMIT 1
"""


class _Turn(NamedTuple):
    number: int
    holder: str
    ended: bool
    silent_ms: int


_NOBODY: Final = _Turn(0, "", True, 0)


async def in_turn(
    calls: ClickHouseCalls, clock: Clock, cluster: str | None, work: Callable[[], Coroutine[Any, Any, T]]
) -> T:
    """Wait for the turn, and keep it for as long as the work takes.

    Args:
        calls: to the store, which must answer two at a time.
        clock: paces the looks and the signs of life.
        cluster: name of the cluster; None for a single server.
        work: what nobody else may do meanwhile. What it raises is raised.

    Raises:
        UsageLogUnavailableError: the store cannot be reached.
    """
    holder = str(uuid4())
    await calls.step(lambda client: client.command(filled(_CREATE, cluster)))
    number = await _wait(calls, clock, holder)
    over = Interruption()

    async def working() -> T:
        try:
            return await work()
        finally:
            over.happen()

    async def beating() -> None:
        while (await over.guard(clock.sleep(_BEAT_S))).done:
            try:
                await calls.step(partial(_say, number=number, holder=holder, ended=False))
            except UsageLogUnavailableError as error:
                _log.warning("schema.turn_silent", reason=str(error))

    try:
        result, _ = await asyncio.gather(working(), beating())
        return result
    finally:
        await calls.step(partial(_say, number=number, holder=holder, ended=True))


async def _wait(calls: ClickHouseCalls, clock: Clock, holder: str) -> int:
    awaited = None
    while True:
        turn = await calls.step(_latest)
        if turn.holder == holder:  # a replica that had not seen our row before
            return turn.number
        if turn.ended or timedelta(milliseconds=turn.silent_ms) > SILENCE:
            await calls.step(partial(_claim, number=turn.number + 1, holder=holder))
            if (await calls.step(_latest)).holder == holder:
                return turn.number + 1
        elif turn.number != awaited:
            awaited = turn.number
            _log.info("schema.turn_awaited", holder=turn.holder)
        await clock.sleep(_LOOK_S)


def _latest(client: Client) -> _Turn:
    rows = client.query(_LATEST).result_rows
    return _Turn(*rows[0]) if rows else _NOBODY


def _claim(client: Client, number: int, holder: str) -> None:
    _insert(client, number, holder, ended=False, settings={"insert_deduplication_token": f"turn-{number}"})


def _say(client: Client, number: int, holder: str, *, ended: bool) -> None:
    _insert(client, number, holder, ended=ended, settings={"insert_deduplicate": 0})


def _insert(client: Client, number: int, holder: str, *, ended: bool, settings: dict[str, str | int]) -> None:
    client.insert(
        "schema_turns", [(number, holder, ended)], column_names=["number", "holder", "ended"], settings=settings
    )
