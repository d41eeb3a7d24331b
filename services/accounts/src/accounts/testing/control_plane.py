"""For tests: every service of accounts that changes what an organisation has, on a real socket."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import grpc

from accounts.adapters.passwords import Argon2Passwords
from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.auth_code_store import PostgresAuthCodeStore
from accounts.adapters.postgres.byok_store import PostgresByokStore
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.guardrail_store import PostgresGuardrailStore
from accounts.adapters.postgres.member_store import PostgresMemberStore
from accounts.adapters.postgres.preset_store import PostgresPresetStore
from accounts.adapters.postgres.session_store import PostgresSessionStore
from accounts.adapters.postgres.sign_in_store import PostgresSignInStore
from accounts.adapters.postgres.statement_store import PostgresStatementStore
from accounts.adapters.postgres.workspace_member_store import PostgresWorkspaceMemberStore
from accounts.adapters.postgres.workspace_store import PostgresWorkspaceStore
from accounts.api import (
    byok_service,
    guardrail_service,
    key_service,
    member_service,
    org_service,
    payment_service,
    preset_service,
    session_service,
    workspace_service,
)
from accounts.auth_codes import AuthCodes
from accounts.byok import Byok
from accounts.guardrails import Guardrails
from accounts.identity import Identity
from accounts.members import Members
from accounts.presets import Presets
from accounts.sessions import Sessions
from accounts.testing.shop import Shop
from accounts.workspaces import Workspaces
from contracts.sealed_secrets import KeyEncryptionKeys
from servicekit.clock import SystemClock
from servicekit.testing import run_servicer
from turnpike.accounts.v1 import (
    byok_service_pb2_grpc,
    guardrail_service_pb2_grpc,
    key_service_pb2_grpc,
    member_service_pb2_grpc,
    org_service_pb2_grpc,
    payment_service_pb2_grpc,
    preset_service_pb2_grpc,
    session_service_pb2_grpc,
    workspace_service_pb2_grpc,
)


@asynccontextmanager
async def open_control_plane(
    database: Database, audit: PostgresAuditLog, identity: Identity, shop: Shop, pepper: bytes
) -> AsyncIterator[grpc.aio.Channel]:
    """Serve; yields a channel to it."""
    clock, random = SystemClock(), Random()
    store = PostgresMemberStore(database, audit)
    members = Members(store, clock, random, pepper)
    sessions = Sessions(
        PostgresSessionStore(database), PostgresSignInStore(database), store, Argon2Passwords(), None, clock, random,
        pepper,
    )  # fmt: skip
    codes = AuthCodes(PostgresAuthCodeStore(database), identity, clock, random, pepper)
    workspaces = Workspaces(
        PostgresWorkspaceStore(database, audit), PostgresWorkspaceMemberStore(database, audit), clock, random
    )
    keks = KeyEncryptionKeys("one", {"one": bytes(32)})
    byok = Byok(PostgresByokStore(database, audit), keks, clock, random, secrets.token_bytes)
    statements = PostgresStatementStore(database)

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add = key_service_pb2_grpc.add_KeyServiceServicer_to_server
        add(key_service.KeyServicer(identity), server)
        org_service_pb2_grpc.add_OrgServiceServicer_to_server(org_service.OrgServicer(identity), server)
        member_service_pb2_grpc.add_MemberServiceServicer_to_server(
            member_service.MemberServicer(members, identity), server
        )
        workspace_service_pb2_grpc.add_WorkspaceServiceServicer_to_server(
            workspace_service.WorkspaceServicer(workspaces), server
        )
        session_service_pb2_grpc.add_SessionServiceServicer_to_server(
            session_service.SessionServicer(sessions, codes), server
        )
        payment_service_pb2_grpc.add_PaymentServiceServicer_to_server(
            payment_service.PaymentServicer(shop.payments, shop.top_ups, statements), server
        )
        preset_service_pb2_grpc.add_PresetServiceServicer_to_server(
            preset_service.PresetServicer(Presets(PostgresPresetStore(database, audit), clock, random)), server
        )
        guardrail_service_pb2_grpc.add_GuardrailServiceServicer_to_server(
            guardrail_service.GuardrailServicer(Guardrails(PostgresGuardrailStore(database, audit), clock, random)),
            server,
        )
        byok_service_pb2_grpc.add_ByokServiceServicer_to_server(byok_service.ByokServicer(byok), server)
        return []

    async with run_servicer(register) as channel:
        yield channel
