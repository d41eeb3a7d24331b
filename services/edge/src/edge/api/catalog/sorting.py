"""In which order the list of models comes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from edge.api.catalog.figures import latency, throughput, tokens_of_a_day
from edge.api.catalog.query import Sort
from edge.api.catalog.rows import Row
from edge.ports import EndpointStats

Key = Callable[[Row, EndpointStats], float]


def _average_price(row: Row, stats: EndpointStats) -> float:
    return (row.top.price.prompt_pico_usd + row.top.price.completion_pico_usd) / 2


def _unknown_last(figure: float | None, sign: int) -> float:
    return math.inf if figure is None else sign * figure


# Lowest first. Lines come newest first, and sorting is stable, so that is also the order of what nothing is known of.
_KEYS: Final[Mapping[str, Key]] = MappingProxyType(
    {
        "newest": lambda row, stats: -row.model.created_at.seconds,
        "pricing-low-to-high": _average_price,
        "pricing-high-to-low": lambda row, stats: -_average_price(row, stats),
        "context-high-to-low": lambda row, stats: -row.model.context_length,
        "throughput-high-to-low": lambda row, stats: _unknown_last(throughput(row, stats), -1),
        "latency-low-to-high": lambda row, stats: _unknown_last(latency(row, stats), 1),
        "most-popular": lambda row, stats: -tokens_of_a_day(row, stats),
        "top-weekly": lambda row, stats: -tokens_of_a_day(row, stats),
    }
)


def in_order(rows: Iterable[Row], sort: Sort | None, stats: EndpointStats) -> list[Row]:
    """Sort lines. What sorts by figures that nobody has here (benchmarks) leaves them as they are: newest first."""
    key = _KEYS.get(sort) if sort is not None else None
    if key is None:
        return list(rows)
    return sorted(rows, key=lambda row: key(row, stats))
