"""Endpoint statistics in the messages of the wire."""

from __future__ import annotations

from metering.domain.endpoint_stats import EndpointStats, EndpointWindow, Percentiles
from turnpike.metering.v1 import endpoint_stats_pb2


def stats_to_proto(stats: EndpointStats) -> endpoint_stats_pb2.EndpointStats:
    """Make the message of an endpoint's statistics."""
    shortest, middle, longest = stats.windows
    message = endpoint_stats_pb2.EndpointStats(
        endpoint_id=stats.endpoint_id,
        last_5m=_window_to_proto(shortest),
        last_30m=_window_to_proto(middle),
        last_1d=_window_to_proto(longest),
    )
    message.measured_at.seconds = stats.measured_at
    return message


def _window_to_proto(window: EndpointWindow) -> endpoint_stats_pb2.EndpointWindow:
    return endpoint_stats_pb2.EndpointWindow(
        successes=window.successes,
        errors=window.errors,
        rate_limited=window.rate_limited,
        uptime=window.uptime,
        first_token_ms=_percentiles_to_proto(window.first_token_ms),
        tokens_per_second=_percentiles_to_proto(window.tokens_per_second),
        tool_answers=window.tool_answers,
        tool_call_error_rate=window.tool_call_error_rate,
        cache_hit_rate=window.cache_hit_rate,
        prompt_pico_usd=window.prompt_price,
        completion_pico_usd=window.completion_price,
        tokens=window.prompt_tokens + window.completion_tokens,
    )


def _percentiles_to_proto(percentiles: Percentiles | None) -> endpoint_stats_pb2.Percentiles | None:
    return None if percentiles is None else endpoint_stats_pb2.Percentiles(**percentiles._asdict())
