"""The learned cap of a provider, and the budget for further attempts."""

from __future__ import annotations

import pytest

from router.domain.rate_cap import BURST, FORGET_SECONDS, RateCap
from router.domain.retry_budget import LEAST, RETRY_COST, TOKENS, RetryBudget


def refuse(cap: RateCap, at: float) -> None:
    cap.sent(at)
    cap.limited(at)


def learned(accepted: int, at: float = 100.0) -> RateCap:
    cap = RateCap()
    for number in range(accepted):
        cap.sent(at - 9.0 + 8.9 * number / accepted)
    for _ in range(BURST):
        refuse(cap, at)
    return cap


def test_a_single_429_sets_no_cap() -> None:
    cap = RateCap()
    cap.sent(1.0)
    refuse(cap, 1.0)
    assert cap.per_second is None
    assert not cap.reached(1.0)


def test_a_burst_sets_nine_tenths_of_the_accepted_rate() -> None:
    cap = learned(accepted=100)
    assert cap.per_second == pytest.approx(9.0)
    assert cap.reached(100.0)


def test_a_cap_that_is_learned_in_the_first_second_counts_what_has_no_answer_yet() -> None:
    cap = RateCap()
    for number in range(10):
        cap.sent(0.05 * number)
    for _ in range(BURST):
        refuse(cap, 0.6)
    assert cap.per_second == pytest.approx(9.0)


def test_the_cap_lets_its_rate_through_and_no_more() -> None:
    cap = learned(accepted=50)
    sent = 0
    for tick in range(1000):
        now = 100.0 + tick / 100
        if not cap.reached(now):
            cap.sent(now)
            sent += 1
    # Ten seconds at 4.5 a second, raised by a percent once.
    assert 43 <= sent <= 47


def test_the_cap_rises_ever_faster_without_a_429_and_is_forgotten_in_the_end() -> None:
    cap = learned(accepted=100)
    assert not cap.reached(140.0)
    assert cap.per_second == pytest.approx(9.0 * 1.01 * 1.02 * 1.04 * 1.08)
    assert not cap.reached(190.0)
    assert cap.per_second == pytest.approx(9.0 * 1.01 * 1.02 * 1.04 * 1.08 * 1.16 * 1.25**4)
    assert not cap.reached(100.0 + FORGET_SECONDS + 1)
    assert cap.per_second is None


def test_a_429_makes_the_next_steps_small_again() -> None:
    cap = learned(accepted=100)
    assert not cap.reached(140.0)
    before = cap.per_second
    assert before is not None
    refuse(cap, 141.0)
    assert not cap.reached(152.0)
    assert cap.per_second == pytest.approx(before * 1.01)


def test_another_burst_never_raises_the_cap() -> None:
    cap = learned(accepted=10)
    first = cap.per_second
    for number in range(300):
        cap.sent(110.0 + number / 100)
    for _ in range(BURST):
        refuse(cap, 113.0)
    assert cap.per_second is not None
    assert first is not None
    assert cap.per_second <= first * 1.02


def test_one_burst_lowers_the_cap_once() -> None:
    cap = learned(accepted=100)
    for number in range(20):
        refuse(cap, 100.0 + number / 10)
    assert cap.per_second == pytest.approx(9.0)


@pytest.mark.parametrize("limit", [0.5, 5.0, 50.0])
def test_under_a_steady_limit_most_of_it_is_used_and_few_calls_are_refused(limit: float) -> None:
    """A provider's bucket of a second's worth, and callers who want four times as much, for half an hour."""
    cap, allowance, filled = RateCap(), max(1.0, limit), 0.0
    sent = refused = 0
    wanted = 4.0 * limit
    for number in range(int(1800 * wanted)):
        now = number / wanted
        if cap.reached(now):
            continue
        sent += 1
        cap.sent(now)
        allowance, filled = min(max(1.0, limit), allowance + (now - filled) * limit), now
        if allowance < 1.0:
            refused += 1
            cap.limited(now)
        else:
            allowance -= 1.0
    assert sent - refused > 0.65 * 1800 * limit
    assert refused < 0.15 * sent


def test_a_provider_that_accepts_nothing_still_gets_a_call_now_and_then() -> None:
    cap = learned(accepted=0)
    assert cap.reached(100.5)
    assert not cap.reached(111.0)


def test_r4_few_in_flight_may_make_three_further_attempts() -> None:
    budget = RetryBudget()
    budget.began("m")
    assert [budget.take("m") for _ in range(LEAST + 1)] == [True, True, True, False]
    budget.give_back("m")
    assert budget.take("m")


def test_r4_many_in_flight_may_make_a_fifth_of_them() -> None:
    budget = RetryBudget()
    for _ in range(100):
        budget.began("m")
    taken = sum(budget.take("m") for _ in range(100))
    assert taken == 20
    # Another model has a budget of its own.
    assert budget.take("other")


def test_r4_tokens_bound_the_amplification_over_time() -> None:
    budget = RetryBudget()
    requests = retries = 0
    for _ in range(10_000):
        requests += 1
        budget.began("m")
        if budget.take("m"):
            retries += 1
            budget.give_back("m")
        budget.ended("m")
    assert retries == TOKENS // RETRY_COST
    assert retries / requests < 0.2
    for _ in range(RETRY_COST):
        budget.succeeded()
    assert budget.take("m")


def test_models_that_are_gone_leave_nothing_behind() -> None:
    budget = RetryBudget()
    budget.began("m")
    assert budget.take("m")
    budget.give_back("m")
    budget.ended("m")
    assert not budget._attempts
    assert not budget._retries
