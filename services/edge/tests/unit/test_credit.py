"""Credit at the edge: holds, pending costs, and when a settlement makes them disappear."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import KeyId, OrgId
from contracts.money import NanoUsd, PicoUsd, TokenCounts, UnitPrice, cost
from edge.domain.admission import Admission, Capacity
from edge.domain.credit import ESTIMATE_LIFE_MS, FRESH_MS, SETTLED_TOLERANCE_MS, Tab
from edge.domain.errors import BusyError, InsufficientCreditError, KeyLimitError, NegativeBalanceError
from edge.domain.hold import Demand, Hold, Offer, dearest_hold
from edge.domain.principal import Key, KeyKind, Org, Principal

NOW = 1_790_000_000_000


def price(prompt: int = 1_000, completion: int = 2_000, **more: int) -> UnitPrice:
    amounts = {"reasoning": completion, "cached": prompt, "cache_write": prompt, "request": 0, **more}
    return UnitPrice(
        "v", PicoUsd(prompt), PicoUsd(completion), **{name: PicoUsd(amount) for name, amount in amounts.items()}
    )


def principal(
    balance: int = 1_000, *, limit: int | None = None, spent: int = 0, settled_ms: int = 0, key_id: str = "key"
) -> Principal:
    key = Key(
        key_id=KeyId(key_id),
        digest="0" * 64,
        org_id=OrgId("org"),
        kind=KeyKind.INFERENCE,
        disabled=False,
        limit=None if limit is None else NanoUsd(limit),
        spent=NanoUsd(spent),
        expires_at_ms=None,
        revision=1,
    )
    return Principal(key, Org(OrgId("org"), True, NanoUsd(balance), settled_ms, 1))


def hold(amount: int) -> Hold:
    return Hold(NanoUsd(amount), 100, 0, amount * 10)


class TestDearestHold:
    """How much to set aside."""

    def test_it_covers_prompt_and_longest_answer_at_the_dearest_endpoint(self) -> None:
        offers = [Offer(price(1_000, 2_000), 0, 0), Offer(price(3_000, 4_000), 0, 0)]
        found = dearest_hold(offers, Demand(10, 100), 4_096)
        assert (found.amount, found.output_tokens) == (10 * 3 + 100 * 4, 100)

    def test_without_a_limit_a_default_stands_in_for_the_answer(self) -> None:
        assert dearest_hold([Offer(price(), 0, 0)], Demand(0, None), 4_096).output_tokens == 4_096

    def test_an_endpoint_does_not_answer_beyond_its_own_limits(self) -> None:
        assert dearest_hold([Offer(price(), 0, 50)], Demand(0, 100), 4_096).output_tokens == 50
        assert dearest_hold([Offer(price(), 1_000, 0)], Demand(0, 2_000), 4_096).output_tokens == 1_000

    def test_an_endpoint_does_not_read_beyond_its_context_and_the_estimate_leaves_the_answer_its_room(self) -> None:
        held = dearest_hold([Offer(price(1_000, 1_000), 1_000, 0)], Demand(5_000, 100), 4_096)
        assert (held.amount, held.output_tokens) == (1_100, 100)

    def test_every_choice_counts(self) -> None:
        assert dearest_hold([Offer(price(0, 1_000), 0, 0)], Demand(0, 10, 3), 4_096).amount == 30

    def test_each_token_may_be_of_its_dearest_kind(self) -> None:
        dear = price(1_000, 1_000, cache_write=5_000, reasoning=7_000, request=11_000)
        assert dearest_hold([Offer(dear, 0, 0)], Demand(1, 1), 4_096).amount == 5 + 7 + 11

    def test_a_fraction_of_a_nano_dollar_is_rounded_up(self) -> None:
        assert dearest_hold([Offer(price(1, 0), 0, 0)], Demand(1, 1), 4_096).amount == 1

    def test_without_offers_nothing_is_set_aside(self) -> None:
        assert dearest_hold([], Demand(10, 100, 2), 4_096) == Hold(NanoUsd(0), 200)

    def test_what_is_affordable_is_what_the_rest_pays_for(self) -> None:
        found = dearest_hold([Offer(price(1_000, 2_000), 0, 0)], Demand(10, 100), 4_096)
        assert found.affordable_tokens(9) == 0
        assert found.affordable_tokens(10) == 0
        assert found.affordable_tokens(13) == 1
        assert found.affordable_tokens(10**9) == 100
        free = dearest_hold([Offer(price(0, 0), 0, 0)], Demand(10, 100), 4_096)
        assert free.affordable_tokens(0) == 100

    @given(
        prompt=st.integers(0, 10**5),
        completion=st.integers(0, 10**5),
        limit=st.integers(1, 10**5),
        cached=st.floats(0, 1),
        reasoning=st.floats(0, 1),
        prices=st.lists(st.integers(0, 10**9), min_size=6, max_size=6),
    )
    def test_no_answer_within_the_limits_costs_more_than_its_hold(
        self, prompt: int, completion: int, limit: int, cached: float, reasoning: float, prices: list[int]
    ) -> None:
        unit = UnitPrice("v", *(PicoUsd(amount) for amount in prices))
        completion = min(completion, limit)
        tokens = TokenCounts(
            prompt=prompt, completion=completion, cached=int(prompt * cached), reasoning=int(completion * reasoning)
        )
        found = dearest_hold([Offer(unit, 0, 0)], Demand(prompt, limit), 4_096)
        assert cost(unit, tokens).total <= found.amount


class TestTab:
    """Holds and pending costs."""

    def test_a_hold_is_owed_until_it_is_released(self) -> None:
        tab = Tab()
        tab.hold(5)
        tab.hold(0)
        assert (tab.owed, tab.is_clear) == (5, False)
        tab.release(5)
        assert (tab.owed, tab.is_clear) == (0, False)
        tab.release(0)
        assert tab.is_clear

    def test_a_cost_is_owed_until_a_balance_shows_it(self) -> None:
        tab = Tab()
        tab.charge(7, NOW)
        tab.settle(NOW - FRESH_MS, NOW)
        assert tab.owed == 7
        tab.settle(NOW, NOW + 1)
        assert tab.is_clear

    def test_a_settlement_of_an_earlier_generation_does_not_pass_for_this_ones(self) -> None:
        tab = Tab()
        tab.charge(7, NOW)
        tab.settle(NOW - 1_000, NOW)
        assert tab.owed == 7

    def test_when_time_has_passed_a_small_difference_of_clocks_is_forgiven(self) -> None:
        tab = Tab()
        tab.charge(7, NOW)
        tab.settle(NOW - SETTLED_TOLERANCE_MS, NOW + FRESH_MS)
        assert tab.is_clear

    def test_a_true_cost_waits_for_its_settlement_as_long_as_it_takes(self) -> None:
        tab = Tab()
        tab.charge(7, NOW)
        tab.settle(NOW - 60_000, NOW + 86_400_000)
        assert tab.owed == 7

    def test_an_estimate_is_forgotten_after_a_while(self) -> None:
        tab = Tab()
        tab.charge(7, NOW, estimated=True)
        tab.settle(0, NOW + ESTIMATE_LIFE_MS - 1)
        assert tab.owed == 7
        tab.settle(0, NOW + ESTIMATE_LIFE_MS + 1_000)
        assert tab.is_clear

    def test_it_stays_small_without_settlements(self) -> None:
        tab = Tab()
        for number in range(10_000):
            tab.charge(1, NOW + number)
        assert tab.owed == 10_000
        assert len(tab._pending) == 10

    @given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 60_000), st.booleans()), max_size=30))
    def test_what_is_owed_is_the_sum_of_what_is_pending(self, charges: list[tuple[int, int, bool]]) -> None:
        tab = Tab()
        for amount, offset, estimated in sorted(charges, key=lambda charge: charge[1]):
            tab.charge(amount, NOW + offset, estimated=estimated)
        assert tab.owed == sum(amount for amount, _, _ in charges)
        tab.settle(NOW + 120_000, NOW + 120_000)
        assert tab.owed == 0


class TestAdmission:
    """Who may start."""

    def test_a_hold_that_fits_is_set_aside_and_given_back(self) -> None:
        admission = Admission()
        ticket = admission.admit(principal(100), hold(60), NOW)
        assert admission.owed_by_org("org") == 60
        with pytest.raises(InsufficientCreditError):
            admission.admit(principal(100), hold(60), NOW)
        ticket.release()
        assert admission.owed_by_org("org") == 0
        admission.admit(principal(100), hold(60), NOW)

    def test_the_cost_stays_until_it_is_settled(self) -> None:
        admission = Admission()
        admission.admit(principal(100), hold(60), NOW).charge(30, NOW)
        assert admission.owed_by_org("org") == 30
        with pytest.raises(InsufficientCreditError):
            admission.admit(principal(100), hold(80), NOW)
        # The new balance shows the cost, so it is not counted twice.
        admission.admit(principal(70, settled_ms=NOW), hold(70), NOW + 1_000)

    def test_an_unknown_cost_is_taken_for_the_hold(self) -> None:
        admission = Admission()
        admission.admit(principal(100), hold(60), NOW).charge_estimate(NOW)
        assert admission.owed_by_org("org") == 60

    @pytest.mark.parametrize("second", ["charge", "charge_estimate", "release"])
    def test_a_ticket_is_closed_once(self, second: str) -> None:
        admission = Admission()
        ticket = admission.admit(principal(100), hold(60), NOW)
        ticket.charge(10, NOW)
        {
            "charge": lambda: ticket.charge(99, NOW),
            "charge_estimate": lambda: ticket.charge_estimate(NOW),
            "release": ticket.release,
        }[second]()
        assert admission.owed_by_org("org") == 10

    def test_keys_share_the_balance_of_their_organisation(self) -> None:
        admission = Admission()
        admission.admit(principal(100, key_id="a"), hold(60), NOW)
        with pytest.raises(InsufficientCreditError):
            admission.admit(principal(100, key_id="b"), hold(60), NOW)

    def test_a_keys_limit_counts_what_it_spent_and_set_aside(self) -> None:
        admission = Admission()
        caller = principal(10_000, limit=100, spent=30)
        admission.admit(caller, hold(60), NOW)
        with pytest.raises(InsufficientCreditError, match="limit of this API key"):
            admission.admit(caller, hold(20), NOW)
        with pytest.raises(KeyLimitError):
            admission.admit(principal(10_000, limit=100, spent=100), hold(0), NOW)

    def test_a_negative_balance_serves_nothing_not_even_what_is_free(self) -> None:
        with pytest.raises(NegativeBalanceError):
            Admission().admit(principal(-1), hold(0), NOW)

    def test_with_nothing_left_what_is_free_is_served(self) -> None:
        Admission().admit(principal(0), hold(0), NOW)

    def test_the_refusal_says_what_is_affordable(self) -> None:
        offer = Offer(price(1_000, 2_000), 0, 0)
        with pytest.raises(InsufficientCreditError) as raised:
            Admission().admit(principal(110), dearest_hold([offer], Demand(10, 100), 4_096), NOW)
        assert (raised.value.requested_tokens, raised.value.affordable_tokens) == (100, 50)
        assert "You requested up to 100 tokens, but can only afford 50" in str(raised.value)

    def test_refused_requests_leave_nothing_behind(self) -> None:
        admission = Admission()
        for _ in range(3):
            with pytest.raises(InsufficientCreditError):
                admission.admit(principal(1), hold(60), NOW)
        assert admission.owed_by_org("org") == 0
        assert admission._payers == {}

    def test_a_sweep_forgets_who_owes_nothing(self) -> None:
        admission = Admission()
        ticket = admission.admit(principal(100), hold(60), NOW)
        org = dataclasses.replace(principal(40).org, settled_until_ms=NOW)
        admission.sweep(org, NOW)
        assert admission.owed_by_org("org") == 60
        ticket.charge(60, NOW)
        admission.sweep(org, NOW + 5_000)
        assert admission._payers == {}
        admission.sweep(org, NOW)

    @given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["charge", "release", "estimate"])), max_size=40))
    def test_no_sequence_promises_more_than_the_balance(self, steps: list[tuple[int, str]]) -> None:
        admission, balance = Admission(), 100
        for number, (amount, end) in enumerate(steps):
            try:
                ticket = admission.admit(principal(balance), hold(amount), NOW + number)
            except InsufficientCreditError:
                assert amount > balance - admission.owed_by_org("org")
                continue
            assert admission.owed_by_org("org") <= balance
            if end == "charge":
                ticket.charge(amount // 2, NOW + number)
            elif end == "release":
                ticket.release()
            else:
                ticket.charge_estimate(NOW + number)
            assert 0 <= admission.owed_by_org("org") <= balance


def test_places_are_given_back_whatever_happens() -> None:
    capacity = Capacity(1)
    with capacity.place(), pytest.raises(BusyError):
        capacity.place().__enter__()
    with pytest.raises(ZeroDivisionError), capacity.place():
        raise ZeroDivisionError
    assert capacity.used == 0
    with capacity.place():
        assert capacity.used == 1
