"""Provider keys, each bound to the place that its provider has in the operator's catalogue (S14, S18)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from yarl import URL

from contracts.catalog import Catalog, Provider, ProviderCredentials
from contracts.ids import EndpointId
from dialects.credentials import credential_headers
from dialects.upstream import UpstreamRequest
from router.domain.errors import KeyHostMismatchError


class KeyRing:
    """The credentials in force, and the only addresses that each may be sent to. Immutable."""

    def __init__(self, catalog: Catalog, credentials: ProviderCredentials) -> None:
        self._catalog = catalog
        self._credentials = credentials
        called = {slug for slug, provider in catalog.providers.items() if provider.has_address}
        self.slugs = frozenset(credentials) & called
        self._keys = {slug: credentials.keys_of(slug) for slug in self.slugs}
        self._origins = {slug: URL(catalog.providers[slug].base_url).origin() for slug in self.slugs}
        # Where a customer's key may go: to the place of its provider in the catalogue, and nowhere else.
        self._places = {slug: URL(catalog.providers[slug].base_url).origin() for slug in called}
        self._urls: dict[tuple[str, str], URL] = {}

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(sorted(self.slugs))})"

    def count(self, provider: Provider) -> int:
        """How many keys the provider has."""
        return len(self._keys.get(provider.slug, ()))

    def request_to(
        self, provider: Provider, request: UpstreamRequest, now: datetime, key: int = 0, own: str | None = None
    ) -> tuple[URL, Mapping[str, str]]:
        """Return the address and the headers of a call, the credential's included.

        Args:
            provider: whom to call.
            request: in its dialect.
            now: the time, with a zone; some credentials sign with it.
            key: place of the key among the provider's.
            own: a customer's key, which is used instead.

        Raises:
            KeyHostMismatchError: the provider has no credentials, or its key is bound to another place.
            ValueError: the credential is not of the form that the dialect needs.
        """
        origin = (self._origins if own is None else self._places).get(provider.slug)
        name = provider.base_url, request.path
        url = self._urls.get(name)
        if url is None:
            # The dialect has encoded the path; there are as many as the catalogue has endpoints.
            url = self._urls[name] = URL(provider.base_url + request.path, encoded=True)
        if origin is None or url.origin() != origin:
            raise KeyHostMismatchError(f"the key of {provider.slug} is bound to another place")
        if own is None:
            keys = self._keys[provider.slug]
            # The keys may have become fewer since the place was chosen.
            credential = keys[key if key < len(keys) else 0]
        else:
            credential = own
        proof = credential_headers(provider.dialect, credential, url=str(url), body=request.body, now=now)
        return url, {**request.headers, **proof}

    def changed_endpoints(self, newer: KeyRing) -> list[EndpointId]:
        """Name the endpoints whose key or address differs in a newer ring."""
        return [
            endpoint.id
            for endpoint in newer._catalog.endpoints.values()
            if self._access(endpoint.provider.slug) != newer._access(endpoint.provider.slug)
        ]

    def _access(self, slug: str) -> tuple[tuple[str, ...], URL | None]:
        return self._credentials.keys_of(slug) if slug in self._credentials else (), self._origins.get(slug)
