"""The statements that make rollups: constants with parameters, one for each table."""

from __future__ import annotations

from typing import Final

from metering.adapters.usage_columns import BAD_TOOL_ANSWER, CONTEXT_BUCKET, TOOL_ANSWER
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

# What usage is told apart by, and what is added up: for a row of the rollup and for an event.
_USAGE_KEYS: Final = """org_id, bucket, workspace_id, member_id, key_id, model, requested_model, provider, endpoint_id, app_id, app, status,
    finish_reason, service_tier, context_bucket, country"""
_KEY_DAYS_KEYS: Final = "org_id, bucket, workspace_id, member_id, key_id, model, requested_model, provider, endpoint_id, app_id, app, status"
_KIND_DAYS_KEYS: Final = (
    "org_id, bucket, model, requested_model, provider, status, finish_reason, service_tier, context_bucket, country"
)
_USER_DAYS_KEYS: Final = "org_id, bucket, external_user, workspace_id, member_id, key_id, model, requested_model, provider, app_id, app, status"
_USAGE_SUMS: Final = """requests, prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens, bad_tool_answers, cost_nano_usd,
    provider_cost_nano_usd, byok_requests, byok_cost_nano_usd, byok_fees_nano_usd"""

# A key that is in the table and no longer in the events gets zeros: nothing can be taken out of a Replacing table.
_USAGE: Final = """
INSERT INTO usage_buckets
    (USAGE_KEYS, USAGE_SUMS, version)
SELECT
    USAGE_KEYS,
    sum(request), sum(prompt), sum(completion), sum(reasoning), sum(cached), sum(bad), sum(cost), sum(provider_cost), sum(byok),
    sum(byok_cost), sum(byok_fees), MORE_SUMS toUnixTimestamp64Micro(now64(6))
FROM
(
    SELECT
        EVENT_KEYS,
        toUInt64(1) AS request, toUInt64(prompt_tokens) AS prompt, toUInt64(completion_tokens) AS completion,
        toUInt64(reasoning_tokens) AS reasoning, toUInt64(cached_tokens) AS cached,
        BAD_TOOL_ANSWER AS bad, cost_nano_usd AS cost, provider_cost_nano_usd AS provider_cost,
        toUInt64(is_byok) AS byok, if(is_byok, provider_cost_nano_usd, 0) AS byok_cost,
        if(is_byok, cost_nano_usd, 0) AS byok_fees, TOOL_ANSWER AS with_tools
    FROM usage_events FINAL
    WHERE started_at >= fromUnixTimestamp64Milli({first:Int64} * 1000, 'UTC')
      AND started_at < fromUnixTimestamp64Milli({last:Int64} * 1000, 'UTC')
      AND toUnixTimestamp(toStartOfBucket(started_at)) IN {buckets:Array(UInt32)}
    UNION ALL
    SELECT USAGE_KEYS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    FROM usage_buckets FINAL
    WHERE bucket >= toDateTime({first:Int64}, 'UTC') AND bucket < toDateTime({last:Int64}, 'UTC')
      AND toUnixTimestamp(bucket) IN {buckets:Array(UInt32)}
)
GROUP BY
    USAGE_KEYS
"""

