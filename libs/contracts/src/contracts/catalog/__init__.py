"""The catalogue: providers, models, and the endpoints at which models are offered, read from YAML text.

`docs/catalog.md` describes the files. Nothing here opens one: callers bring `(name, text)` pairs.
"""

from contracts.catalog.credentials import ProviderCredentials, parse_credentials
from contracts.catalog.parsing import parse_catalog
from contracts.catalog.problems import CatalogError, Problem
from contracts.catalog.values import Catalog, DataPolicy, Dialect, Endpoint, Model, Provider, Quirk

__all__ = [
    "Catalog",
    "CatalogError",
    "DataPolicy",
    "Dialect",
    "Endpoint",
    "Model",
    "Problem",
    "Provider",
    "ProviderCredentials",
    "Quirk",
    "parse_catalog",
    "parse_credentials",
]
