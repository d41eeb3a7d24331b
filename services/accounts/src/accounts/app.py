"""The composition root: the only place that chooses concrete things."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import Final

import aiohttp
import grpc

from accounts.adapters.content_sealing import AesContentSealing
from accounts.adapters.oidc_provider import HttpOidcProvider, OidcClient
from accounts.adapters.passwords import Argon2Passwords
from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.auth_code_store import PostgresAuthCodeStore
from accounts.adapters.postgres.byok_store import PostgresByokStore
from accounts.adapters.postgres.content_store import PostgresContentStore
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.delivery_log import PostgresDeliveryLog
from accounts.adapters.postgres.destination_store import PostgresDestinationStore
from accounts.adapters.postgres.guardrail_store import PostgresGuardrailStore
from accounts.adapters.postgres.key_store import PostgresKeyStore
from accounts.adapters.postgres.lease_store import PostgresLeaseStore
from accounts.adapters.postgres.member_store import PostgresMemberStore
from accounts.adapters.postgres.org_store import PostgresOrgStore
from accounts.adapters.postgres.outbox import PostgresOutbox
from accounts.adapters.postgres.payment_store import PostgresPaymentStore
from accounts.adapters.postgres.preset_store import PostgresPresetStore
from accounts.adapters.postgres.price_store import PostgresPriceStore
from accounts.adapters.postgres.reconciliation_store import PostgresReconciliationStore
from accounts.adapters.postgres.session_store import PostgresSessionStore
from accounts.adapters.postgres.settlement_store import PostgresSettlementStore
from accounts.adapters.postgres.sign_in_store import PostgresSignInStore
from accounts.adapters.postgres.statement_store import PostgresStatementStore
from accounts.adapters.postgres.suspense_store import PostgresSuspenseStore
from accounts.adapters.postgres.top_up_store import PostgresTopUpStore
from accounts.adapters.postgres.workspace_member_store import PostgresWorkspaceMemberStore
from accounts.adapters.postgres.workspace_store import PostgresWorkspaceStore
from accounts.adapters.stripe_payments import StripePayments
from accounts.api import (
    audit_service,
    byok_service,
    content_service,
    destination_service,
    guardrail_service,
    key_service,
    lease_service,
    member_service,
    org_service,
    payment_service,
    preset_service,
    reconciliation_service,
    session_service,
    suspense_service,
    workspace_service,
)
from accounts.api.permissions import check_reaches
from accounts.auth_codes import AuthCodes
from accounts.byok import Byok
from accounts.contents import Contents
from accounts.destinations import Destinations
from accounts.domain.leases import LeaseTerms
from accounts.failpoints import POINTS
from accounts.guardrails import Guardrails
from accounts.identity import Identity
from accounts.lease_expiry import LeaseExpiry
from accounts.leases import Leases
from accounts.members import Members
from accounts.payments import Payments
from accounts.pepper_rotation import PepperRotation
from accounts.presets import Presets
from accounts.price_book import PriceBook
from accounts.publication import Publication
from accounts.sessions import Sessions
from accounts.settings import (
    CatalogSettings,
    ContentsSettings,
    OidcSettings,
    PaymentSettings,
    PostgresSettings,
    Settings,
    audit_pepper,
)
from accounts.settlement import Settlement
from accounts.suspended_usage import SuspendedUsage
from accounts.top_ups import TopUps
from accounts.workspaces import Workspaces
from contracts.catalog import Catalog, parse_catalog
from contracts.sealed_secrets import KeyEncryptionKeys, parse_keks
from contracts.topics import USAGE
from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.garbage import collect_rarely
from servicekit.grpc_server import GrpcServer
from servicekit.kafka import RecordConsumer, RecordSink
from servicekit.lifecycle import Component, Runtime, Service
from servicekit.watched_files import WatchedFiles
from turnpike.accounts.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from turnpike.accounts.v1.byok_service_pb2_grpc import add_ByokServiceServicer_to_server
from turnpike.accounts.v1.content_service_pb2_grpc import add_ContentServiceServicer_to_server
from turnpike.accounts.v1.destination_service_pb2_grpc import add_DestinationServiceServicer_to_server
from turnpike.accounts.v1.guardrail_service_pb2_grpc import add_GuardrailServiceServicer_to_server
from turnpike.accounts.v1.key_service_pb2_grpc import add_KeyServiceServicer_to_server
from turnpike.accounts.v1.lease_service_pb2_grpc import add_LeaseServiceServicer_to_server
from turnpike.accounts.v1.member_service_pb2_grpc import add_MemberServiceServicer_to_server
from turnpike.accounts.v1.org_service_pb2_grpc import add_OrgServiceServicer_to_server
from turnpike.accounts.v1.payment_service_pb2_grpc import add_PaymentServiceServicer_to_server
from turnpike.accounts.v1.preset_service_pb2_grpc import add_PresetServiceServicer_to_server
from turnpike.accounts.v1.reconciliation_service_pb2_grpc import add_ReconciliationServiceServicer_to_server
from turnpike.accounts.v1.session_service_pb2_grpc import add_SessionServiceServicer_to_server
from turnpike.accounts.v1.suspense_service_pb2_grpc import add_SuspenseServiceServicer_to_server
from turnpike.accounts.v1.workspace_service_pb2_grpc import add_WorkspaceServiceServicer_to_server

GROUP: Final = "turnpike-accounts"


def database(settings: PostgresSettings, clock: Clock) -> Database:
    """Make the connection pool."""
    return Database(
        settings.dsn.get_secret_value(),
        clock,
        pool=settings.pool,
        connect_timeout=settings.connect_timeout,
        statement_timeout=settings.statement_timeout,
        owner_dsn=settings.owner_dsn.get_secret_value() if settings.migrate and settings.owner_dsn else None,
    )


def byok_of(settings: Settings, store: Database, clock: Clock) -> Byok:
    """Make what is done with customers' own provider keys.

    Raises:
        ValueError: the file of key-encryption keys is not one.
    """
    audit = audit_log(settings, store)
    return Byok(PostgresByokStore(store, audit), _keks(settings), clock, SystemRandom(), secrets.token_bytes)


def destinations_of(settings: Settings, store: Database, clock: Clock) -> Destinations:
    """Make what is done with destinations of broadcast.

    Raises:
        ValueError: the file of key-encryption keys is not one.
    """
    audit = audit_log(settings, store)
    return Destinations(
        PostgresDestinationStore(store, audit),
        PostgresDeliveryLog(store, audit),
        _keks(settings),
        clock,
        SystemRandom(),
        secrets.token_bytes,
        private=settings.broadcast.private_networks,
    )


def _keks(settings: Settings) -> KeyEncryptionKeys | None:
    return None if settings.byok.keks is None else parse_keks(settings.byok.keks.read_text())


def payment_provider(settings: PaymentSettings) -> StripePayments | None:
    """Make the payment provider; None where no credit is sold."""
    if settings.api_key is None or settings.webhook_secret is None:
        return None
    return StripePayments(
        settings.api_key.get_secret_value(),
        settings.webhook_secret.get_secret_value(),
        api_base=settings.api_base or None,
        timeout=settings.timeout,
    )


@asynccontextmanager
async def wire(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Make accounts: questions first in drain order, then settlement, then what it publishes, then the database."""
    clock = runtime.clock
    failpoints = Failpoints(POINTS, settings.failpoints)
    store = database(settings.postgres, clock)
    sink = RecordSink(settings.kafka, clock, client_id=settings.instance, meter=runtime.meter)
    random, pepper = SystemRandom(), settings.keys.pepper.get_secret_value().encode()
    previous = None
    if settings.keys.previous_pepper is not None:
        previous = settings.keys.previous_pepper.get_secret_value().encode()
    audit = audit_log(settings, store)
    keys = PostgresKeyStore(store, audit)
    identity = Identity(
        keys, PostgresOrgStore(store, audit), clock, random, pepper, previous if settings.keys.move else None
    )
    member_store = PostgresMemberStore(store, audit)
    settling = PostgresSettlementStore(store, failpoints)
    suspended = SuspendedUsage(PostgresSuspenseStore(store, audit, settling), clock)
    prices, catalog = _price_book(settings.catalog, store, suspended, runtime)
    consumer = RecordConsumer(
        settings.kafka,
        clock,
        topics=[USAGE.name],
        group=GROUP,
        handler=Settlement(settling, clock, runtime.tracer, runtime.meter, failpoints, prices),
        max_records=settings.settlement.batch,
        max_wait=settings.settlement.wait,
        meter=runtime.meter,
    )
    publication = Publication(
        PostgresOutbox(store, failpoints),
        sink,
        clock,
        runtime.meter,
        interval=settings.outbox.interval,
        batch=settings.outbox.batch,
    )

    provider = payment_provider(settings.payments)
    purchases = PostgresPaymentStore(store, audit)
    payments = Payments(purchases, provider, clock, random, fee_basis_points=settings.payments.fee)
    top_ups = TopUps(
        PostgresTopUpStore(store, audit), purchases, payments, provider, clock, interval=settings.payments.look_interval
    )
    lease_store = PostgresLeaseStore(store, LeaseTerms(settings.leases.ttl, settings.leases.grace))
    # Settlement and everybody else find connections in the pool, however much is lent.
    leases = Leases(lease_store, runtime.meter, transactions=max(settings.postgres.pool // 2, 1))
    lease_expiry = LeaseExpiry(lease_store, clock, runtime.meter, interval=settings.leases.interval)
    contents = Contents(
        PostgresContentStore(store),
        _content_sealing(settings.contents),
        clock,
        ttl=settings.contents.ttl,
        interval=settings.contents.interval,
    )

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_KeyServiceServicer_to_server(key_service.KeyServicer(identity), server)
        add_OrgServiceServicer_to_server(org_service.OrgServicer(identity), server)
        presets = Presets(PostgresPresetStore(store, audit), clock, SystemRandom())
        add_ContentServiceServicer_to_server(content_service.ContentServicer(contents), server)
        add_LeaseServiceServicer_to_server(lease_service.LeaseServicer(leases), server)
        add_PresetServiceServicer_to_server(preset_service.PresetServicer(presets), server)
        members = Members(member_store, clock, random, pepper)
        add_MemberServiceServicer_to_server(member_service.MemberServicer(members, identity), server)
        workspaces = Workspaces(
            PostgresWorkspaceStore(store, audit), PostgresWorkspaceMemberStore(store, audit), clock, random
        )
        add_WorkspaceServiceServicer_to_server(workspace_service.WorkspaceServicer(workspaces), server)
        codes = AuthCodes(PostgresAuthCodeStore(store), identity, clock, random, pepper)
        add_SessionServiceServicer_to_server(session_service.SessionServicer(sessions, codes), server)
        statements = PostgresStatementStore(store)
        add_PaymentServiceServicer_to_server(payment_service.PaymentServicer(payments, top_ups, statements), server)
        add_AuditServiceServicer_to_server(audit_service.AuditServicer(audit), server)
        books = reconciliation_service.ReconciliationServicer(PostgresReconciliationStore(store))
        add_ReconciliationServiceServicer_to_server(books, server)
        add_SuspenseServiceServicer_to_server(suspense_service.SuspenseServicer(suspended), server)
        byok = byok_of(settings, store, clock)
        add_ByokServiceServicer_to_server(byok_service.ByokServicer(byok), server)
        destinations = destinations_of(settings, store, clock)
        add_DestinationServiceServicer_to_server(destination_service.DestinationServicer(destinations), server)
        guardrails = Guardrails(PostgresGuardrailStore(store, audit), clock, random)
        add_GuardrailServiceServicer_to_server(guardrail_service.GuardrailServicer(guardrails), server)
        names = [
            service.SERVICE_NAME
            for service in (
                key_service, org_service, member_service, workspace_service, session_service, audit_service,
                preset_service, guardrail_service, byok_service, payment_service, content_service, lease_service,
                destination_service, reconciliation_service, suspense_service,
            )
        ]  # fmt: skip
        check_reaches(names)
        return names

    collect_rarely()
    runtime.readiness.add("postgres", lambda: store.is_ready)
    runtime.liveness.add("consumer", lambda: consumer.is_live)
    async with _http(settings.oidc) as http:
        sessions = Sessions(
            PostgresSessionStore(store),
            PostgresSignInStore(store),
            member_store,
            Argon2Passwords(),
            _oidc_provider(settings.oidc, http, clock),
            clock,
            random,
            pepper,
            previous,
        )
        try:
            ingress = GrpcServer(settings.grpc, runtime, register)
            yield Service(
                [
                    ingress,
                    leases,
                    top_ups,
                    lease_expiry,
                    *([PepperRotation(keys, clock, runtime.meter, pepper)] if previous else []),
                    consumer,
                    *([prices] if prices else []),
                    contents,
                    publication,
                    sink,
                    *catalog,
                    store,
                ],
            )
        finally:
            if provider is not None:
                await provider.close()


def audit_log(settings: Settings, store: Database) -> PostgresAuditLog:
    """Make the audit log."""
    return PostgresAuditLog(store, audit_secret(audit_pepper(settings.keys)))


def audit_secret(pepper: bytes) -> bytes:
    """What audit entries are chained with: of the installation, and another secret than digests of keys are made with."""
    return hmac.new(pepper, b"turnpike audit log", hashlib.sha256).digest()


def _http(settings: OidcSettings) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=settings.timeout.total_seconds())
    return aiohttp.ClientSession(timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())


def _oidc_provider(settings: OidcSettings, http: aiohttp.ClientSession, clock: Clock) -> HttpOidcProvider | None:
    if not settings.issuer:
        return None
    client = OidcClient(
        settings.issuer, settings.client_id, settings.client_secret.get_secret_value(), settings.redirect_url
    )
    return HttpOidcProvider(client, http, clock)


def _price_book(
    settings: CatalogSettings, store: Database, suspended: SuspendedUsage, runtime: Runtime
) -> tuple[PriceBook | None, list[Component]]:
    """Make what knows prices, and what it reads; nothing where no catalogue is named."""
    if not settings.paths:
        return None, []
    catalog = WatchedFiles[Catalog](
        "catalog",
        settings.paths,
        suffix=".yaml",
        parse=parse_catalog,
        clock=runtime.clock,
        interval=settings.interval,
    )
    book = PriceBook(
        PostgresPriceStore(store), catalog, suspended, runtime.clock, runtime.meter, interval=settings.interval
    )
    return book, [catalog]


def _content_sealing(settings: ContentsSettings) -> AesContentSealing | None:
    return None if settings.key is None else AesContentSealing(settings.key.get_secret_value().encode())
