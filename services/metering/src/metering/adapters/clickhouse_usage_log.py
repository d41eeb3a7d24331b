"""Usage events in ClickHouse: the same statements for chDB and for a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from contracts.ids import parse_generation_id, usage_event_id
from metering.adapters.clickhouse_calls import CallLimits, ClickHouseCalls
from metering.adapters.clickhouse_layout import CLUSTER_SETTINGS
from metering.adapters.clickhouse_schema import Migration, is_behind, migrate, packaged_migrations, verify
from metering.adapters.clickhouse_turn import in_turn
from metering.domain.batch import BatchPlan, Progress, Span
from metering.domain.usage import AttemptRow, Dimension, UnixMs, UsageQuestion, UsageRow, UsageTotals
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - the driver gives UTC without a zone
_MS: Final = timedelta(milliseconds=1)
_MAX_ROWS: Final = 10_000  # of an answer

# The generation's id says when it was named, at most clock skew before it started: a day on either side lets the primary
# key find it. Ordered by rank instead of FINAL, which would merge every part of the period for one row.
_FIND: Final = """
SELECT * FROM usage_events
WHERE org_id = {org_id:String} AND event_id = {event_id:UUID} AND generation_id = {generation_id:String}
  AND started_at >= fromUnixTimestamp64Milli({earliest:Int64}, 'UTC')
  AND started_at < fromUnixTimestamp64Milli({latest:Int64}, 'UTC')
ORDER BY rank DESC, ingested_at DESC
LIMIT 1
"""
_DAY_S: Final = 86_400

_TOTALS: Final = """
SELECT
    multiIf(
        {dimension:String} = 'model', toString(model),
        {dimension:String} = 'key', key_id,
        {dimension:String} = 'day', toString(toDate(started_at, 'UTC')),
        ''
    ) AS value,
    count() AS requests,
    sum(toInt128(prompt_tokens)) AS prompt,
    sum(toInt128(completion_tokens)) AS completion,
    sum(toInt128(reasoning_tokens)) AS reasoning,
    sum(toInt128(cost_nano_usd)) AS cost
FROM usage_events FINAL
WHERE org_id = {org_id:String}
  AND started_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND started_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
