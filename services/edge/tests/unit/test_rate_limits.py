"""Limits on requests, tokens, spending and requests in hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit
from edge.domain.errors import RateLimitError
from edge.domain.rate_limits import Claim, LimitSet, RateLimits
from edge.domain.request_rate import RequestRate

NOW_MS = 1_790_000_000_000
MINUTE_MS, DAY_MS = 60_000, 86_400_000


def limits(*each: tuple[str, str, int] | tuple[str, str, int, str], subject: str = "key") -> LimitSet:
    made = [RateLimit(LimitedQuantity(quantity), RateInterval(interval), *rest) for quantity, interval, *rest in each]
    return LimitSet(subject, "this API key", made)


def test_s38_requests_are_counted_by_minute_and_the_refusal_says_when_there_are_more() -> None:
    counts = RateLimits()
    two = [limits(("requests", "minute", 2))]
    for _ in range(2):
        counts.reserve(two, Claim(), NOW_MS).close()
    with pytest.raises(RateLimitError, match="2 requests per minute for this API key") as raised:
        counts.reserve(two, Claim(), NOW_MS)
    error = raised.value
    assert (error.limit, error.remaining) == (2, 0)
    assert error.reset_ms % MINUTE_MS == 0
    assert 0 < error.retry_after_s <= 60
    counts.reserve(two, Claim(), error.reset_ms)


def test_s38_tokens_are_reserved_so_that_requests_at_once_cannot_pass_the_limit() -> None:
    counts = RateLimits()
    hundred = [limits(("tokens", "minute", 100))]
    first = counts.reserve(hundred, Claim(tokens=60), NOW_MS)
    with pytest.raises(RateLimitError) as raised:
        counts.reserve(hundred, Claim(tokens=60), NOW_MS)
    assert raised.value.remaining == 40
    first.settle(tokens=10, spend=0)
    first.settle(tokens=1_000, spend=0)
    counts.reserve(hundred, Claim(tokens=90), NOW_MS)


def test_a_request_that_could_use_more_than_the_limit_takes_all_of_it_alone() -> None:
    counts = RateLimits()
    hundred = [limits(("tokens", "minute", 100))]
    first = counts.reserve(hundred, Claim(tokens=4_096), NOW_MS)
    with pytest.raises(RateLimitError):
        counts.reserve(hundred, Claim(tokens=1), NOW_MS)
    first.settle(tokens=30, spend=0)
    counts.reserve(hundred, Claim(tokens=70), NOW_MS)


def test_all_limits_are_taken_or_none() -> None:
    counts = RateLimits()
    sets = [limits(("requests", "day", 5)), limits(("tokens", "minute", 10), subject="org")]
    counts.reserve(sets, Claim(tokens=10), NOW_MS)
    for _ in range(9):
        with pytest.raises(RateLimitError):
            counts.reserve(sets, Claim(tokens=10), NOW_MS)
    for number in range(1, 5):
        counts.reserve(sets, Claim(tokens=10), NOW_MS + number * MINUTE_MS)
    with pytest.raises(RateLimitError, match="per day"):
        counts.reserve(sets, Claim(tokens=10), NOW_MS + 5 * MINUTE_MS)


def test_s38_requests_in_hand_are_counted_until_they_are_over() -> None:
    counts = RateLimits()
    one = [limits(("concurrency", "", 1))]
    first = counts.reserve(one, Claim(), NOW_MS)
    with pytest.raises(RateLimitError, match="at the same time"):
        counts.reserve(one, Claim(), NOW_MS + DAY_MS)
    first.settle(5, 5)
    first.close()
    first.close()
    second = counts.reserve(one, Claim(), NOW_MS)
    second.release()
    counts.reserve(one, Claim(), NOW_MS)


def test_a_limit_of_a_model_counts_that_model_only() -> None:
    counts = RateLimits()
    of_one = [limits(("requests", "minute", 1, "acme/one"))]
    counts.reserve(of_one, Claim(models=frozenset({"acme/one", "acme/one-2026"})), NOW_MS)
    counts.reserve(of_one, Claim(models=frozenset({"acme/two"})), NOW_MS)
    with pytest.raises(RateLimitError, match="with acme/one"):
        counts.reserve(of_one, Claim(models=frozenset({"acme/one"})), NOW_MS)


def test_what_ends_in_a_later_window_changes_nothing_there() -> None:
    counts = RateLimits()
    dollar = [limits(("spend", "minute", 100))]
    early = counts.reserve(dollar, Claim(spend=100), NOW_MS)
    counts.reserve(dollar, Claim(spend=60), NOW_MS + MINUTE_MS)
    early.settle(tokens=0, spend=0)
    with pytest.raises(RateLimitError):
        counts.reserve(dollar, Claim(spend=60), NOW_MS + MINUTE_MS)


def test_each_of_several_edges_has_its_share_and_at_least_one() -> None:
    counts = RateLimits(edges=3)
    for _ in range(3):
        counts.reserve([limits(("requests", "minute", 10))], Claim(), NOW_MS)
    with pytest.raises(RateLimitError, match="10 requests per minute") as raised:
        counts.reserve([limits(("requests", "minute", 10))], Claim(), NOW_MS)
    assert raised.value.limit == 3
    counts.reserve([limits(("requests", "minute", 2), subject="other")], Claim(), NOW_MS)


@given(
    st.integers(min_value=1, max_value=50),
    st.lists(st.tuples(st.integers(min_value=0, max_value=80), st.integers(min_value=0, max_value=80)), max_size=40),
)
def test_what_is_reserved_never_passes_the_limit(limit: int, requests: list[tuple[int, int]]) -> None:
    counts = RateLimits()
    sets = [limits(("tokens", "day", limit))]
    open_claims: list[int] = []
    for wanted, _ in requests:
        try:
            counts.reserve(sets, Claim(tokens=wanted), NOW_MS)
        except RateLimitError:
            assert sum(open_claims) + min(wanted, limit) > limit
        else:
            open_claims.append(min(wanted, limit))
        assert sum(open_claims) <= limit


def test_s38_the_bound_of_the_installation_and_a_keys_own_limit_are_counted_apart() -> None:
    rates = RateLimits()
    rate = RequestRate(rates, 2)
    own = LimitSet("key/k", "this API key", [RateLimit(LimitedQuantity.REQUESTS, RateInterval.MINUTE, 1)])
    rate.count("k", NOW_MS)
    rates.reserve([own], Claim(), NOW_MS)
    rate.count("k", NOW_MS)
    with pytest.raises(RateLimitError) as refused:
        rate.count("k", NOW_MS)
    assert (refused.value.limit, refused.value.remaining) == (2, 0)
    rate.count("another", NOW_MS)
    rate.count("k", NOW_MS + MINUTE_MS)
    RequestRate(rates, 0).count("k", NOW_MS)
