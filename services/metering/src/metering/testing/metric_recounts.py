"""What every metric by every dimension must be, counted over the events in Python."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from contracts.apps import app_of
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

Events = Sequence[usage_pb.UsageEvent]


def is_percentile(value: float, values: Sequence[float], level: float) -> bool:
    """Whether it lies between the values whose ranks are two percent (and one value) to either side."""
    ordered, slack = sorted(values), 0.02 * len(values) + 1
    low = ordered[max(0, int(level * len(ordered) - slack))]
    high = ordered[min(len(ordered) - 1, int(level * len(ordered) + slack))]
    return low * 0.999 - 0.01 <= value <= high * 1.001 + 0.01


def bucket_of(tokens: int) -> str:
    """The name of a length of prompts."""
    bounds = ((1_000, "1K"), (10_000, "10K"), (100_000, "100K"), (1_000_000, "1M"))
    return next((name for bound, name in bounds if tokens <= bound), "10M")


def _word(enum: Any, number: int, prefix: str) -> str:
    return str(enum.Name(number)).removeprefix(prefix).lower()


DIMENSIONS: Final[Mapping[str, Callable[[usage_pb.UsageEvent], str]]] = {
    "model": lambda each: each.model or each.requested_model.partition(":")[0],
    "variant": lambda each: each.requested_model.partition(":")[2] or "standard",
    "provider": lambda each: each.provider,
    "api_key_id": lambda each: each.key_id,
    "user": lambda each: each.member_id,
    "workspace": lambda each: each.workspace_id or each.org_id,
    "app": lambda each: app_of(each.http_referer, each.app_title).name,
    "origin": lambda each: app_of(each.http_referer, "").name,
    "country": lambda each: each.country,
    "finish_reason": lambda each: each.finish_reason,
    "status": lambda each: _word(usage_pb.GenerationStatus, each.status, "GENERATION_STATUS_"),
    "service_tier": lambda each: each.service_tier,
    "external_user": lambda each: each.external_user,
    "context_length_bucket": lambda each: bucket_of(each.usage.prompt_tokens),
    "generation_id": lambda each: each.generation_id,
}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _with_tools(events: Events, *, bad: bool) -> int:
    return sum(each.finish_reason == "tool_calls" and (each.bad_tool_calls > 0 or not bad) for each in events)


COUNTS: Final[Mapping[str, Callable[[Events], Any]]] = {
    "request_count": len,
    "failed_request_count": lambda events: sum(each.status == usage_pb.GENERATION_STATUS_FAILED for each in events),
    "cancelled_request_count": lambda events: sum(
        each.status == usage_pb.GENERATION_STATUS_CANCELLED for each in events
    ),
    "tokens_total": lambda events: sum(each.usage.prompt_tokens + each.usage.completion_tokens for each in events),
    "tokens_prompt": lambda events: sum(each.usage.prompt_tokens for each in events),
    "tokens_completion": lambda events: sum(each.usage.completion_tokens for each in events),
    "reasoning_tokens": lambda events: sum(each.usage.reasoning_tokens for each in events),
    "cached_tokens": lambda events: sum(each.usage.cached_tokens for each in events),
    "cache_hit_rate": lambda events: _share(
        sum(each.usage.cached_tokens for each in events), sum(each.usage.prompt_tokens for each in events)
    ),
    "tool_call_error_rate": lambda events: _share(_with_tools(events, bad=True), _with_tools(events, bad=False)),
    "total_usage": lambda events: sum(
        each.cost_nano_usd + (each.provider_cost_nano_usd if each.is_byok else 0) for each in events
    ),
    "credits_usage": lambda events: sum(each.cost_nano_usd for each in events),
    "byok_request_count": lambda events: sum(each.is_byok for each in events),
    "byok_usage_inference": lambda events: sum(each.provider_cost_nano_usd for each in events if each.is_byok),
    "byok_fees": lambda events: sum(each.cost_nano_usd for each in events if each.is_byok),
    "usage_upstream": lambda events: sum(each.provider_cost_nano_usd for each in events),
    **{
        name: lambda events: None
        for name in ("usage_cache", "usage_data", "usage_web", "usage_file", "usage_web_fetch")
    },
}


def waits(events: Events) -> list[float]:
    """Milliseconds to the first token of streamed answers."""
    done = usage_pb.GENERATION_STATUS_COMPLETED
    return [each.first_token_ms for each in events if each.streamed and each.status == done and each.first_token_ms]


def speeds(events: Events) -> list[float]:
    """Tokens per second of answers."""
    done = usage_pb.GENERATION_STATUS_COMPLETED
    return [
        each.usage.completion_tokens * 1_000 / each.generation_ms
        for each in events
        if each.status == done and each.usage.completion_tokens and each.generation_ms
    ]


# Metric: values, and the share of them that lies below; None for the average.
SPREADS: Final[Mapping[str, tuple[Callable[[Events], list[float]], float | None]]] = {
    "avg_latency": (waits, None),
    "p50_latency": (waits, 0.5),
    "p90_latency": (waits, 0.9),
    "p99_latency": (waits, 0.99),
    "avg_throughput": (speeds, None),
    "p50_throughput": (speeds, 0.5),
    "p90_throughput": (speeds, 0.1),
    "p99_throughput": (speeds, 0.01),
}


def check_spread(name: str, got: float | None, events: Events) -> None:
    """An average is exact, a percentile near.

    Raises:
        AssertionError: it is not what the events give.
    """
    values_of, level = SPREADS[name]
    values = values_of(events)
    if not values:
        assert got is None
        return
    assert got is not None
    if level is None:
        assert math.isclose(got, statistics.fmean(values), rel_tol=1e-6)
        return
    assert is_percentile(got, values, level), name


def check_metrics(row: dict[str, Any], events: Events) -> None:
    """Look at every metric of a row.

    Raises:
        AssertionError: one is not what the events give.
    """
    for name, count in COUNTS.items():
        assert row[name] == count(events), name
    for name in SPREADS:
        check_spread(name, row[name], events)
