"""What of the catalogue a key may use."""

from __future__ import annotations

from edge.api.catalog.rows import Row, row_of
from edge.domain.principal import KeyAccess
from turnpike.router.v1 import catalog_pb2


def permitted(row: Row, access: KeyAccess) -> Row | None:
    """The line with those of its endpoints that the key may use; None when it may use none of them."""
    model = row.model
    if access.models and not {model.id, model.canonical_slug, row.id}.intersection(access.models):
        return None
    if not access.providers:
        return row
    endpoints = [endpoint for endpoint in model.endpoints if _is_among(endpoint, access.providers)]
    if not endpoints:
        return None
    mine = catalog_pb2.Model()
    mine.CopyFrom(model)
    del mine.endpoints[:]
    mine.endpoints.extend(endpoints)
    return row_of(mine, row.alias)


def _is_among(endpoint: catalog_pb2.Endpoint, providers: tuple[str, ...]) -> bool:
    return endpoint.provider in providers or endpoint.tag in providers
