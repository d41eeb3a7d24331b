"""Provider keys, each bound to the place that its provider has in the operator's catalogue (S14, S18)."""

from __future__ import annotations

from collections.abc import Mapping

from yarl import URL

from contracts.catalog import Catalog, Provider
from contracts.ids import EndpointId
from router.domain.errors import KeyHostMismatchError


class KeyRing:
    """The credentials in force, and the only addresses that each may be sent to. Immutable."""

    def __init__(self, catalog: Catalog, credentials: Mapping[str, str]) -> None:
        self._catalog = catalog
        self._credentials = credentials
        self.slugs = frozenset(credentials) & frozenset(catalog.providers)
        self._headers = {slug: {"Authorization": f"Bearer {key}"} if key else {} for slug, key in credentials.items()}
        self._origins = {slug: URL(catalog.providers[slug].base_url).origin() for slug in self.slugs}
        self._urls: dict[str, URL] = {}

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(sorted(self.slugs))})"

    def request_to(self, provider: Provider, path: str) -> tuple[URL, Mapping[str, str]]:
        """Return the address and the credential headers of a call.

        Raises:
            KeyHostMismatchError: the provider has no credentials, or its key is bound to another place.
        """
        origin = self._origins.get(provider.slug)
        url = self._urls.get(provider.base_url)
        if url is None:
            url = self._urls[provider.base_url] = URL(provider.base_url + path)
        if origin is None or url.origin() != origin:
            raise KeyHostMismatchError(f"the key of {provider.slug} is bound to another place")
        return url, self._headers[provider.slug]

    def changed_endpoints(self, newer: KeyRing) -> list[EndpointId]:
        """Name the endpoints whose key or address differs in a newer ring."""
        return [
            endpoint.id
            for endpoint in newer._catalog.endpoints.values()
            if self._access(endpoint.provider.slug) != newer._access(endpoint.provider.slug)
        ]

    def _access(self, slug: str) -> tuple[str | None, URL | None]:
        return self._credentials.get(slug), self._origins.get(slug)
