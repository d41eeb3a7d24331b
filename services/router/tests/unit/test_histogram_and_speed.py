"""Distributions over five minutes, and the waits that follow from them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.histogram import WINDOW_SECONDS, WINDOWS, WindowedHistogram
from router.domain.rolling import RollingCounts
from router.domain.speed import FALLING_SECONDS, MIN_FOR_LIMITS, RISING_SECONDS, EndpointSpeed


@given(st.lists(st.floats(min_value=0.001, max_value=1000), min_size=1, max_size=300))
def test_percentiles_are_those_of_the_values(values: list[float]) -> None:
    histogram = WindowedHistogram()
    for value in values:
        histogram.record(100.0, value)
    found = histogram.distribution(100.0)
    assert found is not None
    ordered = sorted(values)
    for share, seen in ((0.5, found.p50), (0.9, found.p90), (0.99, found.p99), (0.01, found.p01)):
        rank = max(1, -(-len(ordered) * round(share * 100) // 100))
        assert seen == pytest.approx(ordered[rank - 1], rel=0.03)
    assert found.count == len(values)


def test_what_is_older_than_five_minutes_is_forgotten() -> None:
    histogram = WindowedHistogram()
    histogram.record(0.0, 1.0)
    histogram.record(WINDOW_SECONDS * 3.0, 9.0)
    early = histogram.distribution(WINDOW_SECONDS * 3.0)
    assert early is not None
    assert early.count == 2
    late = histogram.distribution(WINDOW_SECONDS * WINDOWS + 1.0)
    assert late is not None
    assert late.count == 1
    assert late.p50 == pytest.approx(9.0, rel=0.03)
    assert histogram.distribution(WINDOW_SECONDS * (WINDOWS + 4.0)) is None


def test_a_window_that_comes_again_starts_empty() -> None:
    histogram = WindowedHistogram()
    histogram.record(1.0, 1.0)
    histogram.record(1.0 + WINDOW_SECONDS * WINDOWS, 5.0)
    found = histogram.distribution(2.0 + WINDOW_SECONDS * WINDOWS)
    assert found is not None
    assert found.count == 1


def test_memory_is_bounded_whatever_comes() -> None:
    histogram, random = WindowedHistogram(), Random(1)
    for number in range(50_000):
        histogram.record(number / 100, 10 ** random.uniform(-9, 9))
    assert sum(len(counts) for counts in histogram._counts) <= WINDOWS * 401


def test_long_prompts_are_not_judged_by_short_ones() -> None:
    speed = EndpointSpeed()
    for _ in range(50):
        speed.record_first_token(10.0, 0.2, prompt_tokens=100)
    for _ in range(10):
        speed.record_first_token(10.0, 4.0, prompt_tokens=50_000)
    short, long = speed.first_token(10.0, 500), speed.first_token(10.0, 40_000)
    assert short is not None
    assert long is not None
    assert short.p50 == pytest.approx(0.2, rel=0.03)
    assert long.p50 == pytest.approx(4.0, rel=0.03)
    # Nobody has sent one of this size: all together say more than nothing.
    middle = speed.first_token(10.0, 10_000)
    assert middle is not None
    assert middle.count == 60


@pytest.mark.parametrize(("first_token", "limit"), [(0.1, 5.0), (4.0, 12.0), (50.0, 60.0)])
def test_first_token_limit_is_three_times_the_95th_percentile_within_bounds(first_token: float, limit: float) -> None:
    speed = EndpointSpeed()
    for number in range(20):
        assert speed.first_token_limit(float(number), 10) is None
        speed.record_first_token(float(number), first_token, 10)
    assert speed.first_token_limit(20.0, 10) == pytest.approx(limit, rel=0.03)


def test_stall_limit_follows_the_longest_pauses() -> None:
    speed = EndpointSpeed()
    assert speed.stall_limit(0.0) is None
    for _ in range(20):
        speed.record_pause(0.0, 8.0)
    assert speed.stall_limit(1.0) == pytest.approx(24.0, rel=0.03)


@pytest.mark.parametrize(("first", "then", "seconds"), [(1.0, 9.0, RISING_SECONDS), (9.0, 1.0, FALLING_SECONDS)])
def test_what_a_first_token_takes_now_moves_as_fast_at_any_rate(first: float, then: float, seconds: float) -> None:
    for rate in (1, 100):
        speed = EndpointSpeed()
        speed.record_first_token(0.0, first, 10)
        for number in range(1, int(seconds) * rate + 1):
            speed.record_first_token(number / rate, then, 10)
        # After one time constant, 63 % of the way.
        assert speed.recent_first_token(seconds) == pytest.approx(first + (then - first) * 0.632, rel=0.02)


def test_calls_that_wait_are_seen_before_they_are_answered() -> None:
    speed = EndpointSpeed()
    speed.record_first_token(0.0, 0.5, 10)
    for number in range(4):
        speed.began_waiting(1.0 + number)
    # They have waited 1.5 s on average.
    assert speed.recent_first_token(4.0) == pytest.approx(2.25)
    for number in range(4):
        speed.ended_waiting(1.0 + number)
    assert speed.recent_first_token(4.0) == pytest.approx(0.5)
    speed.ended_waiting(1.0)
    assert speed.recent_first_token(4.0) == pytest.approx(0.5)


def test_calls_that_are_given_up_show_that_an_endpoint_hangs() -> None:
    speed = EndpointSpeed()
    speed.record_first_token(0.0, 0.5, 10)
    for number in range(30):
        speed.began_waiting(1.0 + number / 10)
    for number in range(30):
        speed.gave_up(5.0 + number / 10, 1.0 + number / 10)
    # Nobody waits any more, and still it is known.
    found = speed.recent_first_token(8.0)
    assert found is not None
    assert 3.0 < found <= 4.0


def test_callers_who_leave_soon_say_nothing() -> None:
    speed = EndpointSpeed()
    for number in range(10):
        speed.began_waiting(float(number))
        speed.gave_up(number + 0.1, float(number))
    assert speed.recent_first_token(10.0) is None
    speed.record_first_token(11.0, 0.5, 10)
    speed.began_waiting(12.0)
    speed.gave_up(12.1, 12.0)
    assert speed.recent_first_token(12.1) == pytest.approx(0.5)


def test_overdue_is_what_takes_three_times_as_long_as_almost_all_of_that_size() -> None:
    speed = EndpointSpeed()
    for number in range(MIN_FOR_LIMITS):
        assert not speed.is_overdue(float(number), 100.0, 10)
        speed.record_first_token(float(number), 1.0, 10)
        speed.record_first_token(float(number), 10.0, 50_000)
    assert speed.is_overdue(21.0, 3.2, 10)
    assert not speed.is_overdue(21.0, 2.8, 10)
    assert not speed.is_overdue(21.0, 20.0, 50_000)


@given(st.lists(st.tuples(st.floats(min_value=0.0, max_value=30.0), st.booleans()), max_size=60))
def test_rolling_counts_are_the_same_however_often_they_are_asked_for(calls: list[tuple[float, bool]]) -> None:
    asked, silent = (RollingCounts(width_seconds=2, slots=5) for _ in range(2))
    for at, good in sorted(calls):
        for counts in (asked, silent):
            counts.add(at, int(good), int(not good))
        asked.totals(at)
        asked.totals(at + 1.0)
    end = max((at for at, _ in calls), default=0.0)
    assert asked.totals(end) == silent.totals(end)
    in_window = [good for at, good in calls if at // 2 > end // 2 - 5]
    assert silent.totals(end) == (sum(in_window), len(in_window) - sum(in_window))
