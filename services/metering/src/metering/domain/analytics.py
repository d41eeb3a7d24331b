"""Questions about one organisation's usage, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol

from contracts import analytics
from contracts.analytics import Granularity, Operator
from metering.domain.errors import InvalidQuestionError
from metering.domain.usage import UnixMs

DATE: Final = "date"
_SECONDS: Final = {
    Granularity.MINUTE: 60,
    Granularity.HOUR: 3_600,
    Granularity.DAY: 86_400,
    Granularity.WEEK: 7 * 86_400,
    Granularity.MONTH: 28 * 86_400,
}


class Split(Enum):
    """What activity can be split by besides day, model and endpoint."""

    WORKSPACE = "workspace_id"
    KEY = "key_id"
    MEMBER = "member_id"
    APP = "app"


@dataclass(frozen=True, slots=True)
class ActivityQuestion:
    """An organisation's activity on UTC days; empty ids ask for all."""

    org_id: str
    start: UnixMs
    end: UnixMs
    key_id: str = ""
    member_id: str = ""
    workspace_id: str = ""
    splits: frozenset[Split] = frozenset()


class Activity(NamedTuple):
    """Usage of one endpoint on one day (YYYY-MM-DD); what it is not split by is empty."""

    date: str
    model: str
    endpoint_id: str
    provider: str
    workspace_id: str
    key_id: str
    member_id: str
    app: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int
    cost_nano_usd: int
    byok_cost_nano_usd: int
    byok_requests: int


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on a dimension. `include_unset`: whether `in` and `not_in` also take rows without a value."""

    field: str
    operator: Operator
    values: tuple[str, ...]
    include_unset: bool = False


@dataclass(frozen=True, slots=True)
class AnalyticsQuestion:
    """Metrics by dimensions and time. Made by `question_of`, so every name is a known one.

    Attributes:
        order_by: a metric, a dimension or `date`; None for the usual order.
        limit: most rows.
        group_limit: most rows of one combination of dimensions; None for no limit.
    """

    org_id: str
    start: UnixMs
    end: UnixMs
    metrics: tuple[str, ...]
    dimensions: tuple[str, ...]
    filters: tuple[Filter, ...]
    granularity: Granularity | None
    order_by: str | None
    descending: bool
    limit: int
    group_limit: int | None


@dataclass(frozen=True, slots=True)
class AnalyticsAnswer:
    """Columns by name, rows in the order of the columns, and whether there are more rows."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    truncated: bool


class EndedUsage(NamedTuple):
    """What generations of one model cost; the model is empty for what no endpoint answered."""

    model: str
    generations: int
    prompt_tokens: int
    completion_tokens: int
    cost_nano_usd: int


class Analytics(Protocol):
    """Answers about one organisation. Every method may raise UsageLogError."""

    async def ended_usage(self, org_id: str, start: UnixMs, end: UnixMs) -> Sequence[EndedUsage]:
        """Add up, by model, what generations cost that ended in a period: largest cost first."""
        ...

    async def activity(self, question: ActivityQuestion) -> Sequence[Activity]:
        """Add usage up by day and endpoint, latest day first.

        Raises:
            InvalidQuestionError: the answer has more rows than fit.
        """
        ...

    async def analytics(self, question: AnalyticsQuestion) -> AnalyticsAnswer:
        """Add metrics up."""
        ...


def filter_of(field: str, operator: str, values: Iterable[str], *, include_unset: bool) -> Filter:
    """Check a condition.

    Raises:
        InvalidQuestionError: there is no such dimension or operator, or the values do not fit.
    """
    if field not in analytics.DIMENSIONS:
        raise InvalidQuestionError("filters", f"has the field {field[:64]!r}, which is not a dimension")
    try:
        known = Operator(operator)
    except ValueError:
        raise InvalidQuestionError("filters", f"has the operator {operator[:64]!r}, which is unknown") from None
    found = tuple(values)
    if known in analytics.SETS:
        if not 1 <= len(found) <= analytics.MAX_FILTER_VALUES:
            raise InvalidQuestionError("filters", f"needs 1 to {analytics.MAX_FILTER_VALUES} values for {operator}")
    elif len(found) != 1:
        raise InvalidQuestionError("filters", f"needs one value for {operator}")
    if known in analytics.ORDERED and field != "context_length_bucket":
        raise InvalidQuestionError("filters", f"cannot use {operator} with {field}, whose values have no order")
    if field == "context_length_bucket" and not set(found) <= set(analytics.CONTEXT_BUCKETS):
        raise InvalidQuestionError("filters", f"knows only {', '.join(analytics.CONTEXT_BUCKETS)} for {field}")
    if field == "app" and not all(value.isascii() and value.isdigit() and len(value) <= 10 for value in found):
        raise InvalidQuestionError("filters", "needs the numeric id of an app")
    if include_unset and known not in analytics.SETS:
        raise InvalidQuestionError("filters", "can include_unset with in and not_in only")
    return Filter(field, known, found, include_unset)


