"""Prices that depend on the length of the prompt and on the time of day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.catalog import CatalogError, Endpoint, dearest_price, parse_catalog, price_for

PROVIDERS = "providers:\n  - {slug: acme, name: Acme, base_url: 'https://api.acme.example'}\n"
MODEL = """\
models:
  - id: maker/thing
    name: Thing
    description: A thing.
    created: 2026-01-01
    input_modalities: [text]
    output_modalities: [text]
    endpoints:
      - provider: acme
        upstream_model: thing
        price:
          prompt: "0.000002"
          completion: "0.000012"
          cached: "0.0000002"
          request: "0.001"
          overrides: []
        context_length: 1000000
"""
TIERS = """[
            {min_prompt_tokens: 200000, prompt: "0.000004", completion: "0.000018", cached: "0.0000004"},
            {min_prompt_tokens: 500000, prompt: "0.000008"},
          ]"""
NIGHT = """[{utc_start: "16:30", utc_end: "00:30", prompt: "0.000001", completion: "0.000006"}]"""
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)  # a Wednesday


def endpoint(overrides: str = "[]", *, model: str = MODEL) -> Endpoint:
    read = parse_catalog([("p.yaml", PROVIDERS), ("m.yaml", model.replace("overrides: []", f"overrides: {overrides}"))])
    return next(iter(read.endpoints.values()))


def problems(overrides: str, *, model: str = MODEL) -> list[str]:
    with pytest.raises(CatalogError) as caught:
        endpoint(overrides, model=model)
    return [str(problem) for problem in caught.value.problems]


def test_without_overrides_the_base_price_always_holds() -> None:
    plain = endpoint()
    assert plain.price_schedule is None
    assert price_for(plain, 900_000, NOON) is plain.price is dearest_price(plain)
    assert "." not in plain.price.version


def test_the_version_of_a_base_price_never_changes_its_form() -> None:
    # Ledgers hold it: whoever changes how it is computed renames every price that was ever charged.
    assert endpoint().price.version == "b77a144bdec7d8cc"


@pytest.mark.parametrize(
    ("tokens", "prompt", "completion", "label"),
    [
        (0, 2_000_000, 12_000_000, ""),
        (200_000, 2_000_000, 12_000_000, ""),
        (200_001, 4_000_000, 18_000_000, "over-200000"),
        (500_000, 4_000_000, 18_000_000, "over-200000"),
        (500_001, 8_000_000, 18_000_000, "over-200000+over-500000"),
    ],
)
def test_a_tier_holds_above_its_length_and_later_ones_win(
    tokens: int, prompt: int, completion: int, label: str
) -> None:
    price = price_for(endpoint(TIERS), tokens, NOON)
    assert (price.prompt, price.completion) == (prompt, completion)
    assert price.version.partition(".")[2] == label


def test_kinds_that_an_override_does_not_name_keep_their_price_or_follow_their_plain_kind() -> None:
    price = price_for(endpoint(TIERS), 600_000, NOON)
    assert price.cached == 400_000, "stated by the tier below"
    assert price.cache_write == price.prompt == 8_000_000, "never stated, so it costs what the prompt costs"
    assert price.reasoning == price.completion
    assert price.request == 1_000_000_000


@pytest.mark.parametrize(
    ("clock", "cheap"),
    [("16:29", False), ("16:30", True), ("23:59", True), ("00:00", True), ("00:29", True), ("00:30", False)],
)
def test_a_window_holds_from_its_start_to_before_its_end_and_may_pass_midnight(clock: str, cheap: bool) -> None:
    at = datetime.fromisoformat(f"2026-07-01T{clock}+00:00")
    price = price_for(endpoint(NIGHT), 10, at)
    assert price.prompt == (1_000_000 if cheap else 2_000_000)
    assert price.version.endswith(".utc-1630-0030") == cheap


def test_a_window_within_a_day_ends_before_its_end() -> None:
    day = endpoint('[{utc_start: "09:00", utc_end: "17:00", prompt: "0.000009"}]')
    found = {hour: price_for(day, 1, NOON.replace(hour=hour)).prompt == 9_000_000 for hour in range(24)}
    assert [hour for hour, dear in found.items() if dear] == list(range(9, 17))


def test_a_window_is_in_utc_wherever_the_time_was_read() -> None:
    night = endpoint(NIGHT)
    at = datetime(2026, 7, 1, 20, tzinfo=UTC)
    for zone in (UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-8))):
        assert price_for(night, 1, at.astimezone(zone)) == price_for(night, 1, at)
    with pytest.raises(ValueError, match="time zone"):
        price_for(night, 1, at.replace(tzinfo=None))


def test_days_are_those_of_utc() -> None:
    weekend = endpoint('[{utc_days: [sunday, saturday], prompt: "0.000001"}]')
    days = [NOON + timedelta(days=offset) for offset in range(7)]
    assert [f"{day:%a}" for day in days if price_for(weekend, 1, day).prompt == 1_000_000] == ["Sat", "Sun"]
    assert price_for(weekend, 1, days[3]).version.endswith(".saturday-sunday")


def test_every_condition_of_an_override_must_be_met() -> None:
    both = endpoint('[{min_prompt_tokens: 100, utc_start: "10:00", utc_end: "14:00", prompt: "0.000001"}]')
    assert price_for(both, 101, NOON).prompt == 1_000_000
    assert price_for(both, 100, NOON).prompt == 2_000_000
    assert price_for(both, 101, NOON.replace(hour=15)).prompt == 2_000_000
    assert price_for(both, 101, NOON).version.endswith(".over-100-utc-1000-1400")


def test_a_price_version_names_amounts_and_conditions() -> None:
    tiers, dearer = endpoint(TIERS), endpoint(TIERS.replace("0.000018", "0.000019"))
    versions = [price_for(tiers, tokens, NOON).version for tokens in (1, 300_000, 600_000)]
    assert len(set(versions)) == 3
    assert price_for(dearer, 1, NOON).version == versions[0], "the base price is the same"
    assert price_for(dearer, 300_000, NOON).version != versions[1]
    assert endpoint().price.version == tiers.price.version, "overrides are prices of their own"
    assert versions[0] == tiers.price.version


def test_the_dearest_price_covers_every_request() -> None:
    mixed = endpoint(TIERS.replace("]", NIGHT[1:]))
    dearest = dearest_price(mixed)
    assert (dearest.prompt, dearest.completion, dearest.cached) == (8_000_000, 18_000_000, 400_000)
    assert dearest.version.endswith(".dearest")


@given(st.integers(0, 1_000_000), st.datetimes(timezones=st.just(UTC)))
def test_no_request_costs_more_than_the_dearest_price(tokens: int, at: datetime) -> None:
    price, dearest = price_for(MIXED, tokens, at), dearest_price(MIXED)
    for kind in ("prompt", "completion", "reasoning", "cached", "cache_write", "request"):
        assert getattr(price, kind) <= getattr(dearest, kind)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_longer_prompt_is_never_cheaper_a_token_where_tiers_rise(at: datetime) -> None:
    prices = [price_for(MIXED, tokens, at).completion for tokens in range(0, 1_000_000, 50_000)]
    assert all(shorter <= longer for shorter, longer in pairwise(prices))


MIXED = endpoint(TIERS.replace("]", NIGHT[1:]))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ('[{prompt: "0.000001"}]', "m.yaml:16: needs a condition"),
        ("[{min_prompt_tokens: 5}]", "m.yaml:16: changes no price"),
        ('[{min_prompt_tokens: 1000000, prompt: "0.1"}]', "must be a whole number from 0 to 999999"),
        ('[{min_prompt_tokens: 5, prompt: "0.30"}]', "too large; prices are in dollars per token"),
        ("[{min_prompt_tokens: 5, prompt: 0.1}]", "prompt: must be text in quotes"),
        ('[{min_prompt_tokens: 5, prompt: "-1"}]', "prompt: negative"),
        ('[{utc_start: "10:00", prompt: "0"}]', "utc_start and utc_end go together"),
        ('[{utc_start: "10:00", utc_end: "10:00", prompt: "0"}]', "utc_end: the window is empty"),
        ('[{utc_start: "24:00", utc_end: "01:00", prompt: "0"}]', "utc_start: '24:00' is not a time of day"),
        ('[{utc_start: 10:00, utc_end: "11:00", prompt: "0"}]', "utc_start: must be text in quotes"),
        ('[{utc_days: [caturday], prompt: "0"}]', "utc_days: 'caturday' is not one of"),
        (
            '[{utc_days: [], prompt: "0"}, {utc_day: [monday], prompt: "0"}]',
            "utc_day: unknown field; did you mean utc_days?",
        ),
        ("5", "overrides: must be a list"),
        (str([{"min_prompt_tokens": n, "prompt": "0"} for n in range(7)]), "overrides: at most 6"),
    ],
)
def test_a_fault_in_an_override_is_named(overrides: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(overrides)), problems(overrides)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('prompt: "0.000002"', 'prompt: "0"'),
        ("overrides: []", 'overrides: [{min_prompt_tokens: 5, prompt: "0.000001"}]'),
        ('request: "0.001"', 'request: "0.002"'),
    ],
)
def test_a_free_variant_costs_nothing_ever(old: str, new: str) -> None:
    nothing = MODEL.replace("maker/thing", "maker/thing:free")
    for amount in ("0.000002", "0.000012", "0.0000002", "0.001"):
        nothing = nothing.replace(f'"{amount}"', '"0"')
    assert price_for(endpoint(model=nothing), 5, NOON).prompt == 0
    costing = MODEL.replace("maker/thing", "maker/thing:free").replace(old, new)
    assert "m.yaml:12: a :free variant must not cost anything" in problems("[]", model=costing)
