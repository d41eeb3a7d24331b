"""The lines of the list of models."""

from __future__ import annotations

from dataclasses import dataclass

from edge.catalog import Catalog
from turnpike.router.v1 import catalog_pb2

# An alias that stands for the newest model of a family begins with it, and has a line of its own.
_NEWEST_OF_A_FAMILY = "~"


@dataclass(frozen=True, slots=True)
class Row:
    """A model that can be served here, or an alias for one.

    Attributes:
        model: with its routable endpoints.
        alias: the name of the line; empty for the model itself.
        top: the endpoint whose price and limits stand for the model: of the ordinary ones that with the cheapest output.
    """

    model: catalog_pb2.Model
    alias: str
    top: catalog_pb2.Endpoint

    @property
    def id(self) -> str:
        """The name of the line."""
        return self.alias or self.model.id


def row_of(model: catalog_pb2.Model, alias: str = "") -> Row:
    """Make a line of a model that has an endpoint."""
    ordinary = [endpoint for endpoint in model.endpoints if not endpoint.service_tier]
    top = min(
        ordinary or model.endpoints,
        key=lambda endpoint: (endpoint.price.completion_pico_usd, endpoint.price.prompt_pico_usd),
    )
    return Row(model, alias, top)


def find_row(catalog: Catalog, slug: str) -> Row | None:
    """The line of this name, routing suffixes ignored; None when there is none."""
    model = catalog.find(slug)
    if model is None:
        return None
    return row_of(model, slug if slug.startswith(_NEWEST_OF_A_FAMILY) else "")


def rows_of(catalog: Catalog) -> tuple[Row, ...]:
    """Every line, newest models first; those of the same day in the order of the catalogue."""
    rows = [
        row_of(model, alias)
        for model in catalog.models
        for alias in ("", *(each for each in model.aliases if each.startswith(_NEWEST_OF_A_FAMILY)))
    ]
    rows.sort(key=lambda row: -row.model.created_at.seconds)
    return tuple(rows)
