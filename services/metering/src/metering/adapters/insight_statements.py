"""The statements about everybody's traffic: constants with parameters."""

from __future__ import annotations

from typing import Final

from metering.domain.insight import Period, RankedKind, ShareHolder

# `IN` makes a set of a list, where `has` would go through it for each row: of 133 models, a year took 50 ms instead of 1.1 s.

# What they look at: traffic of models, or where categories are asked for that of models by category, or of applications.
_PERIOD: Final = """
WHERE bucket >= toDateTime({first:Int64}, 'UTC') AND bucket < toDateTime({end:Int64}, 'UTC') AND requests > 0
"""
_CATEGORIES: Final = """
  AND (empty({categories:Array(String)}) OR hasAny(app_categories, {categories:Array(String)}))
"""
_MODELS: Final = (
    "FROM model_days FINAL"
    + _PERIOD
    + """
  AND (NOT {only_models:Bool} OR model IN {models:Array(String)})
  AND ({context_bucket:Int8} < 0 OR context_bucket = {context_bucket:Int8})
  AND (NOT {with_tools:Bool} OR with_tools)
"""
)
_MODELS_BY_CATEGORY: Final = "FROM category_days FINAL" + _PERIOD + _CATEGORIES
_APPS: Final = "FROM app_days FINAL" + _PERIOD + _CATEGORIES

_MODEL_SERIES: Final = """
SELECT
    toString(period) AS date, if(place <= {top:UInt32}, name_of_model, 'other') AS name, toInt64(sum(counted)) AS all_tokens,
    toInt64(sum(asked)) AS all_requests
FROM
(
    SELECT
        period, name_of_model, counted, asked,
        row_number() OVER (
            PARTITION BY period ORDER BY if({by_requests:Bool}, asked, counted) DESC, name_of_model) AS place
    FROM
    (
        SELECT
            start_of_period(bucket) AS period, toString(model) AS name_of_model, sum(tokens) AS counted, sum(requests) AS asked
        FROM_TRAFFIC
        GROUP BY period, name_of_model
    )
)
GROUP BY date, name
ORDER BY date, name = 'other', if({by_requests:Bool}, all_requests, all_tokens) DESC, name
LIMIT 100000
"""

# The period itself is the last of four of the same length; `begin` is where it begins.
_RANKINGS: Final = """
SELECT name, number, toInt64(counted), toInt64(asked), score
FROM
(
    SELECT
        ranked_name AS name, ranked_number AS number,
        sumIf(tokens, bucket >= toDateTime({begin:Int64}, 'UTC')) AS counted,
        sumIf(requests, bucket >= toDateTime({begin:Int64}, 'UTC')) AS asked,
        sumIf(tokens, bucket < toDateTime({begin:Int64}, 'UTC')) AS counted_before,
        sumIf(requests, bucket < toDateTime({begin:Int64}, 'UTC')) AS asked_before,
        toFloat64(if({by_requests:Bool}, asked, counted))
            - if({trending:Bool}, if({by_requests:Bool}, asked_before, counted_before) / 3, 0) AS score
    FROM_TRAFFIC
    GROUP BY name, number
)
WHERE score > 0
ORDER BY score DESC, name
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
"""

_SHARES: Final = """
SELECT
    toString(period) AS date, name, toInt64(counted) AS all_tokens, toInt64(asked) AS all_requests,
    all_tokens / greatest(sum(all_tokens) OVER (PARTITION BY period), 1) AS token_share,
    all_requests / greatest(sum(all_requests) OVER (PARTITION BY period), 1) AS request_share
FROM
(
    SELECT start_of_period(bucket) AS period, share_holder AS name, sum(tokens) AS counted, sum(requests) AS asked
    FROM_TRAFFIC
    GROUP BY period, name
)
ORDER BY date, all_tokens DESC, name
LIMIT 100000
"""

# A session is counted once for each application and model. These are told by digests, so that what is grouped by is a number: names
# as keys of a million groups take four times as long. Names are put to what is left.
_SESSIONS: Final = """
    FROM session_days FINAL
    WHERE bucket >= toDateTime({first:Int64}, 'UTC') AND bucket < toDateTime({end:Int64}, 'UTC') AND requests > 0
      AND (empty({apps:Array(String)}) OR app IN {apps:Array(String)}) AND ({model:String} = '' OR model = {model:String})
"""
SESSION_COSTS: Final = """
SELECT app, toInt64(number), model, turn_range, median, sessions
FROM
(
    SELECT
        of_app, of_model, multiIf(turns = 1, 0, turns < 10, 1, turns < 50, 2, 3)::UInt8 AS place,
        ['1-turn', '2-9-turns', '10-49-turns', '50-plus-turns'][place + 1] AS turn_range,
        quantileExactInclusive(0.5)(cost) AS median, toInt64(count()) AS sessions
    FROM
    (
        SELECT
            any(cityHash64(app)) AS of_app, any(cityHash64(model)) AS of_model, sum(cost_nano_usd) AS cost, sum(requests) AS turns
        OF_SESSIONS
        GROUP BY bitXor(session, bitShiftLeft(toUInt128(cityHash64(app)), 64) + cityHash64(model))
    )
    GROUP BY of_app, of_model, place
    HAVING sessions >= {least_sessions:UInt32} AND ({turn_range:String} = '' OR turn_range = {turn_range:String})
) AS costs
INNER JOIN (SELECT cityHash64(app) AS of_app, app, any(app_id) AS number OF_SESSIONS GROUP BY app) AS apps USING (of_app)
INNER JOIN
(
    SELECT cityHash64(name) AS of_model, toString(name) AS model FROM (SELECT DISTINCT model AS name OF_SESSIONS)
) AS models USING (of_model)
ORDER BY app, model, place
LIMIT {limit:UInt32} OFFSET {offset:UInt32}
""".replace("OF_SESSIONS", _SESSIONS)
"""Parameters: first, end, apps, model, turn_range, least_sessions, limit, offset."""

