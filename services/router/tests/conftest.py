"""Parts of a router for tests, put together as app.py does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from random import Random

import pytest

from contracts.catalog import ProviderCredentials
from router.adapters.providers.access import ProviderAccess
from router.adapters.providers.http import HttpLimits, HttpProviders
from router.adapters.usage_events import usage_event_of
from router.attempt import Patience
from router.completions import Completions
from router.domain.health_view import FleetHealth
from router.domain.retry_budget import RetryBudget
from router.domain.stickiness import StickyPlaces
from router.surroundings import Surroundings
from router.testing.catalogs import Offer, catalog_of
from router.testing.doubles import MemoryUsageLog, ReadyTokenizers, SilentTelemetry
from router.testing.loopback import LoopbackResolver
from router.testing.scripted_provider import Script, ScriptedProvider
from router.testing.workbench import PATIENCE, OpenBench, OpenWorkbench, Workbench
from servicekit.clock import SystemClock
from servicekit.testing import BrokerProcess, kafka_broker


@pytest.fixture
def workbench() -> OpenWorkbench:
    """Makes a router's inside over some offers."""

    @asynccontextmanager
    async def open_workbench(*offers: Offer, patience: Patience = PATIENCE) -> AsyncIterator[Workbench]:
        clock = SystemClock()
        health = FleetHealth(Random(1), lambda _: None)
        access = ProviderAccess(health)
        access.use_catalog(catalog_of(*offers))

        def use_credentials(keys: Mapping[str, str | tuple[str, ...]]) -> None:
            several = {slug: (key,) if isinstance(key, str) else key for slug, key in keys.items()}
            access.use_credentials(
                ProviderCredentials(
                    {slug: each[0] for slug, each in several.items()},
                    {slug: each[1:] for slug, each in several.items()},
                )
            )

        use_credentials({offer.provider: f"key-of-{offer.provider}" for offer in offers})
        limits = HttpLimits(connect=0.5, answer_bytes=100_000)
        providers = HttpProviders(lambda: access.keys, clock, limits, LoopbackResolver())
        log, telemetry = MemoryUsageLog(), SilentTelemetry()
        completions = Completions(
            Surroundings(
                providers,
                health,
                log,
                telemetry,
                clock,
                patience,
                access.pools,
                RetryBudget(),
                StickyPlaces(),
                Random(1),
                ReadyTokenizers(),
            ),
            catalog=lambda: access.catalog,
            credentials=lambda: access.slugs,
            random=Random(1),
            most_in_flight=100,
        )
        await providers.start()
        try:
            yield Workbench(
                completions,
                health,
                log,
                telemetry,
                use_credentials,
                lambda record: usage_event_of(record, "router-test", "local"),
            )
        finally:
            await providers.stop(timedelta(seconds=1))

    return open_workbench


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Holds what a test opens until its end."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def bench(stack: AsyncExitStack, workbench: OpenWorkbench) -> OpenBench:
    """Makes a router's inside over scripted providers."""

    async def open_bench(*by_price: Script, patience: Patience = PATIENCE) -> tuple[Workbench, list[ScriptedProvider]]:
        providers = [await stack.enter_async_context(ScriptedProvider(script)) for script in by_price]
        offers = [
            # The dearer, the longer: what is too long for one may fit into the next.
            Offer(slug, url=provider.url, prompt=f"0.00000{number}", context_length=8192 * number)
            for number, (slug, provider) in enumerate(zip("abcdef", providers, strict=False), start=1)
        ]
        return await stack.enter_async_context(workbench(*offers, patience=patience)), providers

    return open_bench


@pytest.fixture(scope="session")
def broker() -> Iterator[BrokerProcess]:
    """A broker that is never stopped."""
    with kafka_broker() as broker:
        yield broker
