"""The catalogue as the router last listed it: what is public, and what a request may cost.

It is refreshed in the background and served as it was when the router is away, so that clients can still list models.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from types import MappingProxyType

from contracts import money
from edge.domain.errors import DependencyError
from edge.domain.hold import Offer, dearest_offers
from edge.domain.slugs import without_routing_suffixes
from edge.ports import CompletionRouter
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from turnpike.router.v1 import catalog_pb2

_log = get_logger(__name__)


@dataclass(frozen=True)
class Catalog:
    """One state of the catalogue.

    Models and offers hold only what can be served here: an endpoint without credentials, and a model without any other
    endpoint, are of no use to a caller. What is merely listed is in `listed`, so that its price can be seen.

    Attributes:
        version: names the state.
        models: in the order of the catalogue, with their routable endpoints.
        by_name: the same by id, by canonical slug and by alias.
        offers: what the dearest of each model's endpoints ask, by the same names.
        listed: every model with every endpoint, by the same names.
        provider_names: display name of the provider of each endpoint, by endpoint id; the unroutable ones too.
        providers: every provider, in the order of the catalogue.
    """

    version: str
    models: tuple[catalog_pb2.Model, ...]
    by_name: Mapping[str, catalog_pb2.Model]
    offers: Mapping[str, tuple[Offer, ...]]
    listed: Mapping[str, catalog_pb2.Model]
    provider_names: Mapping[str, str]
    providers: tuple[catalog_pb2.Provider, ...] = ()

    def find(self, slug: str) -> catalog_pb2.Model | None:
        """The model of this name, routing suffixes ignored; None when there is none."""
        return self.by_name.get(without_routing_suffixes(slug))

    def find_listed(self, slug: str) -> catalog_pb2.Model | None:
        """The model of this name with every endpoint, routing suffixes ignored, whether or not it can be served here."""
        return self.listed.get(without_routing_suffixes(slug))

    def names_of(self, slugs: Iterable[str]) -> frozenset[str]:
        """Every name of every one of these models, routing suffixes left out."""
        names: set[str] = set()
        for slug in slugs:
            name = without_routing_suffixes(slug)
            names.add(name)
            model = self.listed.get(name)
            if model is not None:
                names.update((model.id, model.canonical_slug))
        return frozenset(names)

    def offers_for(self, slugs: Iterable[str]) -> list[Offer]:
        """What the endpoints of all these models ask; nothing for a model that is not here."""
        return [offer for slug in slugs for offer in self.offers.get(without_routing_suffixes(slug), ())]


def catalog_from_proto(
    version: str, rows: Iterable[catalog_pb2.Model], providers: Iterable[catalog_pb2.Provider] = ()
) -> Catalog:
    """Index what the router listed."""
    models: list[catalog_pb2.Model] = []
    by_name: dict[str, catalog_pb2.Model] = {}
    offers: dict[str, tuple[Offer, ...]] = {}
    listed: dict[str, catalog_pb2.Model] = {}
    provider_names: dict[str, str] = {}
    for row in rows:
        provider_names.update((endpoint.id, endpoint.provider_name) for endpoint in row.endpoints)
        names = [name for name in (*row.aliases, row.canonical_slug, row.id) if name]
        listed.update((name, row) for name in names)
        routable = [endpoint for endpoint in row.endpoints if endpoint.routable]
        if not routable:
            continue
        model = catalog_pb2.Model()
        model.CopyFrom(row)
        del model.endpoints[:]
        model.endpoints.extend(routable)
        models.append(model)
        asked = dearest_offers(_offer(endpoint) for endpoint in routable)
        by_name.update((name, model) for name in names)
        offers.update((name, asked) for name in names)
    return Catalog(
        version=version,
        models=tuple(models),
        by_name=MappingProxyType(by_name),
        offers=MappingProxyType(offers),
        listed=MappingProxyType(listed),
        provider_names=MappingProxyType(provider_names),
        providers=tuple(providers),
    )


def _offer(endpoint: catalog_pb2.Endpoint) -> Offer:
    dearest = endpoint.dearest_price if endpoint.HasField("dearest_price") else endpoint.price
    return Offer(
        price=money.price_from_proto(dearest),
        context_length=endpoint.context_length,
        max_completion_tokens=endpoint.max_completion_tokens,
    )


class CatalogMirror(Component):
    """Keeps the last listed catalogue."""

    name = "catalog-mirror"

    def __init__(self, router: CompletionRouter, clock: Clock, random: Random, interval: timedelta) -> None:
        """Make a mirror.

        Args:
            router: lists the catalogue.
            clock: to wait with.
            random: for the jitter of the interval, 10 % each way.
            interval: between two looks.
        """
        self._router = router
        self._clock = clock
        self._random = random
        self._interval_s = interval.total_seconds()
        self._catalog: Catalog | None = None
        self._stopping = asyncio.Event()
        self._loading = asyncio.Lock()
        self._failing = False

    @property
    def catalog(self) -> Catalog | None:
        """The last state, None before the first."""
        return self._catalog

    async def require(self) -> Catalog:
        """Return the last state; ask for it now if there is none yet.

        Raises:
            DependencyError: there is none, and the router did not answer.
        """
        if self._catalog is None:
            async with self._loading:
                if self._catalog is None:
                    await self._refresh()
        if self._catalog is None:
            raise DependencyError("router")
        return self._catalog

    async def run(self) -> None:
        """Look for a new version, again and again."""
        async with asyncio.TaskGroup() as tasks:
            polling = tasks.create_task(self._poll())
            await self._stopping.wait()
            polling.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Stop looking."""
        self._stopping.set()

    async def _poll(self) -> None:
        while True:
            try:
                await self._refresh()
            except DependencyError:
                if not self._failing:
                    _log.warning("catalog.refresh_failed", version=self._catalog.version if self._catalog else None)
                self._failing = True
            else:
                self._failing = False
            await self._clock.sleep(self._interval_s * (0.9 + 0.2 * self._random.random()))

    async def _refresh(self) -> None:
        known = self._catalog.version if self._catalog is not None else ""
        listed = await self._router.list_models(known)
        if self._catalog is None or (listed.version and listed.version != known):
            self._catalog = catalog_from_proto(listed.version, listed.models, listed.providers)
            _log.info("catalog.loaded", version=listed.version, models=len(self._catalog.models))
