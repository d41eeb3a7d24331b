"""Types of the answers about one organisation's usage."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from edge.api.http.answer import Answer


class ActivityItem(Answer, frozen=True, kw_only=True):
    """Usage of one endpoint on one day. Amounts are dollars. The last four are there where activity is grouped by them."""

    date: str
    model: str
    model_permaslug: str
    endpoint_id: str
    provider_name: str
    usage: float
    byok_usage_inference: float
    requests: int
    byok_requests: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int
    workspace_id: str | UnsetType = UNSET
    api_key_id: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    app: str | UnsetType = UNSET


class MetricItem(Answer, frozen=True, kw_only=True):
    """Something that is counted. A rate or an average cannot be added up."""

    name: str
    display_label: str
    is_rate: bool
    display_format: Literal["number", "currency", "percent", "latency", "throughput"]


class DimensionItem(Answer, frozen=True, kw_only=True):
    """Something that is counted by."""

    name: str
    display_label: str


class OperatorItem(Answer, frozen=True, kw_only=True):
    """A comparison of filters."""

    name: Literal["eq", "neq", "in", "not_in", "gt", "gte", "lt", "lte"]
    value_type: Literal["scalar", "array"]


class GranularityItem(Answer, frozen=True, kw_only=True):
    """A length of buckets of time."""

    name: Literal["minute", "hour", "day", "week", "month"]
    display_label: str


class AnalyticsMeta(Answer, frozen=True, kw_only=True):
    """What can be asked for."""

    metrics: list[MetricItem]
    dimensions: list[DimensionItem]
    operators: list[OperatorItem]
    granularities: list[GranularityItem]


class AnalyticsMetadata(Answer, frozen=True, kw_only=True):
    """About the answer. `truncated`: there are more rows."""

    row_count: int
    truncated: bool
    query_time_ms: float


class AnalyticsResult(Answer, frozen=True, kw_only=True):
    """Rows: the start of the bucket as `date__<granularity>`, dimensions and metrics by name."""

    data: list[dict[str, Any]]
    metadata: AnalyticsMetadata
    warnings: list[str] | UnsetType = UNSET
