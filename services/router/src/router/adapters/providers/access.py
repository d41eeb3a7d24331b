"""The catalogue and the credentials in force, always a matching pair."""

from __future__ import annotations

from contracts.catalog import Catalog, ProviderCredentials
from router.adapters.providers.key_ring import KeyRing
from router.domain.health_view import FleetHealth
from router.domain.key_pool import KeyPools
from servicekit.logs import get_logger

_log = get_logger(__name__)


class ProviderAccess:
    """Takes what the watched files hold; every taking replaces the whole pair at once."""

    def __init__(self, health: FleetHealth) -> None:
        """`health` forgets what it knows of endpoints whose key or address has changed; so do `pools`."""
        self._health = health
        self.pools = KeyPools(lambda endpoint: self.keys.count(endpoint.provider))
        self._catalog: Catalog | None = None
        self._credentials = ProviderCredentials({})
        self._keys: KeyRing | None = None

    @property
    def catalog(self) -> Catalog:
        """The catalogue.

        Raises:
            RuntimeError: there is none yet.
        """
        if self._catalog is None:
            raise RuntimeError("no catalogue yet")
        return self._catalog

    @property
    def keys(self) -> KeyRing:
        """The credentials, bound to the addresses in the catalogue.

        Raises:
            RuntimeError: there is no catalogue yet.
        """
        if self._keys is None:
            raise RuntimeError("no catalogue yet")
        return self._keys

    @property
    def slugs(self) -> frozenset[str]:
        """The providers that can be called."""
        return self.keys.slugs

    def use_catalog(self, catalog: Catalog) -> None:
        """Put a catalogue in force."""
        self._catalog = catalog
        self._bind()

    def use_credentials(self, credentials: ProviderCredentials) -> None:
        """Put credentials in force."""
        self._credentials = credentials
        if self._catalog is not None:
            self._bind()

    def _bind(self) -> None:
        newer = KeyRing(self.catalog, self._credentials)
        if self._keys is not None:
            changed = self._keys.changed_endpoints(newer)
            self._health.restart(changed)
            for endpoint_id in changed:
                self.pools.restart(endpoint_id)
        self._keys = newer
        _log.info(
            "catalog.put_in_force",
            version=self.catalog.version,
            models=len(self.catalog.models),
            endpoints=len(self.catalog.endpoints),
            routable=sum(endpoint.provider.slug in newer.slugs for endpoint in self.catalog.endpoints.values()),
        )
