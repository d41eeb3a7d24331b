from __future__ import annotations

from servicekit.liveness import Progress


class Steps:
    """A clock, and a progress that may take ten seconds from one step to the next."""

    def __init__(self) -> None:
        self.now = 100.0
        self.progress = Progress(10, lambda: self.now)


def test_it_is_stuck_after_too_long_without_a_step() -> None:
    steps = Steps()
    steps.now += 10
    assert not steps.progress.is_stuck(able_since=0)
    steps.now += 1
    assert steps.progress.is_stuck(able_since=0)
    steps.progress.note()
    assert not steps.progress.is_stuck(able_since=0)


def test_time_counts_from_when_it_was_able_to_make_a_step() -> None:
    steps = Steps()
    steps.now += 1_000
    assert not steps.progress.is_stuck(able_since=None)
    assert not steps.progress.is_stuck(able_since=steps.now - 10)
    assert steps.progress.is_stuck(able_since=steps.now - 11)
