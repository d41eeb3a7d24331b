"""The statement of an analytics question, put together from constants; every value that a caller chose is a parameter (S42)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from contracts.analytics import CONTEXT_BUCKETS, Granularity, Operator
from metering.adapters.usage_columns import COLUMNS, DAYS, EVENT_COLUMNS, HOURS, RollupTable
from metering.domain.analytics import DATE, AnalyticsQuestion, Filter
from metering.domain.rollups import RULES

# What a row says of each dimension; empty means that it has no value.
_DIMENSIONS: Final = {
    "model": "if(model = '', splitByChar(':', requested_model)[1], model)",
    "variant": "if(position(requested_model, ':') > 0, splitByChar(':', requested_model)[2], 'standard')",
    "provider": "toString(provider)",
    "api_key_id": "key_id",
    "user": "member_id",
    # What belongs to no workspace belongs to the organisation's first one, which has its id.
    "workspace": "if(workspace_id = '', org_id, workspace_id)",
    "app": "app",
    "origin": "if(startsWith(app, 'http'), app, '')",
    "country": "toString(country)",
    "finish_reason": "toString(finish_reason)",
    "status": "toString(status)",
    "service_tier": "toString(service_tier)",
    "external_user": "external_user",
    "context_length_bucket": (
        "multiIf(context_bucket = 0, '1K', context_bucket = 1, '10K', context_bucket = 2, '100K', context_bucket = 3, '1M', '10M')"
    ),
    "generation_id": "generation_id",
}
# Where the value that is filtered by is not the one that is shown.
_FILTERED: Final = {
    "app": "if(app_id = 0, '', toString(app_id))",
    "context_length_bucket": "toString(context_bucket)",
}
# Streamed answers have a first token; an answer has a speed when something was written.
_TIMED_FIRST: Final = "first_token_ms, streamed AND first_token_ms > 0 AND status = 'completed'"
_TIMED_WHOLE: Final = (
    "completion_tokens * 1000 / greatest(generation_ms, 1), "
    "status = 'completed' AND completion_tokens > 0 AND generation_ms > 0"
)
_NO_MONEY: Final = "CAST(NULL, 'Nullable(Int64)')"
_METRICS: Final = {
    "request_count": "toInt64(sum(requests))",
    "failed_request_count": "toInt64(sumIf(requests, status = 'failed'))",
    "cancelled_request_count": "toInt64(sumIf(requests, status = 'cancelled'))",
    "tokens_total": "toInt64(sum(prompt_tokens + completion_tokens))",
    "tokens_prompt": "toInt64(sum(prompt_tokens))",
    "tokens_completion": "toInt64(sum(completion_tokens))",
    "reasoning_tokens": "toInt64(sum(reasoning_tokens))",
    "cached_tokens": "toInt64(sum(cached_tokens))",
    "cache_hit_rate": "if(sum(prompt_tokens) = 0, NULL, sum(cached_tokens) / sum(prompt_tokens))",
    "tool_call_error_rate": ("if(sum(tool_answers) = 0, NULL, sum(bad_tool_answers) / sum(tool_answers))"),
    "total_usage": "sum(cost_nano_usd + byok_cost_nano_usd)",
    "credits_usage": "sum(cost_nano_usd)",
    "byok_request_count": "toInt64(sum(byok_requests))",
    "byok_usage_inference": "sum(byok_cost_nano_usd)",
    "byok_fees": "sum(byok_fees_nano_usd)",
    "usage_upstream": "sum(provider_cost_nano_usd)",
    "usage_cache": _NO_MONEY,
    "usage_data": _NO_MONEY,
    "usage_web": _NO_MONEY,
    "usage_file": _NO_MONEY,
    "usage_web_fetch": _NO_MONEY,
    "avg_latency": "avgIf(" + _TIMED_FIRST + ")",
    "p50_latency": "quantileTDigestIf(0.5)(" + _TIMED_FIRST + ")",
    "p90_latency": "quantileTDigestIf(0.9)(" + _TIMED_FIRST + ")",
    "p99_latency": "quantileTDigestIf(0.99)(" + _TIMED_FIRST + ")",
    # What so many percent of the answers reached, as everywhere.
    "avg_throughput": "avgIf(" + _TIMED_WHOLE + ")",
    "p50_throughput": "quantileTDigestIf(0.5)(" + _TIMED_WHOLE + ")",
    "p90_throughput": "quantileTDigestIf(0.1)(" + _TIMED_WHOLE + ")",
    "p99_throughput": "quantileTDigestIf(0.01)(" + _TIMED_WHOLE + ")",
}
_BUCKETS: Final = {
    Granularity.MINUTE: "toUnixTimestamp(toStartOfMinute(moment))",
    Granularity.HOUR: "toUnixTimestamp(toStartOfHour(moment))",
    Granularity.DAY: "toUnixTimestamp(toStartOfDay(moment))",
    Granularity.WEEK: "toUnixTimestamp(toDateTime(toMonday(moment), 'UTC'))",
    Granularity.MONTH: "toUnixTimestamp(toDateTime(toStartOfMonth(moment), 'UTC'))",
}
_EVENTS: Final = (
    "SELECT COLUMNS_OF_EVENTS FROM usage_events FINAL WHERE org_id = {org_id:String}"
    " AND started_at >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')"
    " AND started_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')"
)
# Whole hours or days that are added up come from their rollup, and the rest from the events. The two bounds are in seconds;
# where the second is not after the first, nothing is left for the rollup.
_CLOSED: Final = "(SELECT max(closed_until) FROM rollup_progress FINAL WHERE rollup = {rollup:String})"
_FIRST: Final = "greatest({whole_from:Int64}, " + _CLOSED + " - {kept_s:Int64})"
_LAST: Final = "least({whole_to:Int64}, " + _CLOSED + ")"
_EVENTS_AROUND: Final = (
    _EVENTS
    + " AND (started_at < toDateTime64("
    + _FIRST
    + ", 3, 'UTC') OR started_at >= toDateTime64(greatest("
    + _FIRST
    + ", "
    + _LAST
    + "), 3, 'UTC'))"
)
_ROLLED_UP: Final = (
    "SELECT COLUMNS_OF_ROLLUP FROM USAGE_ROLLUP FINAL WHERE org_id = {org_id:String} AND requests > 0"
    " AND bucket >= toDateTime(FIRST_OF_ROLLUP, 'UTC') AND bucket < toDateTime(LAST_OF_ROLLUP, 'UTC')"
)
_WHOLE: Final = _ROLLED_UP.replace("FIRST_OF_ROLLUP", _FIRST).replace("LAST_OF_ROLLUP", _LAST)
_WORD: Final = re.compile(r"\b[a-z][a-z_]*\b")
_COMPARISONS: Final = {
    Operator.EQ: " = ",
    Operator.NEQ: " != ",
    Operator.GT: " > ",
    Operator.GTE: " >= ",
    Operator.LT: " < ",
    Operator.LTE: " <= ",
}


class Statement(NamedTuple):
    """A statement with its parameters, and the names of its columns."""

    text: str
    parameters: dict[str, Any]
    columns: tuple[str, ...]


def statement_of(question: AnalyticsQuestion) -> Statement:
    """Make the statement of a question. It asks for one row more than the limit, which tells whether there are more."""
    parameters: dict[str, Any] = {
        "org_id": question.org_id,
        "start": question.start,
        "end": question.end,
        "limit": question.limit + 1,
    }
    selected: dict[str, str] = {}
    if question.granularity is not None:
        selected[DATE] = _BUCKETS[question.granularity]
    keys = dict(selected)
    for name in question.dimensions:
        selected[name] = keys[name] = _DIMENSIONS[name]
        if name == "app":
            selected["app_id"] = "toInt64(any(app_id))"
    selected |= {name: _METRICS[name] for name in question.metrics}
    aliases = {name: "result_" + str(number) for number, name in enumerate(selected)}
    text = "SELECT " + ", ".join(expression + " AS " + aliases[name] for name, expression in selected.items())
    conditions = [_condition(number, each, parameters) for number, each in enumerate(question.filters)]
    order = _order(question, aliases)
    text += " FROM (" + _source(question, " ".join([text, *conditions, *order]), parameters) + ")"
    if conditions:
        text += " WHERE " + " AND ".join(conditions)
    if keys:
        text += " GROUP BY " + ", ".join(aliases[name] for name in keys)
    text += " ORDER BY " + ", ".join(order)
    if question.group_limit is not None:
        parameters["group_limit"] = question.group_limit
        text += " LIMIT {group_limit:UInt32} BY " + ", ".join(aliases[name] for name in question.dimensions)
    return Statement(text + " LIMIT {limit:UInt32}", parameters, tuple(selected))


def _source(question: AnalyticsQuestion, uses: str, parameters: dict[str, Any]) -> str:
    """What is read: sums and the events around them, when some table of sums has every column that is used; else the events."""
    names = sorted(COLUMNS.intersection(_WORD.findall(uses))) or ["org_id"]
    of_events = _selected(names, EVENT_COLUMNS) + ", started_at AS moment"
    table = _table(question, names, parameters)
    if table is None:
        return _EVENTS.replace("COLUMNS_OF_EVENTS", of_events)
    of_rollup = _selected(names, table.expressions) + ", toDateTime64(bucket, 3, 'UTC') AS moment"
    return (
        _WHOLE.replace("USAGE_ROLLUP", table.name).replace("COLUMNS_OF_ROLLUP", of_rollup)
        + " UNION ALL "
        + _EVENTS_AROUND.replace("COLUMNS_OF_EVENTS", of_events)
    )


def _selected(names: Sequence[str], expressions: Mapping[str, str]) -> str:
    return ", ".join(expressions[name] + " AS " + name if name in expressions else name for name in names)


def _table(question: AnalyticsQuestion, names: Sequence[str], parameters: dict[str, Any]) -> RollupTable | None:
    """The smallest table of sums by the question's granularity, unless no whole bucket of it is in the period."""
    if question.granularity is Granularity.MINUTE:
        return None
    asks_variants = "variant" in {*question.dimensions, *(each.field for each in question.filters)}
    table = next(
        (
            each
            for each in (HOURS if question.granularity is Granularity.HOUR else DAYS)
            if each.columns.issuperset(names) and (each.has_variants or not asks_variants)
        ),
        None,
    )
    if table is None:
        return None
    length_s = RULES[table.rollup].seconds
    first = -(-question.start // (length_s * 1_000)) * length_s
    last = question.end // (length_s * 1_000) * length_s
    if first >= last:
        return None
    parameters |= {"rollup": table.rollup.value, "whole_from": first, "whole_to": last, "kept_s": table.kept_s}
    return table


def _order(question: AnalyticsQuestion, aliases: dict[str, str]) -> list[str]:
    """The order that was asked for, or the usual one; then whatever makes it the same every time."""
    order: list[str] = []
    if question.order_by is not None:
        # request_count may be ordered by without being shown.
        expression = aliases.get(question.order_by) or _METRICS[question.order_by]
        order.append(expression + (" DESC" if question.descending else " ASC") + " NULLS LAST")
    if DATE in aliases:
        order.append(aliases[DATE])
    if question.order_by is None:
        order.append(aliases[question.metrics[0]] + " DESC NULLS LAST")
    return order + [aliases[name] for name in question.dimensions]


def _condition(number: int, each: Filter, parameters: dict[str, Any]) -> str:
    value = _FILTERED.get(each.field) or _DIMENSIONS[each.field]
    name = "filter_" + str(number)
    values = list(each.values)
    if each.field == "context_length_bucket":
        values = [str(CONTEXT_BUCKETS.index(bucket)) for bucket in values]
    if each.operator in _COMPARISONS:
        parameters[name] = values[0]
        return "(" + value + _COMPARISONS[each.operator] + "{" + name + ":String})"
    parameters[name] = values
    found = "(" + value + " IN {" + name + ":Array(String)})"
    if each.operator is Operator.NOT_IN:
        found = "(NOT " + found + ")"
        return found if each.include_unset else "(" + found + " AND " + value + " != '')"
    return "(" + found + " OR " + value + " = '')" if each.include_unset else found
