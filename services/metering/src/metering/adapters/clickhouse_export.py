"""Usage events of an organisation as a file, a few minutes of usage at a time.

One question for a whole file would hold all of it in memory, here or in the embedded engine, and that engine for as long.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from pyarrow.parquet import ParquetWriter

from metering.adapters.clickhouse_calls import ClickHouseCalls
from metering.domain.export import ExportFormat
from metering.domain.usage import UnixMs

# Rows of one question, unless a single minute has more: some 6 MB of CSV.
_SLICE_ROWS: Final = 20_000

_WHERE: Final = """
FROM usage_events FINAL
WHERE org_id = {org_id:String}
  AND started_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND started_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
"""
# Versions of an event that the store has not merged yet make a slice smaller, which is no harm.
_MINUTES: Final = (
    "SELECT toInt64(toUnixTimestamp(toStartOfMinute(started_at))) * 1000 AS minute, count()"
    + _WHERE.replace("FINAL", "")
    + "GROUP BY minute ORDER BY minute"
)
_ROWS: Final = (
    """
SELECT
    generation_id, started_at, ended_at, toString(model) AS model, word(requested_model) AS requested_model,
    toString(provider) AS provider, toString(endpoint_id) AS endpoint_id, key_id, workspace_id, member_id,
    word(external_user) AS external_user, word(app) AS app, word(session_id) AS session_id, toString(status) AS status,
    toString(finish_reason) AS finish_reason, toString(error_type) AS error_type, streamed, prompt_tokens, completion_tokens,
    reasoning_tokens, cached_tokens, cache_write_tokens, tool_calls, bad_tool_calls, is_byok,
    toDecimal128(cost_nano_usd, 9) / 1000000000 AS cost_usd,
    toDecimal128(provider_cost_nano_usd, 9) / 1000000000 AS provider_cost_usd,
    first_token_ms, generation_ms
"""
    + _WHERE
    + "ORDER BY started_at, generation_id"
)
# A spreadsheet takes a text that begins so for a formula and would run it; a caller chooses these texts.
_PLAIN: Final = r"WITH (text -> if(match(text, '^[=+@\t\r-]'), concat('''', text), text)) AS word "
_AS_IT_IS: Final = "WITH (text -> text) AS word "
_SETTINGS: Final = {
    "do_not_merge_across_partitions_select_final": 1,
    "use_skip_indexes_if_final": 1,
    "date_time_output_format": "iso",
}


class ClickHouseUsageExport:
    """The UsageExport on ClickHouse."""

    def __init__(self, calls: ClickHouseCalls, slice_rows: int = _SLICE_ROWS) -> None:
        """Make it.

        Args:
            calls: of the store.
            slice_rows: of one question, unless a single minute has more.
        """
        self._calls = calls
        self._slice_rows = slice_rows

    async def export(self, org_id: str, start: UnixMs, end: UnixMs, form: ExportFormat) -> AsyncIterator[bytes]:
        """Write the events of a period."""
        period = {"org_id": org_id, "start": start, "end": end}
        minutes = await self._calls.ask(lambda client: client.query(_MINUTES, period, settings=_SETTINGS).result_rows)
        file: _File = _CsvFile() if form is ExportFormat.CSV else _ParquetFile()
        for first, after in _slices(minutes, start, end, self._slice_rows):
            yield await self._calls.ask(_piece(file, period | {"start": first, "end": after}))
        yield file.end()


def _slices(minutes: Iterable[Sequence[int]], start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut a period, at minutes, into what has at most so many rows. All of it is in some slice, with rows or without."""
    first, rows = start, 0
    for minute, count in minutes:
        if rows and rows + count > most:
            yield first, minute
            first, rows = minute, 0
        rows += count
    yield first, end


def _piece(file: _File, parameters: dict[str, Any]) -> Callable[[Client], bytes]:
    return lambda client: file.piece(client, parameters)


class _File(Protocol):
    def piece(self, client: Client, parameters: dict[str, Any]) -> bytes:
        """Write the events of a slice."""
        ...

    def end(self) -> bytes:
        """Write what is left."""
        ...


class _CsvFile:
    def __init__(self) -> None:
        self._format = "CSVWithNames"

    def piece(self, client: Client, parameters: dict[str, Any]) -> bytes:
        rows: bytes = client.raw_query(_PLAIN + _ROWS, parameters, settings=_SETTINGS, fmt=self._format)
        self._format = "CSV"
        return rows

    def end(self) -> bytes:
        return b""


class _ParquetFile:
    """Every slice is a row group."""

    def __init__(self) -> None:
        self._written = _Written()
        self._writer: ParquetWriter | None = None

    def piece(self, client: Client, parameters: dict[str, Any]) -> bytes:
        table = client.query_arrow(_AS_IT_IS + _ROWS, parameters, settings=_SETTINGS, use_strings=True)
        if self._writer is None:
            self._writer = ParquetWriter(pa.PythonFile(self._written, "w"), table.schema, compression="zstd")
        self._writer.write_table(table)
        return self._written.taken()

    def end(self) -> bytes:
        if self._writer is not None:
            self._writer.close()
        return self._written.taken()


class _Written:
    """What a writer wrote since it was last taken."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """All is here already."""

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
