"""The use case of listing: the catalogue, with what this router believes of each endpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from contracts.catalog import Catalog, Model, Provider
from contracts.errors import ErrorReason
from contracts.ids import EndpointId
from router.domain.errors import RequestRefusedError
from router.domain.health_view import FleetHealth, Standing
from servicekit.clock import Clock


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """What is said of an endpoint besides its catalogue entry. `healthy` is None while nothing is known."""

    routable: bool
    healthy: bool | None


@dataclass(frozen=True, slots=True)
class Listing:
    """Models in the order of the catalogue. `version` names them together with every status.

    `providers` is every provider, or none where one model was asked for.
    """

    version: str
    models: tuple[Model, ...]
    statuses: Mapping[EndpointId, EndpointStatus]
    providers: tuple[Provider, ...] = ()


class CatalogListing:
    """Lists what is on offer."""

    def __init__(
        self,
        *,
        catalog: Callable[[], Catalog],
        credentials: Callable[[], frozenset[str]],
        health: FleetHealth,
        clock: Clock,
    ) -> None:
        """Make the use case.

        Args:
            catalog: gives the catalogue in force.
            credentials: gives the slugs of the providers that can be called.
            health: of the endpoints.
            clock: of this process.
        """
        self._catalog = catalog
        self._credentials = credentials
        self._health = health
        self._clock = clock

    def list(self, model_id: str = "") -> Listing:
        """List everything, or one model.

        Raises:
            RequestRefusedError: there is no such model.
        """
        catalog, credentials = self._catalog(), self._credentials()
        models = tuple(catalog.models.values())
        if model_id:
            model = catalog.model(model_id)
            if model is None:
                raise RequestRefusedError(ErrorReason.NOT_FOUND, "there is no such model", param="model_id")
            models = (model,)
        monotonic, now = self._clock.monotonic(), self._clock.now()
        statuses: dict[EndpointId, EndpointStatus] = {}
        for model in models:
            for endpoint in model.endpoints:
                state = self._health.state(endpoint.id, monotonic, now)
                statuses[endpoint.id] = EndpointStatus(
                    routable=endpoint.provider.slug in credentials,
                    healthy=state.standing is not Standing.SUSPECT if state.known else None,
                )
        providers = () if model_id else tuple(catalog.providers.values())
        return Listing(_version(catalog, model_id, statuses), models, statuses, providers)


def _version(catalog: Catalog, model_id: str, statuses: Mapping[EndpointId, EndpointStatus]) -> str:
    digest = hashlib.sha256(f"{catalog.version} {model_id}".encode())
    for endpoint_id, status in statuses.items():
        digest.update(f"\n{endpoint_id} {status.routable} {status.healthy}".encode())
    return digest.hexdigest()[:20]
