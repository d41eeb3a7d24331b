from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import money
from contracts.money import PicoUsd, TokenCounts, UnitPrice

pico = st.integers(min_value=0, max_value=10**10).map(PicoUsd)
prices = st.builds(
    UnitPrice,
    version=st.just("v"),
    prompt=pico,
    completion=pico,
    reasoning=pico,
    cached=pico,
    cache_write=pico,
    request=pico,
    image=pico,
    second=pico,
    character=pico,
    search_unit=pico,
)


@st.composite
def token_counts(draw: st.DrawFn) -> TokenCounts:
    plain, cached, write, text, reasoning = (draw(st.integers(min_value=0, max_value=10**7)) for _ in range(5))
    images, audio_ms, characters, search_units = (draw(st.integers(min_value=0, max_value=10**6)) for _ in range(4))
    return TokenCounts(
        images=images,
        audio_ms=audio_ms,
        characters=characters,
        search_units=search_units,
        prompt=plain + cached + write,
        completion=text + reasoning,
        reasoning=reasoning,
        cached=cached,
        cache_write=write,
    )


@given(prices, token_counts())
def test_b03_cost_is_usage_times_price_rounded_once_half_to_even(price: UnitPrice, tokens: TokenCounts) -> None:
    pico_total = (
        (tokens.prompt - tokens.cached - tokens.cache_write) * price.prompt
        + tokens.cached * price.cached
        + tokens.cache_write * price.cache_write
        + (tokens.completion - tokens.reasoning) * price.completion
        + tokens.reasoning * price.reasoning
        + price.request
        + tokens.images * price.image
        + tokens.characters * price.character
        + tokens.search_units * price.search_unit
        + Decimal(tokens.audio_ms * price.second) / 1000
    )
    expected = int((Decimal(pico_total) / 1000).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    cost = money.cost(price, tokens)
    assert cost.total == expected
    assert cost.prompt + cost.completion == cost.total
    assert cost.prompt >= 0
    assert cost.completion >= 0


@pytest.mark.parametrize(("request_pico", "nano"), [(499, 0), (500, 0), (501, 1), (1500, 2), (2500, 2), (2501, 3)])
def test_ties_go_to_the_even_nano_dollar(request_pico: int, nano: int) -> None:
    zero = PicoUsd(0)
    price = UnitPrice("v", zero, zero, zero, zero, zero, PicoUsd(request_pico))
    assert money.cost(price, TokenCounts(prompt=0, completion=0)).total == nano


@pytest.mark.parametrize(("audio_ms", "nano"), [(0, 0), (1, 0), (500, 0), (501, 1), (1_500, 2), (12_345, 12)])
def test_a_part_of_a_second_costs_its_part(audio_ms: int, nano: int) -> None:
    zero = PicoUsd(0)
    price = UnitPrice("v", zero, zero, zero, zero, zero, second=PicoUsd(1_000))
    assert money.cost(price, TokenCounts(prompt=0, completion=0, audio_ms=audio_ms)).total == nano


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("0.000000000001", 1), ("0.00000015", 150_000), ("2.8e-9", 2_800), ("0.000075", 75_000_000)],
)
def test_price_text_becomes_whole_pico_dollars(text: str, expected: int) -> None:
    assert money.pico_from_decimal(text) == expected
    assert money.pico_from_decimal(money.pico_to_decimal_text(expected)) == expected


@pytest.mark.parametrize("text", ["", "abc", "-1", "NaN", "Infinity", "1e-13", "1e400", "0.0000000000015"])
def test_other_prices_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a|negative|finer|too large"):
        money.pico_from_decimal(text)


@given(st.integers(min_value=-(10**18), max_value=10**18))
def test_amounts_survive_their_text(nano: int) -> None:
    text = money.usd_text(nano)
    assert "e" not in text.lower()
    assert money.nano_from_usd(text) == nano
    assert money.usd_from_nano(nano) == Decimal(text)


def test_float_amounts_are_read_as_the_decimal_that_people_typed() -> None:
    assert money.nano_from_usd(0.1) == 100_000_000
    assert money.nano_from_usd(1e-9) == 1


@given(prices, token_counts())
def test_prices_and_counts_survive_the_wire(price: UnitPrice, tokens: TokenCounts) -> None:
    assert money.price_from_proto(money.price_to_proto(price)) == price
    assert money.tokens_from_proto(money.tokens_to_proto(tokens)) == tokens
