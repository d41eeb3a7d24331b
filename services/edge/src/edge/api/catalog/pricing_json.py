"""Prices as decimal strings, dollars per unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from contracts import money
from contracts.money import PicoUsd
from turnpike.router.v1 import catalog_pb2
from turnpike.usage.v1 import token_usage_pb2

# OpenRouter's names of the kinds that a price knows.
_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "prompt": "prompt",
        "completion": "completion",
        "request": "request",
        "reasoning": "internal_reasoning",
        "cached": "input_cache_read",
        "cache_write": "input_cache_write",
        "image": "image_output",
        "second": "audio_second",
        "character": "character",
        "search_unit": "search_unit",
    }
)


def pricing_json(price: token_usage_pb2.Price) -> dict[str, Any]:
    """State a price. What costs the same as its plain kind is left out."""
    pricing = {
        "prompt": money.pico_to_decimal_text(price.prompt_pico_usd),
        "completion": money.pico_to_decimal_text(price.completion_pico_usd),
    }
    for name, amount in (
        ("request", price.request_pico_usd),
        ("image_output", price.image_pico_usd),
        ("audio_second", price.second_pico_usd),
        ("character", price.character_pico_usd),
        ("search_unit", price.search_unit_pico_usd),
    ):
        if amount:
            pricing[name] = money.pico_to_decimal_text(amount)
    if price.reasoning_pico_usd != price.completion_pico_usd:
        pricing["internal_reasoning"] = money.pico_to_decimal_text(price.reasoning_pico_usd)
    if price.cached_pico_usd != price.prompt_pico_usd:
        pricing["input_cache_read"] = money.pico_to_decimal_text(price.cached_pico_usd)
    if price.cache_write_pico_usd != price.prompt_pico_usd:
        pricing["input_cache_write"] = money.pico_to_decimal_text(price.cache_write_pico_usd)
    return pricing


def overrides_json(overrides: Iterable[catalog_pb2.PriceOverride]) -> dict[str, Any]:
    """State what changes a price, as a member of it; nothing where it always holds."""
    found = [_override_json(override) for override in overrides]
    return {"overrides": found} if found else {}


def _override_json(override: catalog_pb2.PriceOverride) -> dict[str, Any]:
    document: dict[str, Any] = {
        _NAMES[kind]: money.pico_to_decimal_text(PicoUsd(amount))
        for kind, amount in sorted(override.amounts_pico_usd.items())
        if kind in _NAMES
    }
    if override.HasField("min_prompt_tokens"):
        document["min_prompt_tokens"] = override.min_prompt_tokens
    if override.utc_start:
        # Times of day as numbers: 1630 is half past four in the afternoon.
        document["utc_start"], document["utc_end"] = int(override.utc_start), int(override.utc_end)
    if override.utc_days:
        document["utc_days"] = list(override.utc_days)
    return document
