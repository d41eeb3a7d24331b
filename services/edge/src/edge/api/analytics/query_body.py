"""The body of `POST /analytics/query`. Names and limits are checked by whoever answers; here only their form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Meta, Struct

from contracts import analytics
from dialects.errors import InvalidRequestError
from dialects.request_reading import convert_request
from edge.domain.errors import InvalidInputError
from turnpike.metering.v1 import analytics_service_pb2 as messages

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Word = Annotated[str, Meta(max_length=512)]
Scalar = Word | int | float
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class TimeRange(Struct, frozen=True, kw_only=True):
    """A period; its end is not in it. Times carry their zone."""

    start: datetime
    end: datetime


class Order(Struct, frozen=True, kw_only=True):
    """A requested metric or dimension, `request_count`, or `date`."""

    field: Name
    direction: Literal["asc", "desc"]


class Condition(Struct, frozen=True, kw_only=True):
    """A condition on a dimension: one value, or a list for `in` and `not_in`."""

    field: Name
    operator: Name
    value: Scalar | Annotated[list[Scalar], Meta(max_length=analytics.MAX_FILTER_VALUES)]
    include_unset: bool = False


class AnalyticsQuery(Struct, frozen=True, kw_only=True):
    """What is to be counted. Classifiers are not offered, so they must be absent or null."""

    metrics: Annotated[list[Name], Meta(min_length=1, max_length=analytics.MAX_METRICS)]
    dimensions: Annotated[list[Name], Meta(max_length=analytics.MAX_DIMENSIONS)] = []
    filters: Annotated[list[Condition], Meta(max_length=analytics.MAX_FILTERS)] = []
    granularity: Literal["minute", "hour", "day", "week", "month"] | None = None
    order_by: Order | None = None
    limit: Annotated[int, Meta(ge=1, le=analytics.MAX_LIMIT)] | None = None
    group_limit: Annotated[int, Meta(ge=1, le=analytics.MAX_LIMIT)] | None = None
    time_range: TimeRange | None = None
    classifier_dimensions: None = None
    classifier_filters: None = None


_EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)


def query_of(data: bytes) -> AnalyticsQuery:
    """Read the body.

    Raises:
        InvalidInputError: not JSON, or a member is missing or wrong.
    """
    try:
        document = _decode(data)
    except msgspec.ValidationError:
        raise InvalidInputError("the body must be a JSON object") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidInputError("the body is not valid JSON") from None
    for name in ("classifier_dimensions", "classifier_filters"):
        if document.get(name) is not None:
            raise InvalidInputError(f"{name}: classifiers are not offered", name)
    try:
        query = convert_request(document, AnalyticsQuery)
    except InvalidRequestError as error:
        raise InvalidInputError(error.message, error.param) from None
    if query.time_range is not None:
        _check_moment(query.time_range.start, "time_range.start")
        _check_moment(query.time_range.end, "time_range.end")
        if query.time_range.start >= query.time_range.end:
            raise InvalidInputError("time_range.start: must be before time_range.end", "time_range.start")
    return query


def request_of(query: AnalyticsQuery, org_id: str, now: datetime) -> messages.QueryAnalyticsRequest:
    """Put the query on the wire; without a period it is the last 7 days."""
    period = query.time_range
    request = messages.QueryAnalyticsRequest(
        org_id=org_id,
        start=_stamp(now - analytics.DEFAULT_RANGE if period is None else period.start),
        end=_stamp(now if period is None else period.end),
        metrics=query.metrics,
        dimensions=query.dimensions,
        filters=[
            messages.AnalyticsFilter(
                field=each.field, operator=each.operator, values=values_of(each), include_unset=each.include_unset
            )
            for each in query.filters
        ],
        granularity=query.granularity or "",
        limit=query.limit or 0,
        group_limit=query.group_limit or 0,
    )
    if query.order_by is not None:
        request.order_by = query.order_by.field
        request.descending = query.order_by.direction == "desc"
    return request


def values_of(condition: Condition) -> list[str]:
    """The values of a condition as text."""
    values = condition.value if isinstance(condition.value, list) else [condition.value]
    return [
        value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
        for value in values
    ]


def _check_moment(moment: datetime, param: str) -> None:
    if moment.tzinfo is None:
        raise InvalidInputError(f"{param}: expected a time with its zone, such as 2026-12-31T23:59:59Z", param)
    if not _EARLIEST <= moment < _LATEST:
        raise InvalidInputError(f"{param}: expected a time between 2020 and 2100", param)


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp
