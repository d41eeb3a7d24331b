"""Answers about one organisation out of ClickHouse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from metering.adapters.analytics_statement import statement_of
from metering.adapters.clickhouse_calls import ClickHouseCalls
from metering.domain.analytics import Activity, ActivityQuestion, AnalyticsAnswer, AnalyticsQuestion, EndedUsage, Split
from metering.domain.errors import AnswerTooLongError, InvalidQuestionError
from metering.domain.rollups import Rollup
from metering.domain.usage import UnixMs

_MAX_ROWS: Final = 50_000  # some 10 MB of a message
_SETTINGS: Final = {"do_not_merge_across_partitions_select_final": 1, "use_skip_indexes_if_final": 1}
# An answer that will be refused is given up as soon as that is known: sorting and reading it would take most of the time. Each
# thread of the store counts its own rows, so that one that is too long may still get to its end.
_ACTIVITY_SETTINGS: Final = _SETTINGS | {"max_rows_to_group_by": _MAX_ROWS, "group_by_overflow_mode": "throw"}

# Days that are added up come from the rollup, and the rest from the events: right at any time, whoever is behind.
_ACTIVITY: Final = """
SELECT
    toString(toDate(day)) AS date, model, endpoint_id, any(provider) AS provider_slug,
    if({by_workspace:Bool}, if(workspace_id = '', {org_id:String}, workspace_id), '') AS workspace, if({by_key:Bool}, key_id, '') AS key,
    if({by_member:Bool}, member_id, '') AS member, if({by_app:Bool}, app, '') AS application,
    toInt64(sum(requests)), toInt64(sum(prompt_tokens)), toInt64(sum(completion_tokens)), toInt64(sum(reasoning_tokens)),
    toInt64(sum(cached_tokens)), sum(cost_nano_usd) AS cost, sum(byok_cost_nano_usd), toInt64(sum(byok_requests))
FROM
(
    SELECT
        bucket AS day, model, endpoint_id, provider, workspace_id, key_id, member_id, app, requests, prompt_tokens,
        completion_tokens, reasoning_tokens, cached_tokens, cost_nano_usd, byok_cost_nano_usd, byok_requests
    FROM key_days FINAL
    WHERE org_id = {org_id:String} AND requests > 0
      AND bucket >= toDateTime(intDiv({start:Int64}, 1000), 'UTC') AND bucket < toDateTime(intDiv({end:Int64}, 1000), 'UTC')
      AND bucket < toDateTime((SELECT max(closed_until) FROM rollup_progress FINAL WHERE rollup = {rollup:String}), 'UTC')
    UNION ALL
    SELECT
        toStartOfDay(started_at) AS day, model, endpoint_id, provider, workspace_id, key_id, member_id, app,
        toUInt64(1), toUInt64(prompt_tokens), toUInt64(completion_tokens), toUInt64(reasoning_tokens),
        toUInt64(cached_tokens), cost_nano_usd, if(is_byok, provider_cost_nano_usd, 0), toUInt64(is_byok)
    FROM usage_events FINAL
    WHERE org_id = {org_id:String}
      AND started_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
      AND started_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
      AND started_at >= toDateTime64(
          (SELECT max(closed_until) FROM rollup_progress FINAL WHERE rollup = {rollup:String}), 3, 'UTC')
)
WHERE endpoint_id != ''
  AND ({key_id:String} = '' OR key_id = {key_id:String})
  AND ({member_id:String} = '' OR member_id = {member_id:String})
  AND ({workspace_id:String} = '' OR if(workspace_id = '', {org_id:String}, workspace_id) = {workspace_id:String})
GROUP BY date, model, endpoint_id, workspace, key, member, application
ORDER BY date DESC, cost DESC, model, endpoint_id, workspace, key, member, application
LIMIT {limit:UInt32}
"""

# By when they ended, as the ledger books them, and by when they started only to read little: none takes a week.
_ENDED: Final = """
SELECT
    toString(model) AS of_model, toInt64(count()), toInt64(sum(toInt128(prompt_tokens))), toInt64(sum(toInt128(completion_tokens))),
    toInt64(sum(toInt128(cost_nano_usd))) AS cost
FROM usage_events FINAL
WHERE org_id = {org_id:String}
  AND started_at >= fromUnixTimestamp64Milli({start:Int64} - 604800000, 'UTC')
  AND started_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
  AND ended_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
  AND ended_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
GROUP BY of_model
ORDER BY cost DESC, of_model
"""


class ClickHouseAnalytics:
    """The Analytics on ClickHouse."""

    def __init__(self, calls: ClickHouseCalls) -> None:
        self._calls = calls

    async def activity(self, question: ActivityQuestion) -> Sequence[Activity]:
        """Add usage up by day and endpoint, latest day first."""
        parameters = {
            "org_id": question.org_id,
            "start": question.start,
            "end": question.end,
            "rollup": Rollup.PAGE_DAYS.value,
            "key_id": question.key_id,
            "member_id": question.member_id,
            "workspace_id": question.workspace_id,
            "by_workspace": Split.WORKSPACE in question.splits,
            "by_key": Split.KEY in question.splits,
            "by_member": Split.MEMBER in question.splits,
            "by_app": Split.APP in question.splits,
            "limit": _MAX_ROWS + 1,
        }
        too_long = InvalidQuestionError("date", f"is needed, because the answer has more than {_MAX_ROWS} rows")
        try:
            rows = await self._calls.ask(
                lambda client: client.query(_ACTIVITY, parameters, settings=_ACTIVITY_SETTINGS).result_rows
            )
        except AnswerTooLongError as error:
            raise too_long from error
        if len(rows) > _MAX_ROWS:
            raise too_long
        return [Activity(*row) for row in rows]

    async def ended_usage(self, org_id: str, start: UnixMs, end: UnixMs) -> Sequence[EndedUsage]:
        """Add up, by model, what generations cost that ended in a period."""
        parameters = {"org_id": org_id, "start": start, "end": end}
        rows = await self._calls.ask(lambda client: client.query(_ENDED, parameters, settings=_SETTINGS).result_rows)
        return [EndedUsage(*row) for row in rows]

    async def analytics(self, question: AnalyticsQuestion) -> AnalyticsAnswer:
        """Add metrics up."""
        statement = statement_of(question)
        rows = await self._calls.ask(
            lambda client: client.query(statement.text, statement.parameters, settings=_SETTINGS).result_rows
        )
        # Averages and quantiles of nothing are not numbers.
        values = [
            tuple(None if isinstance(cell, float) and math.isnan(cell) else cell for cell in row)
            for row in rows[: question.limit]
        ]
        return AnalyticsAnswer(statement.columns, values, truncated=len(rows) > question.limit)
