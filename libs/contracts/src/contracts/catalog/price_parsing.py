"""The `price` section of an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from types import MappingProxyType

from contracts.catalog import vocabulary as words
from contracts.catalog.price_schedule import (
    DAYS,
    KINDS,
    MAX_OVERRIDES,
    PriceOverride,
    PriceSchedule,
    price_schedule,
    unit_price,
)
from contracts.catalog.yaml_fields import Fields
from contracts.ids import EndpointId
from contracts.money import PicoUsd, UnitPrice, pico_from_decimal

# Ten times the dearest price known ($600 per million tokens); a price above it was meant per million, not per token.
MAX_TOKEN_PRICE = PicoUsd(6_000_000_000)
MAX_REQUEST_PRICE = PicoUsd(100 * 10**12)
# A second of sound costs some $0.0001, an image some $0.04, a thousand characters some $0.015.
_MOST: Mapping[str, PicoUsd] = MappingProxyType(
    {
        "request": MAX_REQUEST_PRICE,
        "image": MAX_REQUEST_PRICE,
        "search_unit": MAX_REQUEST_PRICE,
        "second": PicoUsd(10**12),
        "character": MAX_TOKEN_PRICE,
    }
)


@dataclass(frozen=True, slots=True)
class StatedPrice:
    """What a `price` section says."""

    base: UnitPrice
    schedule: PriceSchedule | None = None
    as_of: date | None = None
    source: str = ""


def read_price(endpoint: Fields, endpoint_id: EndpointId, context_length: int, *, free: bool) -> StatedPrice:
    """Read the `price` section of an endpoint.

    Args:
        endpoint: the mapping that holds the section.
        endpoint_id: names the endpoint.
        context_length: of the endpoint, in tokens; no prompt is longer.
        free: whether the model is a `:free` variant, which may not cost anything.
    """
    nothing = unit_price(endpoint_id, {"prompt": PicoUsd(0), "completion": PicoUsd(0)})
    section = endpoint.section("price")
    if section is None:
        endpoint.problem("price: is missing")
        return StatedPrice(nothing)
    with section as fields:
        stated = {kind: amount for kind in KINDS if (amount := _amount(fields, kind)) is not None}
        for kind in ("prompt", "completion"):
            if kind not in stated:
                stated[kind] = PicoUsd(0)
                if fields.is_mapping and not fields.has(kind):
                    fields.problem(f"{kind}: is missing")
        rows = fields.items("overrides")
        if len(rows) > MAX_OVERRIDES:
            fields.problem(f"overrides: at most {MAX_OVERRIDES}", "overrides")
            rows = rows[:MAX_OVERRIDES]
        overrides = [_override(row, context_length) for row in rows]
        as_of, source = fields.day("as_of", required=False), fields.text("source", default="")
        base = unit_price(endpoint_id, stated)
        schedule = price_schedule(endpoint_id, stated, overrides) if overrides else None
        if free and any(getattr(price, kind) for price in (schedule.prices if schedule else [base]) for kind in KINDS):
            fields.problem("a :free variant must not cost anything")
    return StatedPrice(base, schedule, as_of, source)


def _override(row: Fields, context_length: int) -> PriceOverride:
    with row as fields:
        amounts = tuple((kind, amount) for kind in KINDS if (amount := _amount(fields, kind)) is not None)
        threshold = None
        if fields.has("min_prompt_tokens"):
            threshold = fields.integer("min_prompt_tokens", minimum=0, maximum=max(context_length - 1, 0))
        start, end = _clock(fields, "utc_start"), _clock(fields, "utc_end")
        if fields.has("utc_start") != fields.has("utc_end"):
            fields.problem("utc_start and utc_end go together")
        elif start is not None and start == end:
            fields.problem("utc_end: the window is empty; leave both ends out for the whole day", "utc_end")
        days = fields.texts("utc_days", allowed=DAYS)
        if threshold is None and not any(map(fields.has, ("utc_start", "utc_end", "utc_days"))):
            fields.problem("needs a condition: min_prompt_tokens, utc_start with utc_end, or utc_days")
        if not any(map(fields.has, KINDS)):
            fields.problem(f"changes no price: give at least one of {', '.join(KINDS)}")
    ordered = tuple(day for day in DAYS if day in days)
    return PriceOverride(amounts, threshold, start, end, ordered)


def _clock(fields: Fields, name: str) -> time | None:
    text = fields.text(name, default="", pattern=words.CLOCK, form=words.CLOCK_FORM)
    return time.fromisoformat(text) if words.CLOCK.fullmatch(text) else None


def _amount(fields: Fields, name: str) -> PicoUsd | None:
    text = fields.text(name, default="")
    if not text:
        return None
    try:
        if not words.DECIMAL.fullmatch(text.removeprefix("-")):
            raise ValueError(f"not a plain decimal number: {text!r}")
        amount = pico_from_decimal(text)
    except ValueError as error:
        fields.problem(f"{name}: {error}", name)
        return None
    if amount > _MOST.get(name, MAX_TOKEN_PRICE):
        fields.problem(f"{name}: {text} is too large; prices are in dollars per token, not per million", name)
    return amount
