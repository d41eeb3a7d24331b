"""The composition root: everything concrete is chosen here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import grpc

from contracts import topics
from contracts.catalog import Catalog, ProviderCredentials, parse_catalog, parse_credentials
from contracts.sealed_secrets import KeyEncryptionKeys, parse_keks
from router.adapters.customer_keys import GrpcCustomerKeys, NoCustomerKeys
from router.adapters.health_feed import health_table, verdict_about
from router.adapters.observations import ObservationListener, ObservationPublisher, Observer
from router.adapters.providers.access import ProviderAccess
from router.adapters.providers.http import HttpLimits, HttpProviders
from router.adapters.telemetry import GenerationTelemetry
from router.adapters.tokenizers import LoadedTokenizers
from router.adapters.usage_events import spool_entries
from router.adapters.usage_publisher import METRICS
from router.adapters.usage_spool import UsageSpool
from router.api.router_service import SERVICE_NAME, RouterService
from router.attempt import Patience
from router.catalog_listing import CatalogListing
from router.completions import Completions
from router.domain.health_view import FleetHealth
from router.domain.ports import CustomerKeys
from router.domain.retry_budget import RetryBudget
from router.domain.stickiness import StickyPlaces
from router.failpoints import POINTS
from router.settings import Settings
from router.surroundings import Surroundings
from servicekit import Component, Runtime, Service
from servicekit.failpoints import Failpoints
from servicekit.grpc_client import open_channel
from servicekit.grpc_server import GrpcServer
from servicekit.kafka import RecordSink, TopicTail
from servicekit.spool import SpoolLimits, SpoolPublisher
from servicekit.watched_files import WatchedFiles
from turnpike.router.v1 import router_service_pb2_grpc


@asynccontextmanager
async def wire(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Make the router."""
    byok = settings.byok
    if byok.keks is None:
        yield _service(settings, runtime, NoCustomerKeys(), [])
        return
    keks = WatchedFiles[KeyEncryptionKeys](
        "keks",
        [byok.keks],
        suffix=".yaml",
        parse=lambda files: parse_keks(files[0][1]),
        clock=runtime.clock,
        interval=settings.catalog.interval,
    )
    async with open_channel(byok.accounts, runtime) as to_accounts:
        customer_keys = GrpcCustomerKeys(to_accounts, lambda: keks.value, runtime.clock, byok.timeout)
        yield _service(settings, runtime, customer_keys, [keks])


def _service(
    settings: Settings, runtime: Runtime, customer_keys: CustomerKeys, watched: Sequence[Component]
) -> Service:
    # Seeded by the operating system. It shares traffic out and guards no secret, so it may be fast.
    clock, random = runtime.clock, Random()  # noqa: S311 - see above
    health = FleetHealth(random, lambda endpoint_id: verdict_about(verdicts, endpoint_id, settings.region))
    verdicts = health_table(
        settings.kafka,
        clock,
        runtime.meter,
        region=settings.region,
        on_verdict=lambda verdict: health.judged(verdict, clock.monotonic(), clock.now()),
    )
    access = ProviderAccess(health)
    catalog = WatchedFiles[Catalog](
        "catalog",
        settings.catalog.paths,
        suffix=".yaml",
        parse=parse_catalog,
        clock=clock,
        interval=settings.catalog.interval,
        on_change=access.use_catalog,
    )
    credentials = WatchedFiles[ProviderCredentials](
        "credentials",
        [settings.providers.secrets],
        suffix=".yaml",
        parse=parse_credentials,
        clock=clock,
        interval=settings.catalog.interval,
        on_change=access.use_credentials,
    )
    providers = HttpProviders(lambda: access.keys, clock, _http_limits(settings))
    failpoints = Failpoints(POINTS, settings.failpoints)
    spool = UsageSpool(
        settings.spool.dir,
        spool_entries(settings.instance, settings.region),
        clock,
        SpoolLimits(settings.spool.capacity_bytes, settings.spool.segment_bytes, settings.spool.retention),
        failpoints,
    )
    sink = RecordSink(settings.kafka, clock, f"router-{settings.instance}", meter=runtime.meter)
    publisher = SpoolPublisher(
        spool, sink, clock, runtime.meter, topic=topics.USAGE.name, metrics=METRICS, failpoints=failpoints
    )
    tokenizers = LoadedTokenizers()
    around = Surroundings(
        providers=providers,
        health=health,
        usage_log=spool,
        telemetry=GenerationTelemetry(runtime.tracer, runtime.meter),
        clock=clock,
        patience=_patience(settings),
        keys=access.pools,
        retries=RetryBudget(),
        places=StickyPlaces(),
        random=random,
        tokenizers=tokenizers,
        hedges=settings.choice.hedge,
    )
    completions = Completions(
        around,
        catalog=lambda: access.catalog,
        credentials=lambda: access.slugs,
        random=random,
        most_in_flight=settings.limits.generations,
        strategy=settings.choice.strategy,
    )
    listing = CatalogListing(
        catalog=lambda: access.catalog, credentials=lambda: access.slugs, health=health, clock=clock
    )
    longest = settings.timeouts.total.total_seconds()
    service = RouterService(completions, listing, customer_keys, clock, longest, settings.region)

    def register(server: grpc.aio.Server) -> list[str]:
        router_service_pb2_grpc.add_RouterServiceServicer_to_server(service, server)
        return [SERVICE_NAME]

    telling, hearing = _observations(settings, runtime, health, access)
    runtime.readiness.add("spool", lambda: spool.accepting)
    return Service(
        components=[
            GrpcServer(settings.grpc, runtime, register),
            providers,
            publisher,
            tokenizers,
            *telling,
            spool,
            sink,
            *hearing,
            verdicts,
            credentials,
            catalog,
            *watched,
        ]
    )


def _observations(
    settings: Settings, runtime: Runtime, health: FleetHealth, access: ProviderAccess
) -> tuple[list[Component], list[Component]]:
    """Make what tells the other routers of live traffic, and what hears of theirs."""
    if not settings.observations.enabled:
        return [], []
    clock, meter = runtime.clock, runtime.meter
    observer = Observer(settings.instance, settings.region, epoch=int(clock.now().timestamp() * 1000))
    # A producer of its own: trouble with this topic must not hold up usage events.
    sink = RecordSink(settings.kafka, clock, f"router-{settings.instance}-observations", meter=meter)
    listener = ObservationListener(
        health, observer, is_known=lambda endpoint_id: endpoint_id in access.catalog.endpoints, clock=clock, meter=meter
    )
    tail = TopicTail(settings.kafka, clock, topic=topics.OBSERVATIONS.name, on_record=listener.take)
    return [ObservationPublisher(sink, health, observer, clock, meter), sink], [tail]


def _http_limits(settings: Settings) -> HttpLimits:
    return HttpLimits(
        connect=settings.timeouts.connect.total_seconds(),
        connections=settings.providers.connections,
        connections_per_host=settings.providers.host_connections,
        answer_bytes=settings.providers.answer_bytes,
    )


def _patience(settings: Settings) -> Patience:
    timeouts = settings.timeouts
    return Patience(
        first_token=timeouts.first.total_seconds(),
        stall=timeouts.stall.total_seconds(),
        answer=timeouts.answer.total_seconds(),
        usage=timeouts.usage.total_seconds(),
    )
