"""Single models, their endpoints, and the providers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from edge.api.catalog import operations
from edge.api.catalog.filters import keeps_nothing
from edge.api.catalog.model_json import endpoint_json, endpoints_json, model_json
from edge.api.catalog.rows import find_row
from edge.api.http.exchange import Exchange
from edge.api.http.routes import Access, Route
from edge.catalog import CatalogMirror
from edge.domain.errors import NotFoundError
from edge.domain.slugs import without_variants
from edge.ports import EndpointStats
from turnpike.router.v1 import catalog_pb2

_encode = msgspec.json.Encoder().encode


class Endpoints:
    """Serves what is on offer, model by model and provider by provider."""

    def __init__(self, mirror: CatalogMirror, stats: EndpointStats) -> None:
        """Make the handler.

        Args:
            mirror: has the catalogue.
            stats: what endpoints did lately.
        """
        self._mirror = mirror
        self._stats = stats

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/model/{author}/{slug}", Access.ANYBODY, self.model, operations.GET),
            Route(
                "GET", "/models/{author}/{slug}/endpoints", Access.ANYBODY_OR_KEY, self.of_model, operations.ENDPOINTS
            ),
            Route("GET", "/endpoints/zdr", Access.ANYBODY_OR_KEY, self.zdr, operations.ZDR),
            Route("GET", "/providers", Access.ANYBODY, self.providers, operations.PROVIDERS),
        )

    async def model(self, exchange: Exchange) -> web.StreamResponse:
        """Return one model.

        Raises:
            DependencyError: there is no catalogue yet.
            NotFoundError: there is no such model that can be called here.
        """
        slug = _slug(exchange)
        row = find_row(await self._mirror.require(), slug)
        if row is None:
            raise NotFoundError(f"Model {slug} not found")
        return exchange.json(_encode({"data": model_json(row)}))

    async def of_model(self, exchange: Exchange) -> web.StreamResponse:
        """Return one model with its endpoints, those that cannot be called here included.

        There are none for a variant that it does not have.

        Raises:
            DependencyError: there is no catalogue yet.
            NotFoundError: there is no such model.
        """
        slug = _slug(exchange)
        catalog = await self._mirror.require()
        model = catalog.find_listed(slug)
        endpoints: Sequence[catalog_pb2.Endpoint] = () if model is None else model.endpoints
        model = model or catalog.find_listed(without_variants(slug))
        if model is None:
            raise NotFoundError(f"Model {slug} not found")
        measured = [(endpoint, self._stats.stats(endpoint.id)) for endpoint in endpoints]
        return exchange.json(_encode({"data": endpoints_json(model, measured, with_speed=_is_known(exchange))}))

    async def zdr(self, exchange: Exchange) -> web.StreamResponse:
        """List the endpoints that can be called here and keep no prompts.

        Raises:
            DependencyError: there is no catalogue yet.
        """
        catalog = await self._mirror.require()
        rows = [
            endpoint_json(model, endpoint, self._stats.stats(endpoint.id), with_speed=_is_known(exchange))
            for model in catalog.models
            for endpoint in model.endpoints
            if keeps_nothing(endpoint)
        ]
        return exchange.json(_encode({"data": rows}))

    async def providers(self, exchange: Exchange) -> web.StreamResponse:
        """List the providers of the catalogue, whether or not there are credentials for them here.

        Raises:
            DependencyError: there is no catalogue yet.
        """
        catalog = await self._mirror.require()
        return exchange.json(_encode({"data": [_provider_json(provider) for provider in catalog.providers]}))


def _provider_json(provider: catalog_pb2.Provider) -> dict[str, Any]:
    return {
        "name": provider.name,
        "slug": provider.slug,
        "privacy_policy_url": provider.privacy_policy_url or None,
        "terms_of_service_url": provider.terms_of_service_url or None,
        "status_page_url": provider.status_page_url or None,
        "headquarters": provider.headquarters or None,
        "datacenters": list(provider.datacenters) or None,
    }


def _is_known(exchange: Exchange) -> bool:
    return exchange.caller is not None


def _slug(exchange: Exchange) -> str:
    return f"{exchange.params['author']}/{exchange.params['slug']}"
