"""What endpoints did lately, for the lists of models and endpoints. What is not known is None, never a guess."""

from __future__ import annotations

from edge.api.catalog.rows import Row
from edge.ports import EndpointStats
from turnpike.metering.v1 import endpoint_stats_pb2


def windows(row: Row, stats: EndpointStats) -> list[endpoint_stats_pb2.EndpointStats]:
    """The statistics of those endpoints of a model that have any."""
    found = (stats.stats(endpoint.id) for endpoint in row.model.endpoints)
    return [each for each in found if each is not None]


def throughput(row: Row, stats: EndpointStats) -> float | None:
    """Tokens per second of its fastest endpoint: the median over half an hour."""
    known = (each.last_30m for each in windows(row, stats) if each.last_30m.HasField("tokens_per_second"))
    return max((window.tokens_per_second.p50 for window in known), default=None)


def latency(row: Row, stats: EndpointStats) -> float | None:
    """Milliseconds to the first token at its quickest endpoint: the median over half an hour."""
    known = (each.last_30m for each in windows(row, stats) if each.last_30m.HasField("first_token_ms"))
    return min((window.first_token_ms.p50 for window in known), default=None)


def tool_success_rate(row: Row, stats: EndpointStats) -> float | None:
    """Share of the answers with calls of tools, over a day and all endpoints, in which every call was good."""
    answers, bad = 0, 0.0
    for each in windows(row, stats):
        if each.last_1d.HasField("tool_call_error_rate"):
            answers += each.last_1d.tool_answers
            bad += each.last_1d.tool_answers * each.last_1d.tool_call_error_rate
    return 1 - bad / answers if answers else None


def tokens_of_a_day(row: Row, stats: EndpointStats) -> int:
    """Tokens of its answers within a day."""
    return sum(each.last_1d.tokens for each in windows(row, stats))
