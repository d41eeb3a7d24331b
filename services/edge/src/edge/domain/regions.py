"""Regions that data may be kept in: from where the computers are, not from where the company is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

# Countries of each region, by ISO 3166 code. Source: the member states of the European Union since 2020-02-01.
REGIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "eu": frozenset(
            {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"}
            | {"IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}
        ),
        "us": frozenset({"US"}),
    }
)


def is_within(region: str, datacenters: Collection[str]) -> bool:
    """Say whether all of these countries are in the region. Where no country is known, nothing can be promised."""
    return bool(datacenters) and REGIONS[region].issuperset(datacenters)