def question_of(
    *,
    org_id: str,
    start: UnixMs,
    end: UnixMs,
    metrics: Sequence[str],
    dimensions: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    granularity: str = "",
    order_by: str = "",
    descending: bool = False,
    limit: int = 0,
    group_limit: int = 0,
) -> AnalyticsQuestion:
    """Check a question.

    Raises:
        InvalidQuestionError: it breaks a rule; the field is named.
    """
    if not org_id:
        raise InvalidQuestionError("org_id", "is empty")
    _check_names("metrics", metrics, analytics.METRICS, analytics.MAX_METRICS)
    if not metrics:
        raise InvalidQuestionError("metrics", "needs at least one metric")
    _check_names("dimensions", dimensions, analytics.DIMENSIONS, analytics.MAX_DIMENSIONS)
    if len(filters) > analytics.MAX_FILTERS:
        raise InvalidQuestionError("filters", f"has more than {analytics.MAX_FILTERS} filters")
    bucket = _granularity(granularity)
    _check_range(start, end, metrics, dimensions, filters)
    if order_by and order_by not in {*metrics, *dimensions, "request_count", DATE}:
        raise InvalidQuestionError("order_by", "must be a requested metric or dimension, request_count or date")
    if order_by == DATE and bucket is None:
        raise InvalidQuestionError("order_by", "cannot be date without a granularity")
    if not 0 <= limit <= analytics.MAX_LIMIT:
        raise InvalidQuestionError("limit", f"must be from 1 to {analytics.MAX_LIMIT}")
    if not 0 <= group_limit <= analytics.MAX_LIMIT:
        raise InvalidQuestionError("group_limit", f"must be from 1 to {analytics.MAX_LIMIT}")
    return AnalyticsQuestion(
        org_id=org_id,
        start=start,
        end=end,
        metrics=tuple(metrics),
        dimensions=tuple(dimensions),
        filters=tuple(filters),
        granularity=bucket,
        order_by=order_by or None,
        descending=descending,
        limit=limit or _usual_limit(bucket, start, end, dimensions, group_limit),
        group_limit=(group_limit or None) if dimensions else None,
    )


def _check_names(field: str, names: Sequence[str], known: Iterable[str], most: int) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidQuestionError(field, f"has {unknown[0][:64]!r}, which is unknown")
    if len(set(names)) != len(names):
        raise InvalidQuestionError(field, "has a name twice")
    if len(names) > most:
        raise InvalidQuestionError(field, f"has more than {most}")


def _granularity(name: str) -> Granularity | None:
    try:
        return Granularity(name) if name else None
    except ValueError:
        raise InvalidQuestionError("granularity", f"must be one of {', '.join(Granularity)}") from None


def _check_range(
    start: UnixMs, end: UnixMs, metrics: Sequence[str], dimensions: Sequence[str], filters: Sequence[Filter]
) -> None:
    if start >= end:
        raise InvalidQuestionError("time_range", "has a start that is not before its end")
    length_s = (end - start) / 1_000
    if length_s > analytics.MAX_RANGE.total_seconds():
        raise InvalidQuestionError("time_range", f"is longer than {analytics.MAX_RANGE.days} days")
    if length_s <= analytics.DETAILED_RANGE.total_seconds():
        return
    by = {*dimensions, *(each.field for each in filters)}
    detailed = [name for name in metrics if analytics.METRICS[name].detailed]
    detailed += [name for name in by if analytics.DIMENSIONS[name].detailed]
    if detailed:
        days = analytics.DETAILED_RANGE.days
        raise InvalidQuestionError("time_range", f"is longer than {days} days, which is the most for {detailed[0]}")


def _usual_limit(
    granularity: Granularity | None, start: UnixMs, end: UnixMs, dimensions: Sequence[str], group_limit: int
) -> int:
    """A thousand rows, or for each of a hundred groups as many as there are buckets of time."""
    if granularity is None or not dimensions or group_limit:
        return analytics.DEFAULT_LIMIT
    buckets = (end - start) // (_SECONDS[granularity] * 1_000) + 2
    return min(max(100 * buckets, analytics.DEFAULT_LIMIT), analytics.MAX_LIMIT)