# Public traffic: answered by an endpoint, and not private.
_PUBLIC: Final = """
    FROM usage_events FINAL
    WHERE started_at >= fromUnixTimestamp64Milli({first:Int64} * 1000, 'UTC')
      AND started_at < fromUnixTimestamp64Milli({last:Int64} * 1000, 'UTC')
      AND toUnixTimestamp(toStartOfDay(started_at)) IN {buckets:Array(UInt32)}
      AND NOT private AND endpoint_id != ''
"""
_BEFORE: Final = """
    WHERE bucket >= toDateTime({first:Int64}, 'UTC') AND bucket < toDateTime({last:Int64}, 'UTC')
      AND toUnixTimestamp(bucket) IN {buckets:Array(UInt32)}
"""
_MODEL_DAYS: Final = """
INSERT INTO model_days (bucket, model, provider, with_tools, context_bucket, requests, tokens, version)
SELECT
    bucket, model, provider, with_tools, context_bucket, sum(request), sum(token), toUnixTimestamp64Micro(now64(6))
FROM
(
    SELECT
        toStartOfDay(started_at) AS bucket, model, provider, tool_calls > 0 AS with_tools,
        CONTEXT_BUCKET AS context_bucket,
        toUInt64(1) AS request, toUInt64(prompt_tokens) + completion_tokens AS token
    PUBLIC_TRAFFIC
    UNION ALL
    SELECT bucket, model, provider, with_tools, context_bucket, 0, 0
    FROM model_days FINAL
    WHERE_BEFORE
)
GROUP BY bucket, model, provider, with_tools, context_bucket
"""
_CATEGORY_DAYS: Final = """
INSERT INTO category_days (bucket, app_categories, model, requests, tokens, version)
SELECT bucket, app_categories, model, sum(request), sum(token), toUnixTimestamp64Micro(now64(6))
FROM
(
    SELECT
        toStartOfDay(started_at) AS bucket, app_categories, model, toUInt64(1) AS request,
        toUInt64(prompt_tokens) + completion_tokens AS token
    PUBLIC_TRAFFIC
      AND notEmpty(app_categories)
    UNION ALL
    SELECT bucket, app_categories, model, 0, 0
    FROM category_days FINAL
    WHERE_BEFORE
)
GROUP BY bucket, app_categories, model
"""
# Of the titles that an application gave itself on a day the last one; none is at no time.
_APP_DAYS: Final = """
INSERT INTO app_days (bucket, app_id, app, app_categories, title, titled_at, requests, tokens, version)
SELECT
    bucket, app_id, app, app_categories, argMax(app_title, named_at), max(named_at), sum(request), sum(token),
    toUnixTimestamp64Micro(now64(6))
FROM
(
    SELECT
        toStartOfDay(started_at) AS bucket, app_id, app, app_categories, app_title,
        if(app_title = '', toDateTime64(0, 3, 'UTC'), started_at) AS named_at,
        toUInt64(1) AS request, toUInt64(prompt_tokens) + completion_tokens AS token
    PUBLIC_TRAFFIC
      AND app != ''
    UNION ALL
    SELECT bucket, app_id, app, app_categories, '', toDateTime64(0, 3, 'UTC'), 0, 0
    FROM app_days FINAL
    WHERE_BEFORE
)
GROUP BY bucket, app_id, app, app_categories
"""

_SESSION_DAYS: Final = """
INSERT INTO session_days (bucket, app, app_id, model, session, requests, cost_nano_usd, version)
SELECT bucket, app, app_id, model, session, sum(request), sum(cost), toUnixTimestamp64Micro(now64(6))
FROM
(
    SELECT
        toStartOfDay(started_at) AS bucket, app, app_id, model, reinterpretAsUInt128(sipHash128(org_id, session_id)) AS session,
        toUInt64(1) AS request, cost_nano_usd AS cost
    PUBLIC_TRAFFIC
      AND session_id != '' AND app != ''
    UNION ALL
    SELECT bucket, app, app_id, model, session, 0, 0
    FROM session_days FINAL
    WHERE_BEFORE
)
GROUP BY bucket, app, app_id, model, session
"""

# A call counts against its endpoint by its status (401, 402, 404, 5xx), and without one, or with 200, by having failed or
# run out of time. 400, 403, 413 and 429 say something of the request or of the rate, and a cancelled call nothing.
_COUNTS_AGAINST: Final = """call.3 NOT IN ('success', 'cancelled', 'rate_limited')
            AND (call.4 IN (401, 402, 404) OR call.4 >= 500
                OR (call.3 IN ('failure', 'timeout') AND call.4 NOT IN (400, 403, 413, 429)))"""