GROUP BY value
ORDER BY if({dimension:String} = 'day', value, ''), cost DESC, value
LIMIT {limit:UInt32}
"""
# Versions of a row never lie in two months: started_at is the same in all of them.
_FINAL: Final = {"do_not_merge_across_partitions_select_final": 1}

_PROGRESS: Final = """
SELECT partition, first_offset, last_offset, planned_at, done, spans
FROM ingest_batches FINAL
WHERE cluster_id = {cluster_id:String} AND topic = {topic:String}
ORDER BY partition
"""

_BATCH_COLUMNS: Final = {
    "cluster_id": "String",
    "topic": "LowCardinality(String)",
    "partition": "UInt32",
    "first_offset": "Int64",
    "last_offset": "Int64",
    "planned_at": "Int64",
    "token": "String",
    "spans": "Array(Tuple(partition UInt32, first Int64, last Int64))",
    "done": "Bool",
    "version": "UInt64",
}


class ClickHouseUsageLog(Component):
    """The UsageLog on ClickHouse. Starting opens the store and brings its tables up to date."""

    name = "usage-log"

    def __init__(self, dsn: str, clock: Clock, limits: CallLimits, *, cluster: str | None, may_migrate: bool) -> None:
        """Prepare; `start` connects.

        Args:
            dsn: `chdb:///path` or `http(s)://user:password@host:port/database`.
            clock: paces the attempts to connect.
            limits: of calls.
            cluster: the ClickHouse cluster on which tables are replicated; None for a single server.
            may_migrate: whether to run pending migrations; otherwise they are an error.
        """
        self._calls = ClickHouseCalls(dsn, clock, limits, CLUSTER_SETTINGS if cluster else {})
        self._clock = clock
        self._cluster = cluster
        self._may_migrate = may_migrate
        self._column_types: list[str] = []
        self._ready = False

    @property
    def calls(self) -> ClickHouseCalls:
        """The way to the store, for others who ask it while this is open."""
        return self._calls

    @property
    def is_ready(self) -> bool:
        """Whether the tables are there."""
        return self._ready

    async def start(self) -> None:
        """Open the store and migrate.

        Raises:
            UsageLogUnavailableError: the store could not be opened.
            SchemaError: the tables are not those of this version, and must not be touched.
        """
        await self._calls.open()
        await self._calls.patiently(self._prepare)
        self._ready = True

    async def _prepare(self) -> None:
        migrations = packaged_migrations()
        if self._may_migrate:
            await self._migrate(migrations)
        else:
            await self._calls.step(lambda client: verify(client, migrations))
        self._column_types = await self._calls.step(_column_types)

    async def _migrate(self, migrations: Sequence[Migration]) -> None:
        async def run() -> list[str]:
            return await self._calls.step(lambda client: migrate(client, migrations, self._cluster))

        applied: list[str] = []
        if await self._calls.step(lambda client: is_behind(client, migrations, self._cluster)):
            # An embedded engine is this process's alone.
            alone = self._calls.embedded
            applied = await (run() if alone else in_turn(self._calls, self._clock, self._cluster, run))
        _log.info("schema.migrated", applied=applied)

    async def stop(self, grace: timedelta) -> None:
        """Let the store go."""
        self._ready = False
        await self._calls.close()

    def in_flight(self) -> int:
        """Calls that run or wait."""
        return self._calls.pending

    async def progress(self, cluster_id: str, topic: str) -> Sequence[Progress]:
        """Give the latest batch of each partition of a topic."""
        parameters = {"cluster_id": cluster_id, "topic": topic}
        rows = await self._calls.step(lambda client: client.query(_PROGRESS, parameters).result_rows)
        return [
            # Batches of before had one partition, and no spans.
            Progress(
                partition, BatchPlan(cluster_id, topic, _spans(spans) or (Span(partition, first, last),), at), done
            )
            for partition, first, last, at, done, spans in rows
        ]

    async def plan(self, plan: BatchPlan) -> None:
        """Write the bounds of a batch down, for all its partitions at once."""
        await self._calls.step(lambda client: _write_batch(client, plan, done=False))

    async def append(self, plan: BatchPlan, rows: Sequence[UsageRow]) -> None:
        """Insert the rows of a batch under its token."""
        if not rows:
            return
        # Nonsense times are refused before, so that the number of months is bounded; the limit is for accidents in SQL.
        # Looking for versions of one event within a batch costs the engine four times what writing it does; FINAL finds them.
        settings = {
            "insert_deduplication_token": plan.token,
            "max_partitions_per_insert_block": 0,
            "optimize_on_insert": 0,
        }
        types = self._column_types

        def insert(client: Client) -> None:
            # The driver's record of an insert is in a cycle with itself, and would keep the rows until the collector finds them:
            # that was 13 of the 57 us that an event cost.
            given = list(rows)
            try:
                client.insert(
                    "usage_events", given, column_names=UsageRow._fields, column_type_names=types, settings=settings
                )
            finally:
                given.clear()

        await self._calls.step(insert)

    async def complete(self, plan: BatchPlan) -> None:
        """Write down that a batch is inserted. Partitions that are part of a later one stay there."""
        await self._calls.step(lambda client: _write_batch(client, plan, done=True))

    async def find(self, org_id: str, generation_id: str) -> UsageRow | None:
        """Give the event of a generation of this organisation, of the highest rank."""
        try:
            named_at_s = int(parse_generation_id(generation_id).split("-")[1])
        except ValueError:
            return None
        parameters = {
            "org_id": org_id,
            "event_id": usage_event_id(generation_id),
            "generation_id": generation_id,
            "earliest": (named_at_s - _DAY_S) * 1_000,
            "latest": (named_at_s + _DAY_S) * 1_000,
        }
        rows = await self._calls.ask(lambda client: list(client.query(_FIND, parameters).named_results()))
        return _row_from_result(rows[0]) if rows else None

    async def totals(self, question: UsageQuestion) -> Sequence[UsageTotals]:
        """Add usage up, each event once: largest cost first, days in order, one row for the total."""
        parameters = {
            "org_id": question.org_id,
            "start": question.start,
            "end": question.end,
            "dimension": question.dimension.value,
            "limit": _MAX_ROWS,
        }
        rows = await self._calls.ask(lambda client: client.query(_TOTALS, parameters, settings=_FINAL).result_rows)
        if not rows and question.dimension is Dimension.TOTAL:
            return [UsageTotals("", 0, 0, 0, 0, 0)]
        return [UsageTotals(*row) for row in rows]


def _column_types(client: Client) -> list[str]:
    """Ask once for the types of the columns; otherwise the driver asks before every insert."""
    types = {name: kind for name, kind, *_ in client.query("DESCRIBE TABLE usage_events").result_rows}
    return [types[name] for name in UsageRow._fields]


def _write_batch(client: Client, plan: BatchPlan, *, done: bool) -> None:
    rows = [
        (
            plan.cluster_id,
            plan.topic,
            span.partition,
            span.first,
            span.last,
            plan.planned_at,
            plan.token,
            plan.spans,
            done,
            # A later batch replaces an earlier one, and `done` replaces the plan of its batch.
            2 * plan.planned_at + done,
        )
        for span in plan.spans
    ]
    names, types = list(_BATCH_COLUMNS), list(_BATCH_COLUMNS.values())
    client.insert("ingest_batches", rows, column_names=names, column_type_names=types)


def _spans(values: Sequence[Mapping[str, int]]) -> tuple[Span, ...]:
    return tuple(Span(**value) for value in values)


def _row_from_result(values: Mapping[str, Any]) -> UsageRow:
    """Make a row of a result, whatever columns a later version added."""
    fields = {name: values[name] for name in UsageRow._fields}
    fields["event_id"] = str(values["event_id"])
    fields["started_at"] = _unix_ms(values["started_at"])
    fields["ended_at"] = _unix_ms(values["ended_at"])
    fields["attempts"] = tuple(AttemptRow(**attempt) for attempt in values["attempts"])
    fields["app_categories"] = tuple(values["app_categories"])
    return UsageRow(**fields)


def _unix_ms(at: datetime) -> UnixMs:
    return UnixMs((at - _EPOCH) // _MS)
