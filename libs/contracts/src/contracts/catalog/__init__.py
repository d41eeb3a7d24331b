"""The catalogue: providers, models, and the endpoints at which models are offered, read from YAML text.

`docs/catalog.md` describes the files. Nothing here opens one: callers bring `(name, text)` pairs.
"""

from contracts.catalog.credentials import ProviderCredentials, parse_credentials
from contracts.catalog.dialect import QUIRKS_OF, Dialect, Quirk
from contracts.catalog.endpoint_prices import dearest_price, price_for
from contracts.catalog.parsing import parse_catalog
from contracts.catalog.price_schedule import PriceOverride, PriceSchedule
from contracts.catalog.problems import CatalogError, Problem
from contracts.catalog.values import Catalog, DataPolicy, Endpoint, Model, Provider

__all__ = [
    "QUIRKS_OF",
    "Catalog",
    "CatalogError",
    "DataPolicy",
    "Dialect",
    "Endpoint",
    "Model",
    "PriceOverride",
    "PriceSchedule",
    "Problem",
    "Provider",
    "ProviderCredentials",
    "Quirk",
    "dearest_price",
    "parse_catalog",
    "parse_credentials",
    "price_for",
]
