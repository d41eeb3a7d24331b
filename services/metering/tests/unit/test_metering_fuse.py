from __future__ import annotations

from metering.domain.fuse import Fuse, FuseLimits

LIMITS = FuseLimits(consecutive=5, ratio=0.5, window=10)


def test_fuse_blows_at_the_consecutive_limit_and_stays_blown() -> None:
    fuse = Fuse(LIMITS)
    for _ in range(4):
        fuse.bad()
    assert fuse.blown is None
    fuse.bad()
    fuse.good()
    assert fuse.blown == "5 invalid usage events in a row"


def test_a_good_event_begins_the_count_again() -> None:
    fuse = Fuse(LIMITS)
    for _ in range(20):
        fuse.bad()
        fuse.good()
    assert fuse.blown is None


def test_fuse_blows_when_more_than_the_ratio_of_a_full_window_is_bad() -> None:
    fuse = Fuse(LIMITS)
    for bad in [True, True, False] * 3:
        fuse.bad() if bad else fuse.good()
    assert fuse.blown is None
    fuse.bad()
    assert fuse.blown == "7 of the last 10 usage events are invalid"


def test_what_left_the_window_no_longer_counts() -> None:
    fuse = Fuse(LIMITS)
    for _ in range(4):
        fuse.bad()
    for _ in range(10):
        fuse.good()
    for _ in range(4):
        fuse.bad()
        fuse.good()
    assert fuse.blown is None
