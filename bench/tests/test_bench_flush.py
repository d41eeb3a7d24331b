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
    ("after", "back"),
    [
        ([30, 30, 30], 0),
        ([90, 90, 30], 2),
        ([90, 30, 90], None),
        ([44, 46, 30], 2),
        ([30, 90, 30], 2),
    ],
)
def test_it_is_back_when_it_stays_as_fast_as_before(after: list[float], back: int | None) -> None:
    times = [15.0, 30.0, *after]
    seconds = [Second(at, 10, 0.1, p99, {"503": 1}, USE) for at, p99 in enumerate(times, start=-2)]
    found = Flush(2, 3, 1, 10, seconds)
    assert found.back_after_s == back
    assert (found.refused["503"], found.refused["401"]) == (5, 0)


def test_a_second_that_a_stall_of_the_machine_explains_is_as_fast_as_before() -> None:
    seconds = [Second(at, 10, 0.1, p99, {}, USE) for at, p99 in ((-1, 3.0), (0, 90.0), (1, 24.0), (2, 4.0))]
    assert Flush(2, 3, 1, 10, seconds).back_after_s == 1
