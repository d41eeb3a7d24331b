"""The bench of a flush answers what arrives, and says when it is as fast as before."""

from __future__ import annotations

import pytest

from turnpike_bench.flush.__main__ import Load, measure
from turnpike_bench.flush.figures import Flush, Second, Use

USE = Use(10, 0.1, 0.1, 0.1)


def test_edges_that_lose_everything_answer_everybody() -> None:
    found = measure(
        Load(edges=2, processes=1, orgs=3, keys=30, rate=40, warm_s=0, steady_s=1, after_s=2, generation_s=0.1)
    )
    assert [second.at_s for second in found.seconds] == [-1, 0, 1]
    assert sum(second.answered for second in found.seconds) > 60
    # A machine that has no time for it may make some late; nobody is told that there is no such key, or no credit.
    assert set(found.refused) <= {"503"}
    assert "401: 0" in found.table()


@pytest.mark.parametrize(
    ("after", "back"), [([1, 1, 1], 0), ([9, 9, 1], 2), ([9, 1, 9], None), ([1.4, 1.6, 1], 2), ([1, 9, 1], 2)]
)
def test_it_is_back_when_it_stays_as_fast_as_before(after: list[float], back: int | None) -> None:
    times = [0.5, 1.0, *after]
    seconds = [Second(at, 10, 0.1, p99, {"503": 1}, USE) for at, p99 in enumerate(times, start=-2)]
    found = Flush(2, 3, 1, 10, seconds)
    assert found.back_after_s == back
    assert (found.refused["503"], found.refused["401"]) == (5, 0)
