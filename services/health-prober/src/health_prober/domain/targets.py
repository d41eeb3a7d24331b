"""Which endpoints are probed: those whose provider has credentials and an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.catalog import Catalog, Endpoint, ProviderCredentials
from contracts.ids import EndpointId


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint and the key for it, empty when the provider wants none."""

    endpoint: Endpoint
    api_key: str = field(repr=False)


def select_targets(catalog: Catalog, credentials: ProviderCredentials) -> Mapping[EndpointId, Target]:
    """Return what can be probed, in the order of the catalogue."""
    return {
        endpoint_id: Target(endpoint, credentials[endpoint.provider.slug])
        for endpoint_id, endpoint in catalog.endpoints.items()
        if endpoint.provider.slug in credentials and endpoint.provider.has_address
    }
