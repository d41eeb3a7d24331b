"""The statements that make rollups: constants with parameters, one for each table."""

from __future__ import annotations

from typing import Final

from metering.domain.rollups import Rollup

# Two looks, so that each can use its own index.
_TOUCHED: Final = """
SELECT DISTINCT toUnixTimestamp(toStartOfBucket(started_at)) AS bucket
FROM usage_events
WHERE ingested_at >= fromUnixTimestamp64Milli({since:Int64} * 1000, 'UTC')
  AND started_at >= fromUnixTimestamp64Milli({oldest:Int64} * 1000, 'UTC')
  AND started_at < fromUnixTimestamp64Milli({until:Int64} * 1000, 'UTC')
UNION DISTINCT
SELECT DISTINCT toUnixTimestamp(toStartOfBucket(started_at)) AS bucket
FROM usage_events
WHERE started_at >= fromUnixTimestamp64Milli(greatest({oldest:Int64}, {closed_from:Int64}) * 1000, 'UTC')
  AND started_at < fromUnixTimestamp64Milli({closed_to:Int64} * 1000, 'UTC')
ORDER BY bucket
"""

# A key that is in the table and no longer in the events gets zeros: nothing can be taken out of a Replacing table.
_USAGE: Final = """
INSERT INTO usage_buckets
    (org_id, bucket, workspace_id, member_id, key_id, model, provider, endpoint_id, app_id, app, app_categories, private,
    with_tools, context_bucket, requests, prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens, cost_nano_usd,
    byok_requests, byok_cost_nano_usd, version)
SELECT
    org_id, bucket, workspace_id, member_id, key_id, model, provider, endpoint_id, app_id, app, app_categories, private,
    with_tools, context_bucket,
    sum(request), sum(prompt), sum(completion), sum(reasoning), sum(cached), sum(cost),
    sum(byok), sum(byok_cost), toUnixTimestamp64Micro(now64(6))
FROM
(
    SELECT
        org_id, toStartOfBucket(started_at) AS bucket, workspace_id, member_id, key_id, model, provider, endpoint_id,
        app_id, app, app_categories, private, tool_calls > 0 AS with_tools,
        toUInt8(multiIf(prompt_tokens <= 1000, 0, prompt_tokens <= 10000, 1, prompt_tokens <= 100000, 2,
            prompt_tokens <= 1000000, 3, 4)) AS context_bucket,
        toUInt64(1) AS request, toUInt64(prompt_tokens) AS prompt, toUInt64(completion_tokens) AS completion,
        toUInt64(reasoning_tokens) AS reasoning, toUInt64(cached_tokens) AS cached, cost_nano_usd AS cost,
        toUInt64(is_byok) AS byok, if(is_byok, provider_cost_nano_usd, 0) AS byok_cost
    FROM usage_events FINAL
    WHERE started_at >= fromUnixTimestamp64Milli({first:Int64} * 1000, 'UTC')
      AND started_at < fromUnixTimestamp64Milli({last:Int64} * 1000, 'UTC')
      AND has({buckets:Array(UInt32)}, toUnixTimestamp(toStartOfBucket(started_at)))
    UNION ALL
    SELECT
        org_id, bucket, workspace_id, member_id, key_id, model, provider, endpoint_id, app_id, app, app_categories, private,
        with_tools, context_bucket, 0, 0, 0, 0, 0, 0, 0, 0
    FROM usage_buckets FINAL
    WHERE bucket >= toDateTime({first:Int64}, 'UTC') AND bucket < toDateTime({last:Int64}, 'UTC')
      AND has({buckets:Array(UInt32)}, toUnixTimestamp(bucket))
)
GROUP BY
    org_id, bucket, workspace_id, member_id, key_id, model, provider, endpoint_id, app_id, app, app_categories, private,
    with_tools, context_bucket
"""

