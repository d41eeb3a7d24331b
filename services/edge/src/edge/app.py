"""The composition root: the only place that chooses concrete things."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_network
from random import Random

import grpc

from contracts import money
from contracts.topics import USAGE
from edge.adapters.accounts_client import GrpcKeyLookup, GrpcKeyMover, GrpcKeyRegistry
from edge.adapters.analytics_client import GrpcAnalytics, GrpcInsight
from edge.adapters.byok_client import GrpcByokRegistry
from edge.adapters.content_library import GrpcContentLibrary
from edge.adapters.control_plane import GrpcControlPlane
from edge.adapters.endpoint_stats import KafkaEndpointStats
from edge.adapters.generation_journal import FileOpenGenerations
from edge.adapters.guardrail_client import GrpcGuardrailRegistry
from edge.adapters.key_directory import KafkaKeyDirectory
from edge.adapters.lease_client import GrpcLeaseLender
from edge.adapters.metering_client import GrpcGenerationRecords
from edge.adapters.payments_client import GrpcCreditSales
from edge.adapters.pdf_text import PdfTexts
from edge.adapters.preset_library import GrpcPresetLibrary
from edge.adapters.router_client import GrpcCompletionRouter
from edge.adapters.usage_statements import METRICS, SpooledStatements
from edge.admission import Admission
from edge.api.analytics.activity import Activity
from edge.api.analytics.activity_export import ActivityExport
from edge.api.analytics.names import UsageNames
from edge.api.analytics.queries import AnalyticsQueries
from edge.api.billing.credit_sales import CreditSales
from edge.api.catalog.endpoints import Endpoints
from edge.api.catalog.image_models import ImageModels
from edge.api.catalog.models import Models
from edge.api.consent.handlers import Consent
from edge.api.datasets.endpoints import EndpointFigures
from edge.api.datasets.market import Market
from edge.api.datasets.rankings import Rankings
from edge.api.http.bodies import JsonBodies
from edge.api.http.client_address import ClientAddresses
from edge.api.http.cross_origin import CrossOrigin
from edge.api.http.error_reference import ErrorReference
from edge.api.http.forms import FormBodies
from edge.api.http.gateway import Gateway
from edge.api.http.http_server import HttpServer
from edge.api.http.routes import RouteTable
from edge.api.inference.chat.skin import ChatSkin
from edge.api.inference.inference import Inference
from edge.api.inference.messages.count_tokens import CountTokens
from edge.api.inference.messages.skin import MessagesSkin
from edge.api.inference.operations.embeddings import EmbeddingsSkin
from edge.api.inference.operations.handler import OperationRoutes, OperationSkin
from edge.api.inference.operations.images import ImagesSkin
from edge.api.inference.operations.rerank import RerankSkin
from edge.api.inference.operations.speech import SpeechSkin
from edge.api.inference.operations.transcription import TranscriptionSkin
from edge.api.inference.preparation import Preparation
from edge.api.inference.responses.skin import ResponsesSkin
from edge.api.inference.stream_watch import StreamWatch
from edge.api.inference.text_completions.skin import TextCompletionsSkin
from edge.api.management.byok import Byok
from edge.api.management.credits import Credits
from edge.api.management.guardrail_assignments import GuardrailAssignments
from edge.api.management.guardrails import Guardrails
from edge.api.management.keys import Keys
from edge.api.observability.destinations import Destinations
from edge.api.openapi.handlers import ApiDescription
from edge.api.organization.auth_codes import AuthCodes
from edge.api.organization.calls import Calls
from edge.api.organization.members import Members
from edge.api.organization.rate_limits import RateLimitRoutes
from edge.api.organization.sign_in import SignIn
from edge.api.organization.workspace_budgets import WorkspaceBudgets
from edge.api.organization.workspaces import Workspaces
from edge.api.presets.handlers import Presets
from edge.api.records.content import GenerationContents
from edge.api.records.generation import GenerationRecord
from edge.authentication import Authenticator, Trust
from edge.catalog import CatalogMirror
from edge.content_log import ContentLog
from edge.document_reading import DocumentReading
from edge.domain.address_limits import AddressLimits
from edge.domain.byok_fee import ByokFee
from edge.domain.capacity import Capacity
from edge.domain.rate_limits import RateLimits
from edge.domain.request_rate import RequestRate
from edge.failpoints import POINTS
from edge.generations import Generations, unix_ms
from edge.journal.journaled_router import JournaledRouter
from edge.journal.prices import MirroredPrices
from edge.journal.unended import Unended
from edge.key_moves import KeyMoves
from edge.late_costs import LateCosts
from edge.lent_limits import LentLimits
from edge.operations import Operations
from edge.ports import KeyRegistry
from edge.preset_cache import PresetCache
from edge.records import Records
from edge.request_rules import RequestRules
from edge.response_cache import ResponseCache
from edge.session_tokens import SessionTokens
from edge.settings import DocumentsSettings, HttpSettings, KeysSettings, Settings
from edge.token_counts import TokenCounts
from edge.wallets import Wallets
from edge.window_wallets import WindowWallets
from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.grpc_client import open_channel
from servicekit.journal import Journal
from servicekit.kafka import RecordSink
from servicekit.lifecycle import Component, Runtime, Service
from servicekit.spool import RecordSpool, SpoolLimits, SpoolPublisher


@asynccontextmanager
async def wire(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Make the edge: the public port first in drain order, then what looks after streams, then what it knows."""
    # Seeded by the operating system. It names generations and jitters waits and guards no secret, so it may be fast.
    clock, random = runtime.clock, Random()  # noqa: S311 - see above
    async with (
        open_channel(settings.router.target, runtime) as to_router,
        open_channel(settings.accounts.target, runtime) as to_accounts,
        open_channel(settings.metering.target, runtime) as to_metering,
    ):
        # Unix milliseconds of the start: a later process of the same edge has more.
        epoch = unix_ms(clock.now())
        wallets = Wallets(
            _lender(to_accounts, settings, epoch, settings.accounts.timeout),
            clock,
            runtime.meter,
            random,
            cover=settings.leases.cover,
            least=settings.leases.least_cents * money.NANO_PER_USD // 100,
            patience=settings.accounts.timeout,
        )
        windows = WindowWallets(
            _lender(to_accounts, settings, epoch, settings.leases.patience),
            clock,
            runtime.meter,
            random,
            unused=settings.leases.unused,
            patience=settings.leases.patience,
            edges=settings.limits.edges,
        )
        directory = KafkaKeyDirectory(
            settings.kafka,
            clock,
            runtime.meter,
            folder=settings.state.dir,
            max_snapshot_age=settings.keys.stale,
            on_key=lambda digest: authenticator.forget(digest),
            on_org=wallets.heard,
        )
        pepper, previous = _peppers(settings.keys)
        moves = previous and KeyMoves(
            GrpcKeyMover(to_accounts, settings.accounts.timeout, pepper, previous), clock, runtime.meter
        )
        authenticator = Authenticator(
            directory,
            GrpcKeyLookup(
                to_accounts, settings.keys.timeout, clock, settings.keys.lookups, peppers=2 if previous else 1
            ),
            clock=clock,
            random=random,
            pepper=pepper,
            trust=_trust(settings.keys),
            previous_pepper=previous,
            on_previous=moves.note if moves else None,
        )
        routers = GrpcCompletionRouter(
            to_router, deadline=settings.router.deadline, list_timeout=settings.router.list_timeout
        )
        mirror = CatalogMirror(routers, clock, random, settings.router.list_interval)
        router, journal = _journaled(routers, mirror, settings, runtime)
        endpoint_stats = KafkaEndpointStats(settings.kafka, clock, runtime.meter)
        byok_fee = ByokFee(settings.byok.fee_ppm, settings.byok.allowance_usd * money.NANO_PER_USD)
        rates = RateLimits(settings.limits.edges)
        rules = RequestRules(directory, LentLimits(rates, windows), clock)
        admission = Admission(wallets, directory)
        usage_records = GrpcGenerationRecords(to_metering, settings.metering.timeout)
        late_costs = LateCosts(usage_records, clock)
        generations = Generations(
            router,
            mirror,
            admission,
            rules,
            late_costs,
            clock=clock,
            random=random,
            default_output_tokens=settings.credit.default_output_tokens,
            byok_fee=byok_fee,
        )
        operations = Operations(
            router, mirror, admission, rules, late_costs, clock=clock, random=random, byok_fee=byok_fee
        )
        records = Records(
            usage_records,
            clock,
            patience=settings.metering.patience,
            longest_generation=settings.router.deadline,
        )
        bodies = JsonBodies(settings.http.body_limit, settings.http.body_timeout)
        watch = StreamWatch(clock, settings.stream.keep_alive, settings.stream.reader_timeout)
        registry = GrpcKeyRegistry(to_accounts, settings.accounts.timeout)
        guardrails = GrpcGuardrailRegistry(to_accounts, settings.accounts.timeout)
        skins = (ChatSkin(), ResponsesSkin(clock), MessagesSkin(), TextCompletionsSkin())
        contents = GrpcContentLibrary(to_accounts, settings.accounts.timeout)
        content_log = ContentLog(contents, clock, runtime.meter)
        library = GrpcPresetLibrary(to_accounts, settings.accounts.timeout)
        presets = PresetCache(library, clock, fresh=settings.presets.fresh, stale=settings.presets.stale)
        capacity, rate = Capacity(settings.http.max_in_flight), RequestRate(rates, settings.http.key_rate)
        handlers = (
            Inference(
                skins,
                generations,
                bodies,
                capacity,
                watch,
                rate,
                Preparation(presets, DocumentReading(_pdf_texts(settings.documents), mirror)),
                ResponseCache(clock, runtime.meter, settings.cache.bytes),
                content_log,
                clock,
            ),
            CountTokens(TokenCounts(mirror), bodies, capacity, rate, clock),
            Models(mirror, endpoint_stats, clock),
            Endpoints(mirror, endpoint_stats),
            ImageModels(mirror),
            OperationRoutes(_operation_skins(settings.http, bodies), operations, capacity, rate, clock),
            GenerationRecord(records, mirror),
            GenerationContents(contents, records, bodies),
            Keys(registry, bodies, clock),
            Credits(registry),
            *_usage(
                to_metering,
                settings,
                registry,
                mirror,
                bodies,
                Calls(GrpcControlPlane(to_accounts, settings.accounts.timeout)),
                clock,
            ),
            Presets(skins, library, presets, bodies),
            Byok(GrpcByokRegistry(to_accounts, settings.accounts.timeout), bodies),
            Guardrails(guardrails, bodies),
            GuardrailAssignments(guardrails, bodies),
            ErrorReference(),
            CreditSales(
                GrpcCreditSales(to_accounts, settings.accounts.timeout),
                GrpcAnalytics(to_metering, settings.metering.query_timeout),
                bodies,
                random,
            ),
        )
        plane = GrpcControlPlane(to_accounts, settings.accounts.timeout)
        tokens = SessionTokens(plane, pepper, secure=settings.sessions.secure, previous_pepper=previous)
        calls = Calls(plane)
        organization = (
            Members(calls, bodies),
            RateLimitRoutes(calls, bodies),
            Workspaces(calls, bodies),
            WorkspaceBudgets(calls, bodies),
            SignIn(calls, bodies, tokens),
            AuthCodes(calls, bodies, tokens),
            Destinations(calls, bodies),
            Consent(calls, bodies, tokens, openid=settings.sessions.openid),
        )
        routes = [route for handler in (*handlers, *organization) for route in handler.routes()]
        routes += ApiDescription(routes).routes()
        gateway = Gateway(
            RouteTable(routes),
            authenticator,
            clock=clock,
            random=random,
            tracer=runtime.tracer,
            meter=runtime.meter,
            header_limit=settings.http.header_limit,
            addresses=ClientAddresses(
                [ip_network(text) for text in settings.http.trusted_proxies], settings.http.country_header
            ),
            limits=AddressLimits(
                rates,
                requests=settings.limits.address_requests,
                failures=settings.limits.address_failures,
                tokens=settings.limits.address_tokens,
                concurrency=settings.limits.address_concurrency,
            ),
            sessions=tokens,
            cross_origin=CrossOrigin(settings.http.cors_origins),
        )
        server = HttpServer(gateway, settings.http, clock, runtime.meter)
        server.on_abandon(watch.abandon_all)
        yield Service(
            [
                server,
                watch,
                content_log,
                late_costs,
                wallets,
                windows,
                *([moves] if moves else []),
                presets,
                mirror,
                endpoint_stats.table,
                *journal,
                *directory.tables,
            ]
        )


