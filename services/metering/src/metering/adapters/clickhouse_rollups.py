"""Rollups in ClickHouse, made by statements that the store runs by itself: no row leaves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from metering.adapters.clickhouse_calls import ClickHouseCalls
from metering.adapters.rollup_statements import REBUILD, TOUCHED
from metering.domain.rollups import RULES, Rollup, RollupProgress, UnixSeconds

_NOW: Final = "SELECT toUnixTimestamp(now())"
_PROGRESS: Final = "SELECT seen_until, closed_until FROM rollup_progress FINAL WHERE rollup = {rollup:String}"
# What is older than a rollup keeps is dropped as it is inserted, so it need not be added up.
_KEPT_S: Final = {
    Rollup.ENDPOINT_MINUTES: 34 * 86_400,
    Rollup.USAGE_HOURS: 99 * 86_400,
    Rollup.USAGE_DAYS: 799 * 86_400,
    Rollup.PAGE_DAYS: 799 * 86_400,
}
_COLUMNS: Final = ("rollup", "seen_until", "closed_until", "version")
_TYPES: Final = ("LowCardinality(String)", "Int64", "Int64", "UInt64")
_MICROSECONDS: Final = 10**6
# Versions of a row never lie in two months, as its time is the same in all of them. A rebuild may take longer than a
# question that somebody waits for.
_SETTINGS: Final[dict[str, Any]] = {
    "do_not_merge_across_partitions_select_final": 1,
    "use_skip_indexes_if_final": 1,
    "max_execution_time": 120,
    "optimize_on_insert": 0,  # what was grouped has no two rows of a key
}


class ClickHouseRollups:
    """The RollupStore on ClickHouse."""

    def __init__(self, calls: ClickHouseCalls) -> None:
        self._calls = calls

    async def now(self) -> UnixSeconds:
        """Tell the store's time."""
        rows = await self._calls.step(lambda client: client.query(_NOW).result_rows)
        return UnixSeconds(rows[0][0])

    async def progress(self, rollup: Rollup) -> RollupProgress:
        """Tell how far a rollup has come."""
        parameters = {"rollup": rollup.value}
        rows = await self._calls.step(lambda client: client.query(_PROGRESS, parameters).result_rows)
        return RollupProgress(*rows[0]) if rows else RollupProgress(UnixSeconds(0), UnixSeconds(0))

    async def touched(
        self, rollup: Rollup, since: UnixSeconds, closed: tuple[UnixSeconds, UnixSeconds], until: UnixSeconds
    ) -> Sequence[UnixSeconds]:
        """List the buckets with news, and those that are over since the last look."""
        parameters = {
            "since": max(since, 0),
            "closed_from": closed[0],
            "closed_to": closed[1],
            "until": until,
            "oldest": max(until - _KEPT_S[rollup], 0),
        }
        rows = await self._calls.step(
            lambda client: client.query(TOUCHED[rollup], parameters, settings=_SETTINGS).result_rows
        )
        return [UnixSeconds(row[0]) for row in rows]

    async def rebuild(self, rollup: Rollup, buckets: Sequence[UnixSeconds]) -> None:
        """Add buckets up anew."""
        if not buckets:
            return
        parameters = {
            "buckets": list(buckets),
            "first": min(buckets),
            "last": max(buckets) + RULES[rollup].seconds,
        }
        for statement in REBUILD[rollup]:
            await self._calls.step(partial(_command, statement=statement, parameters=parameters))

    async def advance(self, rollup: Rollup, progress: RollupProgress) -> None:
        """Write down how far a rollup has come. Of two instances the one that is further ahead counts."""
        row = (rollup.value, *progress, progress.seen_until * _MICROSECONDS)
        await self._calls.step(
            lambda client: client.insert("rollup_progress", [row], column_names=_COLUMNS, column_type_names=_TYPES)
        )


def _command(client: Client, statement: str, parameters: Mapping[str, Any]) -> None:
    client.command(statement, dict(parameters), settings=_SETTINGS)