# A call counts against its endpoint by its status (401, 402, 404, 5xx), and without one, or with 200, by having failed or
# run out of time. 400, 403, 413 and 429 say something of the request or of the rate, and a cancelled call nothing.
_ENDPOINT_MINUTES: Final = """
INSERT INTO endpoint_minutes
    (endpoint_id, minute, provider, successes, errors, rate_limited, tool_answers, bad_tool_answers, prompt_tokens,
    completion_tokens, counted_prompt_tokens, counted_cached_tokens, prompt_pico_usd, completion_pico_usd, streamed_answers,
    timed_answers, first_token_ms, tokens_per_second, version)
SELECT
    call_endpoint, bucket, argMax(call_provider, is_known),
    countIf(is_success), countIf(is_error), countIf(is_limited),
    countIf(is_answer AND finish_reason = 'tool_calls'),
    countIf(is_answer AND finish_reason = 'tool_calls' AND bad_tool_calls > 0),
    sumIf(prompt_tokens, is_answer), sumIf(completion_tokens, is_answer),
    sumIf(prompt_tokens, is_answer AND token_source = 'provider'),
    sumIf(cached_tokens, is_answer AND token_source = 'provider'),
    sumIf(toInt128(prompt_tokens - cached_tokens - cache_write_tokens) * prompt_pico_usd
        + toInt128(cached_tokens) * cached_pico_usd + toInt128(cache_write_tokens) * cache_write_pico_usd, is_answer),
    sumIf(toInt128(completion_tokens - reasoning_tokens) * completion_pico_usd
        + toInt128(reasoning_tokens) * reasoning_pico_usd, is_answer),
    countIf(is_streamed), countIf(is_timed),
    quantilesTDigestStateIf(0.5, 0.75, 0.9, 0.99)(toFloat32(first_token_ms), is_streamed),
    quantilesTDigestStateIf(0.5, 0.25, 0.1, 0.01)(
        toFloat32(completion_tokens * 1000 / greatest(generation_ms, 1)), is_timed),
    toUnixTimestamp64Micro(now64(6))
FROM
(
    SELECT
        call.1 AS call_endpoint, call.2 AS call_provider, true AS is_known, toStartOfBucket(started_at) AS bucket,
        call.3 = 'success' AS is_success,
        NOT is_success AND call.3 != 'cancelled' AND call.3 != 'rate_limited'
            AND (call.4 IN (401, 402, 404) OR call.4 >= 500
                OR (call.3 IN ('failure', 'timeout') AND call.4 NOT IN (400, 403, 413, 429))) AS is_error,
        call.3 = 'rate_limited' AS is_limited,
        is_success AND status = 'completed' AND call.1 = endpoint_id AS is_answer,
        is_answer AND streamed AND first_token_ms > 0 AS is_streamed,
        is_answer AND completion_tokens > 0 AND generation_ms > 0 AS is_timed,
        finish_reason, bad_tool_calls, token_source,
        toUInt64(prompt_tokens) AS prompt_tokens, toUInt64(completion_tokens) AS completion_tokens,
        toUInt64(reasoning_tokens) AS reasoning_tokens, toUInt64(cached_tokens) AS cached_tokens,
        toUInt64(cache_write_tokens) AS cache_write_tokens,
        prompt_pico_usd, completion_pico_usd, reasoning_pico_usd, cached_pico_usd, cache_write_pico_usd,
        first_token_ms, generation_ms
    FROM usage_events FINAL
    ARRAY JOIN attempts AS call
    WHERE started_at >= fromUnixTimestamp64Milli({first:Int64} * 1000, 'UTC')
      AND started_at < fromUnixTimestamp64Milli({last:Int64} * 1000, 'UTC')
      AND has({buckets:Array(UInt32)}, toUnixTimestamp(toStartOfBucket(started_at)))
    UNION ALL
    SELECT
        endpoint_id, provider, false, minute, false, false, false, false, false, false, '', 0, '', 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0
    FROM endpoint_minutes FINAL
    WHERE minute >= toDateTime({first:Int64}, 'UTC') AND minute < toDateTime({last:Int64}, 'UTC')
      AND has({buckets:Array(UInt32)}, toUnixTimestamp(minute))
)
GROUP BY call_endpoint, bucket
"""

_BUCKET_OF: Final = {
    Rollup.ENDPOINT_MINUTES: "toStartOfMinute",
    Rollup.USAGE_HOURS: "toStartOfHour",
    Rollup.USAGE_DAYS: "toStartOfDay",
}

TOUCHED: Final = {rollup: _TOUCHED.replace("toStartOfBucket", function) for rollup, function in _BUCKET_OF.items()}
"""By rollup: the buckets that have news. Parameters: since, oldest, until, closed_from, closed_to, in Unix seconds."""

REBUILD: Final = {
    Rollup.ENDPOINT_MINUTES: _ENDPOINT_MINUTES.replace("toStartOfBucket", "toStartOfMinute"),
    Rollup.USAGE_HOURS: _USAGE.replace("toStartOfBucket", "toStartOfHour").replace("usage_buckets", "usage_hours"),
    Rollup.USAGE_DAYS: _USAGE.replace("toStartOfBucket", "toStartOfDay").replace("usage_buckets", "usage_days"),
}
"""By rollup: adds buckets up anew. Parameters: buckets, and the first and last second that they span."""
