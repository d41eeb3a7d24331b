"""The price that a request has at an endpoint, and the dearest that one can have there."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.catalog.price_schedule import KINDS, unit_price
from contracts.catalog.values import Endpoint
from contracts.money import UnitPrice


def price_for(endpoint: Endpoint, prompt_tokens: int, at: datetime) -> UnitPrice:
    """Pick the price that a request has at an endpoint.

    Its version names the amounts, and after a dot the overrides that hold, such as `4f0c…e1.over-200000`.

    Args:
        endpoint: where the request goes.
        prompt_tokens: all tokens of the prompt, the cached ones included.
        at: when the request is dispatched.

    Raises:
        ValueError: `at` has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("the time of a price needs a time zone")
    if endpoint.price_schedule is None:
        return endpoint.price
    return endpoint.price_schedule.price_at(prompt_tokens, at.astimezone(UTC))


def prices_of(endpoint: Endpoint) -> list[UnitPrice]:
    """Every price that usage of an endpoint can be charged at: under each set of overrides, and the dearest, by which edges estimate."""
    if endpoint.price_schedule is None:
        return [endpoint.price]
    return [*endpoint.price_schedule.prices, dearest_price(endpoint)]


def dearest_price(endpoint: Endpoint) -> UnitPrice:
    """Of each kind the dearest price that a request can have at an endpoint, to set credit aside by."""
    if endpoint.price_schedule is None:
        return endpoint.price
    amounts = {kind: max(getattr(price, kind) for price in endpoint.price_schedule.prices) for kind in KINDS}
    return unit_price(endpoint.id, amounts, "dearest")