TITLES: Final = """
SELECT app, argMax(title, titled_at)
FROM app_days FINAL
WHERE bucket >= toDateTime({first:Int64}, 'UTC') AND bucket < toDateTime({end:Int64}, 'UTC')
  AND app IN {apps:Array(String)} AND title != ''
GROUP BY app
"""
"""The latest titles of applications. Parameters: first, end, apps."""

# Days that are added up, and the minutes of those after them.
PROVIDER_DAYS: Final = """
SELECT
    provider_name, toString(toDate(day)) AS date, toInt64(sum(answered)) AS all_answered, toInt64(sum(missed)) AS all_missed,
    toInt64(sum(limited)) AS all_limited, toInt64(sum(busy)), toInt64(sum(good))
FROM
(
    SELECT
        toString(provider) AS provider_name, bucket AS day, successes AS answered, errors AS missed, rate_limited AS limited,
        busy_minutes AS busy, good_minutes AS good
    FROM provider_days FINAL
    WHERE bucket >= toDateTime({first:Int64}, 'UTC') AND bucket < toDateTime({end:Int64}, 'UTC') AND bucket < CLOSED_UNTIL
      AND ({provider:String} = '' OR provider = {provider:String})
    UNION ALL
    SELECT
        toString(provider) AS provider_name, toStartOfDay(minute) AS day, sum(successes) AS answered, sum(errors) AS missed,
        sum(rate_limited) AS limited, toUInt64(answered + missed >= 10) AS busy,
        toUInt64(answered + missed >= 10 AND answered >= 0.8 * (answered + missed)) AS good
    FROM endpoint_minutes FINAL
    WHERE minute >= toDateTime({first:Int64}, 'UTC') AND minute < toDateTime({end:Int64}, 'UTC') AND minute >= CLOSED_UNTIL
      AND ({provider:String} = '' OR provider = {provider:String})
    GROUP BY provider_name, minute
)
GROUP BY provider_name, date
HAVING all_answered + all_missed + all_limited > 0
ORDER BY provider_name, date
LIMIT 50000
""".replace(
    "CLOSED_UNTIL",
    "toDateTime((SELECT max(closed_until) FROM rollup_progress FINAL WHERE rollup = {rollup:String}), 'UTC')",
)
"""Parameters: first, end, provider, rollup."""

_STARTS: Final = {Period.DAY: "toDate(", Period.WEEK: "toMonday(", Period.MONTH: "toStartOfMonth("}
_HOLDERS: Final = {
    ShareHolder.AUTHOR: "splitByChar('/', toString(model))[1]",
    ShareHolder.PROVIDER: "toString(provider)",
}

MODEL_SERIES: Final = {
    (period, by_category): _MODEL_SERIES.replace("start_of_period(", start).replace(
        "FROM_TRAFFIC", _MODELS_BY_CATEGORY if by_category else _MODELS
    )
    for period, start in _STARTS.items()
    for by_category in (False, True)
}
"""By period and whether categories are asked for. Parameters: those of the traffic, top, by_requests."""


def _ranking(traffic: str, name: str, number: str) -> str:
    return _RANKINGS.replace("FROM_TRAFFIC", traffic).replace("ranked_name", name).replace("ranked_number", number)


RANKINGS: Final = {
    (RankedKind.MODEL, False): _ranking(_MODELS, "toString(model)", "toInt64(0)"),
    (RankedKind.MODEL, True): _ranking(_MODELS_BY_CATEGORY, "toString(model)", "toInt64(0)"),
    (RankedKind.APP, False): _ranking(_APPS, "app", "toInt64(app_id)"),
    (RankedKind.APP, True): _ranking(_APPS, "app", "toInt64(app_id)"),
}
"""By kind and whether categories are asked for. Parameters: those of the traffic, begin, trending, by_requests, limit, offset."""

SHARES: Final = {
    (holder, period): _SHARES.replace("start_of_period(", start)
    .replace("share_holder", name)
    .replace("FROM_TRAFFIC", _MODELS)
    for holder, name in _HOLDERS.items()
    for period, start in _STARTS.items()
}
"""By holder and period. Parameters: those of the traffic."""
