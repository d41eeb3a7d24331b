"""What usage can be asked for: metrics, dimensions, operators and granularities, with the words for people.

The edge lists and checks them, metering answers them; both know the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

MAX_DIMENSIONS: Final = 2
MAX_FILTERS: Final = 20
MAX_FILTER_VALUES: Final = 100
MAX_METRICS: Final = 40
DEFAULT_LIMIT: Final = 1_000
MAX_LIMIT: Final = 10_000
DEFAULT_RANGE: Final = timedelta(days=7)
MAX_RANGE: Final = timedelta(days=366)
# Percentiles, and rows of single generations, are read from the events themselves.
DETAILED_RANGE: Final = timedelta(days=31)


class Format(StrEnum):
    """How a value is shown."""

    NUMBER = "number"
    CURRENCY = "currency"
    PERCENT = "percent"
    LATENCY = "latency"
    THROUGHPUT = "throughput"


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that is counted.

    Attributes:
        is_rate: whether it is a ratio or an average, which cannot be added up.
        detailed: whether it is limited to `DETAILED_RANGE`.
    """

    name: str
    label: str
    format: Format = Format.NUMBER
    is_rate: bool = False
    detailed: bool = False


@dataclass(frozen=True, slots=True)
class Dimension:
    """Something that values are counted by. `detailed`: whether it is limited to `DETAILED_RANGE`."""

    name: str
    label: str
    detailed: bool = False


class Operator(StrEnum):
    """How a filter compares."""

    EQ = "eq"
    NEQ = "neq"
    IN = "in"
    NOT_IN = "not_in"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"


SETS: Final = frozenset({Operator.IN, Operator.NOT_IN})
ORDERED: Final = frozenset({Operator.GT, Operator.GTE, Operator.LT, Operator.LTE})


class Granularity(StrEnum):
    """Length of a bucket of time, in UTC; weeks begin on Monday."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class ContextBucket(StrEnum):
    """Prompts of at most so many tokens, and more than the bucket before holds; the last one has no end."""

    UP_TO_1K = "1K"
    UP_TO_10K = "10K"
    UP_TO_100K = "100K"
    UP_TO_1M = "1M"
    UP_TO_10M = "10M"


CONTEXT_BUCKETS: Final = tuple(bucket.value for bucket in ContextBucket)


def _speed(kind: str, format_: Format) -> list[Metric]:
    return [
        Metric(f"{name}_{kind}", f"{label} {kind}", format_, is_rate=True, detailed=True)
        for name, label in (("avg", "Average"), ("p50", "P50"), ("p90", "P90"), ("p99", "P99"))
    ]


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("request_count", "Requests"),
        Metric("failed_request_count", "Failed requests"),
        Metric("cancelled_request_count", "Cancelled requests"),
        Metric("tokens_total", "Tokens"),
        Metric("tokens_prompt", "Prompt tokens"),
        Metric("tokens_completion", "Completion tokens"),
        Metric("reasoning_tokens", "Reasoning tokens"),
        Metric("cached_tokens", "Cached tokens"),
        Metric("cache_hit_rate", "Cache hit rate", Format.PERCENT, is_rate=True),
        Metric("tool_call_error_rate", "Tool call error rate", Format.PERCENT, is_rate=True),
        Metric("total_usage", "Total usage", Format.CURRENCY),
        Metric("credits_usage", "Credits used", Format.CURRENCY),
        Metric("byok_request_count", "Requests with own provider keys"),
        Metric("byok_usage_inference", "Usage of own provider keys", Format.CURRENCY),
        Metric("byok_fees", "Fees for own provider keys", Format.CURRENCY),
        Metric("usage_upstream", "Owed to providers", Format.CURRENCY),
        Metric("usage_cache", "Cache fees", Format.CURRENCY),
        Metric("usage_data", "Data discount", Format.CURRENCY),
        Metric("usage_web", "Web search", Format.CURRENCY),
        Metric("usage_file", "File processing", Format.CURRENCY),
        Metric("usage_web_fetch", "Web fetch", Format.CURRENCY),
        *_speed("latency", Format.LATENCY),
        *_speed("throughput", Format.THROUGHPUT),
    )
}
"""By name. The last five kinds of usage are not sold here, and are null."""

DIMENSIONS: Final = {
    dimension.name: dimension
    for dimension in (
        Dimension("model", "Model"),
        Dimension("variant", "Variant"),
        Dimension("provider", "Provider"),
        Dimension("api_key_id", "API key"),
        Dimension("user", "Member"),
        Dimension("workspace", "Workspace"),
        Dimension("app", "App"),
        Dimension("origin", "Origin"),
        Dimension("country", "Country"),
        Dimension("finish_reason", "Finish reason"),
        Dimension("status", "Status"),
        Dimension("service_tier", "Service tier"),
        Dimension("external_user", "External user"),
        Dimension("context_length_bucket", "Context length"),
        Dimension("generation_id", "Generation", detailed=True),
    )
}
"""By name."""
