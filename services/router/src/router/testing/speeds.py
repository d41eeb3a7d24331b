"""Distributions for tests that care about one figure only."""

from __future__ import annotations

from router.domain.histogram import Distribution


def steady(value: float, count: int = 100) -> Distribution:
    """A distribution whose values are all the same."""
    return Distribution(count, *([value] * 8))
