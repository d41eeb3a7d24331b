"""Regions that a request can be kept in, as the countries that belong to them."""

from __future__ import annotations

# The European Union; a data centre in Norway or Switzerland is outside.
_EUROPEAN_UNION = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905 - as a line
)
_REGIONS = {"eu": _EUROPEAN_UNION, "us": frozenset({"US"})}
_NONE: frozenset[str] = frozenset()


def countries_of(region: str) -> frozenset[str]:
    """ISO 3166 codes of the countries of a region; of a region that is not known, none, so that nothing leaves anywhere."""
    return _REGIONS.get(region, _NONE)
