"""Which endpoints are probed: those whose provider has credentials and an address, and that can be asked for little money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from contracts.catalog import Catalog, Endpoint, ProviderCredentials
from contracts.ids import EndpointId
from contracts.operations import Operation

# An endpoint that does several is asked for the last of them.
PROBED: Final = (Operation.RERANK, Operation.EMBEDDINGS, Operation.COMPLETION)


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint and the key for it, empty when the provider wants none."""

    endpoint: Endpoint
    api_key: str = field(repr=False)
    operation: Operation = Operation.COMPLETION
    """What it is asked for."""


def select_targets(catalog: Catalog, credentials: ProviderCredentials) -> Mapping[EndpointId, Target]:
    """Return what can be probed, in the order of the catalogue.

    Speech, transcriptions and pictures are judged by live traffic alone: the smallest of them costs a thousand completions.
    """
    return {
        endpoint_id: Target(endpoint, credentials[endpoint.provider.slug], operation)
        for endpoint_id, endpoint in catalog.endpoints.items()
        if endpoint.provider.slug in credentials and endpoint.provider.has_address
        for operation in PROBED
        if operation in catalog.models[endpoint.model_id].operations
    }