_PROVIDER_DAYS: Final = """
INSERT INTO provider_days
    (bucket, provider, successes, errors, rate_limited, busy_minutes, good_minutes, version)
SELECT
    bucket, call_provider, sum(answered), sum(missed), sum(limited), countIf(answered + missed >= 10),
    countIf(answered + missed >= 10 AND answered >= 0.8 * (answered + missed)), toUnixTimestamp64Micro(now64(6))
FROM
(
    SELECT
        toStartOfDay(started_at) AS bucket, toStartOfMinute(started_at) AS minute, call.2 AS call_provider,
        countIf(call.3 = 'success') AS answered, countIf(COUNTS_AGAINST) AS missed, countIf(call.3 = 'rate_limited') AS limited
    FROM usage_events FINAL
    ARRAY JOIN attempts AS call
    WHERE started_at >= fromUnixTimestamp64Milli({first:Int64} * 1000, 'UTC')
      AND started_at < fromUnixTimestamp64Milli({last:Int64} * 1000, 'UTC')
      AND toUnixTimestamp(toStartOfDay(started_at)) IN {buckets:Array(UInt32)}
    GROUP BY bucket, minute, call_provider
    UNION ALL
    SELECT bucket, bucket, provider, 0, 0, 0
    FROM provider_days FINAL
    WHERE_BEFORE
)
GROUP BY bucket, call_provider
"""
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
        COUNTS_AGAINST AS is_error,
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
      AND toUnixTimestamp(toStartOfBucket(started_at)) IN {buckets:Array(UInt32)}
    UNION ALL
    SELECT
        endpoint_id, provider, false, minute, false, false, false, false, false, false, '', 0, '', 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0
    FROM endpoint_minutes FINAL
    WHERE minute >= toDateTime({first:Int64}, 'UTC') AND minute < toDateTime({last:Int64}, 'UTC')
      AND toUnixTimestamp(minute) IN {buckets:Array(UInt32)}
)
GROUP BY call_endpoint, bucket
"""

_BUCKET_OF: Final = {
    Rollup.ENDPOINT_MINUTES: "toStartOfMinute",
    Rollup.USAGE_HOURS: "toStartOfHour",
    Rollup.USAGE_DAYS: "toStartOfDay",
    Rollup.PAGE_DAYS: "toStartOfDay",
}

TOUCHED: Final = {rollup: _TOUCHED.replace("toStartOfBucket", function) for rollup, function in _BUCKET_OF.items()}
"""By rollup: the buckets that have news. Parameters: since, oldest, until, closed_from, closed_to, in Unix seconds."""

_PARTS: Final = {
    "PUBLIC_TRAFFIC": _PUBLIC,
    "WHERE_BEFORE": _BEFORE,
    "CONTEXT_BUCKET": CONTEXT_BUCKET,
    "BAD_TOOL_ANSWER": BAD_TOOL_ANSWER,
    "TOOL_ANSWER": TOOL_ANSWER,
    "COUNTS_AGAINST": _COUNTS_AGAINST,
}


def _whole(statement: str, function: str = "") -> str:
    """Put in what statements have in common, and what a bucket is."""
    for name, part in _PARTS.items():
        statement = statement.replace(name, part)
    return statement.replace("toStartOfBucket", function)


def _usage(table: str, keys: str, function: str) -> str:
    """The statement of one of an organisation's sums. A word of `keys` that an event has otherwise is said here."""
    of_event = {
        "bucket": "toStartOfBucket(started_at) AS bucket",
        "context_bucket": "CONTEXT_BUCKET AS context_bucket",
    }
    more = table in ("key_days", "kind_days", "user_days")
    if more and table != "kind_days":
        of_event["requested_model"] = "if(model = '', requested_model, '') AS requested_model"
    words = [word.strip() for word in keys.split(",")]
    parts = {
        "EVENT_KEYS": ", ".join(of_event.get(word, word) for word in words),
        "USAGE_KEYS": keys,
        "USAGE_SUMS": _USAGE_SUMS + (", tool_answers" if more else ""),
        "MORE_SUMS": "sum(with_tools)," if more else "",
        "usage_buckets": table,
    }
    statement = _USAGE
    for name, part in parts.items():
        statement = statement.replace(name, part)
    return _whole(statement, function)


REBUILD: Final = {
    Rollup.ENDPOINT_MINUTES: (_whole(_ENDPOINT_MINUTES, "toStartOfMinute"),),
    Rollup.USAGE_HOURS: (_usage("usage_hours", _USAGE_KEYS, "toStartOfHour"),),
    Rollup.USAGE_DAYS: (
        _usage("usage_days", _USAGE_KEYS, "toStartOfDay"),
        _whole(_MODEL_DAYS),
        _whole(_CATEGORY_DAYS),
        _whole(_APP_DAYS),
    ),
    Rollup.PAGE_DAYS: (
        _usage("key_days", _KEY_DAYS_KEYS, "toStartOfDay"),
        _usage("kind_days", _KIND_DAYS_KEYS, "toStartOfDay"),
        _usage("user_days", _USER_DAYS_KEYS, "toStartOfDay"),
        _whole(_SESSION_DAYS),
        _whole(_PROVIDER_DAYS),
    ),
}
"""By rollup: add buckets up anew. Parameters: buckets, and the first and last second that they span."""