def _lender(to_accounts: grpc.aio.Channel, settings: Settings, epoch: int, timeout: timedelta) -> GrpcLeaseLender:
    return GrpcLeaseLender(to_accounts, timeout, settings.instance, epoch)


def _journaled(
    routers: GrpcCompletionRouter, mirror: CatalogMirror, settings: Settings, runtime: Runtime
) -> tuple[JournaledRouter, Sequence[Component]]:
    """The routers behind a journal, and what states the generations whose end they do not tell."""
    clock, folder, failpoints = runtime.clock, settings.state.dir, Failpoints(POINTS, settings.failpoints)
    journal = Journal(folder / "journal", clock, capacity_bytes=settings.journal.capacity_bytes, failpoints=failpoints)
    spool = RecordSpool(
        folder / "spool", clock, SpoolLimits(settings.journal.capacity_bytes), prefix="usage", failpoints=failpoints
    )
    sink = RecordSink(settings.kafka, clock, f"edge-{settings.instance}", meter=runtime.meter)
    publisher = SpoolPublisher(
        spool, sink, clock, runtime.meter, topic=USAGE.name, metrics=METRICS, failpoints=failpoints
    )
    opened = FileOpenGenerations(journal)
    unended = Unended(
        opened,
        SpooledStatements(spool, settings.instance),
        clock,
        runtime.meter,
        patience=settings.journal.patience,
        reap_after=settings.journal.reap,
    )
    runtime.readiness.add("journal", lambda: journal.accepting)
    router = JournaledRouter(routers, opened, unended, MirroredPrices(mirror), clock)
    return router, (unended, publisher, journal, spool, sink)


