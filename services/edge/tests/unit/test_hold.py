"""How much credit a request needs, and how long an answer an amount pays for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import NanoUsd, PicoUsd, TokenCounts, UnitPrice, cost
from edge.domain.hold import Demand, Hold, Offer, affordable_tokens, dearest_hold, dearest_offers
from edge.domain.quote import quote_of


def price(prompt: int = 1_000, completion: int = 2_000, **more: int) -> UnitPrice:
    amounts = {"reasoning": completion, "cached": prompt, "cache_write": prompt, "request": 0, **more}
    return UnitPrice(
        "v", PicoUsd(prompt), PicoUsd(completion), **{name: PicoUsd(amount) for name, amount in amounts.items()}
    )


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
        offers, demand = [Offer(price(1_000, 2_000), 0, 0)], Demand(10, None)
        assert affordable_tokens(offers, demand, 9) == 0
        assert affordable_tokens(offers, demand, 10) == 0
        assert affordable_tokens(offers, demand, 13) == 1
        assert affordable_tokens(offers, Demand(10, None, choices=3), 70) == 10

    def test_the_longest_answers_are_affordable_where_all_endpoints_bound_them(self) -> None:
        offers = [Offer(price(0, 2_000), 0, 100), Offer(price(0, 4_000), 50, 0)]
        assert affordable_tokens(offers, Demand(0, None), 200) is None
        assert affordable_tokens(offers, Demand(0, None), 199) == 49
        assert affordable_tokens([Offer(price(0, 0), 0, 0)], Demand(10, None), 0) is None

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

    @given(
        offers=st.lists(
            st.builds(
                Offer,
                st.builds(price, st.integers(0, 5), st.integers(0, 5), request=st.integers(0, 5)),
                st.integers(0, 3),
                st.integers(0, 3),
            ),
            min_size=1,
            max_size=6,
        ),
        demand=st.builds(Demand, st.integers(0, 5), st.integers(1, 5), st.integers(1, 2)),
        available=st.integers(0, 50),
    )
    def test_offers_that_are_left_out_change_nothing(self, offers: list[Offer], demand: Demand, available: int) -> None:
        kept = dearest_offers(offers)
        assert dearest_hold(kept, demand, 4).amount == dearest_hold(offers, demand, 4).amount
        assert affordable_tokens(kept, demand, available) == affordable_tokens(offers, demand, available)

    @given(
        prices=st.lists(st.tuples(st.integers(0, 9_999), st.integers(1, 9_999)), min_size=1, max_size=4),
        choices=st.integers(1, 3),
        available=st.integers(0, 10_000),
    )
    def test_an_answer_that_is_affordable_is_held_within_the_amount(
        self, prices: list[tuple[int, int]], choices: int, available: int
    ) -> None:
        offers = [Offer(price(*each), 0, 0) for each in prices]
        demand = Demand(10, None, choices)
        tokens = affordable_tokens(offers, demand, available)
        assert tokens is not None
        if tokens:
            assert dearest_hold(offers, demand, tokens).amount <= available
        assert dearest_hold(offers, demand, tokens + 1).amount > available


class TestQuote:
    """What a request is admitted with."""

    OFFERS = (Offer(price(1_000, 2_000), 0, 10_000),)

    def test_the_callers_limit_is_held_and_nothing_else_is_told(self) -> None:
        quote = quote_of(self.OFFERS, Demand(10, 100), 4_096, easily=10**9)
        assert (quote.hold, quote.limit) == (Hold(NanoUsd(210), 100), 0)
        assert quote.within(100) is None
        assert quote.affordable(110) == 50
        assert quote.affordable(10**9) == 100

    def test_without_a_limit_the_longest_answer_is_held_where_it_costs_little(self) -> None:
        quote = quote_of(self.OFFERS, Demand(10, None), 4_096, easily=20_010)
        assert (quote.hold.output_tokens, quote.limit, quote.usual.output_tokens) == (10_000, 0, 4_096)

    @pytest.mark.parametrize(("easily", "limit"), [(0, 4_096), (8_202, 4_096), (8_204, 4_097), (20_009, 9_999)])
    def test_otherwise_what_costs_little_and_the_usual_length_at_least(self, easily: int, limit: int) -> None:
        quote = quote_of(self.OFFERS, Demand(10, None), 4_096, easily)
        assert (quote.hold.output_tokens, quote.limit) == (limit, limit)

    def test_an_answer_is_made_shorter_to_fit(self) -> None:
        shorter = quote_of(self.OFFERS, Demand(10, None, choices=2), 4_096).within(110)
        assert shorter is not None
        assert (shorter.hold.amount, shorter.hold.output_tokens, shorter.limit) == (110, 50, 25)
        assert quote_of(self.OFFERS, Demand(10, None), 4_096).within(11) is None

    def test_what_is_free_needs_no_limit(self) -> None:
        quote = quote_of([Offer(price(0, 0), 0, 0)], Demand(10, None), 4_096)
        assert (quote.hold.amount, quote.limit) == (0, 0)
        assert quote_of([], Demand(10, None), 4_096).hold.amount == 0
