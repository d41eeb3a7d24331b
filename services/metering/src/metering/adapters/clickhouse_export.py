"""Usage events of an organisation as a file, written by the store itself."""

from __future__ import annotations

from typing import Final

from metering.adapters.clickhouse_calls import ClickHouseCalls
from metering.domain.errors import InvalidQuestionError
from metering.domain.export import MAX_ROWS, ExportFormat
from metering.domain.usage import UnixMs

_WHERE: Final = """
FROM usage_events FINAL
WHERE org_id = {org_id:String}
  AND started_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND started_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
"""
_COUNT: Final = "SELECT count() " + _WHERE
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
_STATEMENTS: Final = {
    ExportFormat.CSV: (_PLAIN + _ROWS, "CSVWithNames"),
    ExportFormat.PARQUET: (_AS_IT_IS + _ROWS, "Parquet"),
}
_SETTINGS: Final = {
    "do_not_merge_across_partitions_select_final": 1,
    "use_skip_indexes_if_final": 1,
    "date_time_output_format": "iso",
    "output_format_parquet_string_as_string": 1,
}


class ClickHouseUsageExport:
    """The UsageExport on ClickHouse."""

    def __init__(self, calls: ClickHouseCalls) -> None:
        self._calls = calls

    async def export(self, org_id: str, start: UnixMs, end: UnixMs, form: ExportFormat) -> bytes:
        """Write the events of a period."""
        parameters = {"org_id": org_id, "start": start, "end": end}
        rows = await self._calls.ask(lambda client: client.query(_COUNT, parameters, settings=_SETTINGS).result_rows)
        if rows[0][0] > MAX_ROWS:
            raise InvalidQuestionError("end", f"makes the period too long: it has more than {MAX_ROWS} generations")
        statement, name = _STATEMENTS[form]
        return await self._calls.ask(
            lambda client: client.raw_query(statement, parameters, settings=_SETTINGS, fmt=name)
        )