def _pdf_texts(documents: DocumentsSettings) -> PdfTexts:
    return PdfTexts(
        pages=documents.pages, timeout=documents.timeout, workers=documents.workers, waiting=documents.waiting
    )


def _operation_skins(http: HttpSettings, bodies: JsonBodies) -> tuple[OperationSkin, ...]:
    # Four characters of base64 for each three bytes, and room for the rest of the body.
    sound_as_text = JsonBodies(http.audio_limit * 4 // 3 + 64 * 1024, http.body_timeout)
    forms = FormBodies(http.audio_limit, http.body_timeout)
    return (
        EmbeddingsSkin(bodies),
        RerankSkin(bodies),
        SpeechSkin(bodies),
        TranscriptionSkin(sound_as_text, forms, http.audio_limit),
        ImagesSkin(bodies),
    )


def _usage(
    to_metering: grpc.aio.Channel,
    settings: Settings,
    registry: KeyRegistry,
    mirror: CatalogMirror,
    bodies: JsonBodies,
    calls: Calls,
    clock: Clock,
) -> tuple[Activity, ActivityExport, AnalyticsQueries, Rankings, Market, EndpointFigures]:
    """What metering counts, for its owners and for everybody."""
    analytics = GrpcAnalytics(to_metering, settings.metering.query_timeout)
    insight = GrpcInsight(to_metering, settings.metering.query_timeout)
    return (
        Activity(analytics, registry, mirror, clock),
        ActivityExport(analytics, clock),
        AnalyticsQueries(analytics, registry, UsageNames(registry, calls), bodies, clock),
        Rankings(insight, mirror, clock.now),
        Market(insight, mirror, clock.now),
        EndpointFigures(insight, mirror, clock.now),
    )


def _peppers(keys: KeysSettings) -> tuple[bytes, bytes | None]:
    previous = keys.previous_pepper
    return keys.pepper.get_secret_value().encode(), None if previous is None else previous.get_secret_value().encode()


def _trust(keys: KeysSettings) -> Trust:
    return Trust(
        fresh_s=keys.fresh.total_seconds(),
        stale_s=keys.stale.total_seconds(),
        negative_s=keys.negative.total_seconds(),
        timeout_s=keys.timeout.total_seconds(),
    )
