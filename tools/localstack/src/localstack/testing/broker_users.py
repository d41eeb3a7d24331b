"""Which tests speak to a broker: what a run on Apache Kafka selects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest

_SOURCES: Final = frozenset({"kafka_broker", "new_broker", "running_stack", "RunningStack"})
"""What hands out a broker, or a local stack with one in it."""


def split_by_broker(items: Sequence[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Divide tests into those that speak to a broker and the others.

    The first are those of files that import what hands out brokers, and those with a fixture, however far behind, that uses it.
    """
    chosen, others = list[pytest.Item](), list[pytest.Item]()
    for item in items:
        (chosen if _speaks(item) else others).append(item)
    return chosen, others


def _speaks(item: Any) -> bool:
    if not isinstance(item, pytest.Function):
        return False
    if not _SOURCES.isdisjoint(vars(item.module)):
        return True
    fixtures: Any = item._fixtureinfo.name2fixturedefs
    return any(not _SOURCES.isdisjoint(_names(fixture.func)) for each in fixtures.values() for fixture in each)


def _names(function: Any) -> Sequence[str]:
    code = getattr(function, "__code__", None)
    return () if code is None else code.co_names
