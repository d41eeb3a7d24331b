from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from servicekit.garbage import collect_rarely


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # Python's own; a service that ran in this process has others
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_what_lives_is_not_looked_at_again_and_cycles_still_go() -> None:
    before = gc.get_threshold()
    collect_rarely()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold() > before
    assert gc.isenabled()
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() >= 1
