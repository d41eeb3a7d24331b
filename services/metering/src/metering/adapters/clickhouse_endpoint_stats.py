"""Endpoint statistics out of the rollup by minute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from metering.adapters.clickhouse_calls import ClickHouseCalls
from metering.domain.endpoint_stats import WINDOW_MINUTES, EndpointStats, EndpointWindow, Percentiles
from metering.domain.rollups import UnixSeconds

_WINDOW: Final = """
SELECT
    endpoint_id,
    sum(successes) AS successes, sum(errors) AS errors, sum(rate_limited) AS rate_limited,
    sum(tool_answers) AS tool_answers, sum(bad_tool_answers) AS bad_tool_answers,
    sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens,
    sum(counted_prompt_tokens) AS counted_prompt_tokens, sum(counted_cached_tokens) AS counted_cached_tokens,
    sum(prompt_pico_usd) AS prompt_pico_usd, sum(completion_pico_usd) AS completion_pico_usd,
    sum(streamed_answers) AS streamed, sum(timed_answers) AS timed,
    quantilesTDigestMerge(0.5, 0.75, 0.9, 0.99)(first_token_ms) AS first_token,
    quantilesTDigestMerge(0.5, 0.25, 0.1, 0.01)(tokens_per_second) AS speed
FROM endpoint_minutes FINAL
WHERE minute >= toDateTime({first:Int64}, 'UTC') AND minute <= toDateTime({now:Int64}, 'UTC')
  AND (empty({endpoint_ids:Array(String)}) OR endpoint_id IN {endpoint_ids:Array(String)})
GROUP BY endpoint_id
HAVING successes + errors + rate_limited > 0
ORDER BY endpoint_id
LIMIT 10000
"""
_SETTINGS: Final = {"do_not_merge_across_partitions_select_final": 1}
_MINUTE_S: Final = 60
_COUNTS: Final = (
    "successes", "errors", "rate_limited", "tool_answers", "bad_tool_answers", "prompt_tokens", "completion_tokens",
    "counted_prompt_tokens", "counted_cached_tokens", "prompt_pico_usd", "completion_pico_usd",
)  # fmt: skip
_NOTHING: Final = EndpointWindow(**dict.fromkeys(_COUNTS, 0), first_token_ms=None, tokens_per_second=None)


class ClickHouseEndpointStats:
    """The EndpointStatsStore on ClickHouse."""

    def __init__(self, calls: ClickHouseCalls) -> None:
        self._calls = calls

    async def endpoint_stats(self, now: UnixSeconds, endpoint_ids: Sequence[str] = ()) -> Sequence[EndpointStats]:
        """Add up what endpoints did until `now`: these, or all that were called within a day."""
        windows = [await self._window(now, minutes, endpoint_ids) for minutes in WINDOW_MINUTES]
        # Who was called in a window was called in every longer one.
        return [
            EndpointStats(
                endpoint_id,
                now,
                (windows[0].get(endpoint_id, _NOTHING), windows[1].get(endpoint_id, _NOTHING), day),
            )
            for endpoint_id, day in windows[2].items()
        ]

    async def _window(self, now: UnixSeconds, minutes: int, endpoint_ids: Sequence[str]) -> dict[str, EndpointWindow]:
        parameters = {
            "first": now - now % _MINUTE_S - minutes * _MINUTE_S,
            "now": now,
            "endpoint_ids": list(endpoint_ids),
        }
        rows = await self._calls.ask(
            lambda client: list(client.query(_WINDOW, parameters, settings=_SETTINGS).named_results())
        )
        return {row["endpoint_id"]: _window_of(row) for row in rows}


def _window_of(row: Mapping[str, Any]) -> EndpointWindow:
    return EndpointWindow(
        **{name: row[name] for name in _COUNTS},
        first_token_ms=Percentiles(*row["first_token"]) if row["streamed"] else None,
        tokens_per_second=Percentiles(*row["speed"]) if row["timed"] else None,
    )
