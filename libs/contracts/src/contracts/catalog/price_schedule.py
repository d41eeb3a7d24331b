"""Prices that depend on the request: by the length of its prompt, by the time of day. Pure.

The rules are those of OpenRouter's `pricing.overrides`: an override holds when each of its conditions is met, it changes
the kinds that it names, and of several that hold the later one wins for each kind. Every set of overrides that can hold
together is a price of its own, worked out when the catalogue is read, so that picking one costs no arithmetic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Final

from contracts.ids import EndpointId
from contracts.money import PicoUsd, UnitPrice

_FIRST_KINDS: Final = ("prompt", "completion", "reasoning", "cached", "cache_write", "request")
_LATER_KINDS: Final = ("image", "second", "character", "search_unit")
KINDS: Final = (*_FIRST_KINDS, *_LATER_KINDS)
DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

# Each further override doubles the prices that are worked out.
MAX_OVERRIDES: Final = 6


@dataclass(frozen=True, slots=True)
class PriceOverride:
    """Amounts that replace the base price while every condition is met. At least one condition is given."""

    amounts: tuple[tuple[str, PicoUsd], ...]
    """Pico-dollars by kind, in the order of KINDS; kinds that are not named keep their price."""
    min_prompt_tokens: int | None = None
    """Holds for prompts longer than this (not for one of exactly this length)."""
    utc_start: time | None = None
    """Start of a daily window, which belongs to it. Given together with `utc_end`."""
    utc_end: time | None = None
    """End of the window, which does not belong to it. An end before the start is on the next day."""
    utc_days: tuple[str, ...] = ()
    """Days of the week in UTC, in the order of DAYS; empty for every day."""

    def holds(self, prompt_tokens: int, at: datetime) -> bool:
        """Say whether it holds for a prompt of this length at this time, which is in UTC."""
        if self.min_prompt_tokens is not None and prompt_tokens <= self.min_prompt_tokens:
            return False
        if self.utc_days and DAYS[at.weekday()] not in self.utc_days:
            return False
        if self.utc_start is None or self.utc_end is None:
            return True
        moment = at.time()
        if self.utc_start < self.utc_end:
            return self.utc_start <= moment < self.utc_end
        return moment >= self.utc_start or moment < self.utc_end

    @property
    def label(self) -> str:
        """Its conditions in a few characters: `over-200000`, `utc-1630-0030`, `saturday-sunday`."""
        parts = []
        if self.min_prompt_tokens is not None:
            parts.append(f"over-{self.min_prompt_tokens}")
        if self.utc_start is not None and self.utc_end is not None:
            parts.append(f"utc-{self.utc_start:%H%M}-{self.utc_end:%H%M}")
        return "-".join([*parts, *self.utc_days])


@dataclass(frozen=True, slots=True)
class PriceSchedule:
    """The overrides of one endpoint, and the price under each set of them."""

    overrides: tuple[PriceOverride, ...]
    prices: tuple[UnitPrice, ...]
    """By set: bit n of the index says that override n holds. The first is the base price."""

    def price_at(self, prompt_tokens: int, at: datetime) -> UnitPrice:
        """Pick the price for a prompt of this length at this time, which is in UTC."""
        index = 0
        for position, override in enumerate(self.overrides):
            if override.holds(prompt_tokens, at):
                index |= 1 << position
        return self.prices[index]


def unit_price(endpoint_id: EndpointId, stated: Mapping[str, PicoUsd], label: str = "") -> UnitPrice:
    """Complete stated amounts and name them.

    A kind of token that is not stated costs what its plain kind costs; a request, an image and the like cost nothing.

    Args:
        endpoint_id: where the price holds.
        stated: pico-dollars by kind, at least those of `prompt` and `completion`.
        label: what the version says besides, nothing for the base price.
    """
    prompt, completion = stated["prompt"], stated["completion"]
    plain = {"reasoning": completion, "cached": prompt, "cache_write": prompt}
    amounts = {kind: stated[kind] if kind in stated else plain.get(kind, PicoUsd(0)) for kind in KINDS}
    # The order of this text is part of every price version that a ledger holds; kinds that came later are in it only where
    # they cost something, so that the versions of before still name what they named.
    later = [f"{kind}={amounts[kind]}" for kind in _LATER_KINDS if amounts[kind]]
    identity = " ".join([endpoint_id, *(str(amounts[kind]) for kind in _FIRST_KINDS), *later])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return UnitPrice(version=f"{digest}.{label}" if label else digest, **amounts)


def price_schedule(
    endpoint_id: EndpointId, stated: Mapping[str, PicoUsd], overrides: Sequence[PriceOverride]
) -> PriceSchedule:
    """Work out the price under every set of overrides."""
    prices = []
    for index in range(1 << len(overrides)):
        held = [override for position, override in enumerate(overrides) if index >> position & 1]
        prices.append(unit_price(endpoint_id, _merged(stated, held), "+".join(each.label for each in held)))
    return PriceSchedule(tuple(overrides), tuple(prices))


def _merged(stated: Mapping[str, PicoUsd], overrides: Iterable[PriceOverride]) -> dict[str, PicoUsd]:
    merged = dict(stated)
    for override in overrides:
        merged.update(override.amounts)
    return merged
