"""The composition root: the only place that chooses concrete things."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import Final

import grpc

from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_store import PostgresKeyStore
from accounts.adapters.postgres.org_store import PostgresOrgStore
from accounts.adapters.postgres.outbox import PostgresOutbox
from accounts.adapters.postgres.preset_store import PostgresPresetStore
from accounts.adapters.postgres.settlement_store import PostgresSettlementStore
from accounts.api import key_service, org_service, preset_service
from accounts.failpoints import POINTS
from accounts.identity import Identity
from accounts.presets import Presets
from accounts.publication import Publication
from accounts.settings import PostgresSettings, Settings
from accounts.settlement import Settlement
from contracts.topics import USAGE
from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.grpc_server import GrpcServer
from servicekit.kafka import RecordConsumer, RecordSink
from servicekit.lifecycle import Runtime, Service
from turnpike.accounts.v1.key_service_pb2_grpc import add_KeyServiceServicer_to_server
from turnpike.accounts.v1.org_service_pb2_grpc import add_OrgServiceServicer_to_server
from turnpike.accounts.v1.preset_service_pb2_grpc import add_PresetServiceServicer_to_server

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


@asynccontextmanager
async def wire(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Make accounts: questions first in drain order, then settlement, then what it publishes, then the database."""
    clock = runtime.clock
    failpoints = Failpoints(POINTS, settings.failpoints)
    store = database(settings.postgres, clock)
    sink = RecordSink(settings.kafka, clock, client_id=settings.instance, meter=runtime.meter)
    identity = Identity(
        PostgresKeyStore(store),
        PostgresOrgStore(store),
        clock,
        SystemRandom(),
        settings.keys.pepper.get_secret_value().encode(),
    )
    consumer = RecordConsumer(
        settings.kafka,
        clock,
        topics=[USAGE.name],
        group=GROUP,
        handler=Settlement(
            PostgresSettlementStore(store, failpoints), clock, runtime.tracer, runtime.meter, failpoints
        ),
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

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_KeyServiceServicer_to_server(key_service.KeyServicer(identity), server)
        add_OrgServiceServicer_to_server(org_service.OrgServicer(identity), server)
        presets = Presets(PostgresPresetStore(store), clock, SystemRandom())
        add_PresetServiceServicer_to_server(preset_service.PresetServicer(presets), server)
        return [key_service.SERVICE_NAME, org_service.SERVICE_NAME, preset_service.SERVICE_NAME]

    runtime.readiness.add("postgres", lambda: store.is_ready)
    yield Service([GrpcServer(settings.grpc, runtime, register), consumer, publication, sink, store])
