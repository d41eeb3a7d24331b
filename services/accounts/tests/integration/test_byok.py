"""Customers' own provider keys over gRPC, on a real PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import grpc
import pytest

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.byok_store import PostgresByokStore
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.workspace_member_store import PostgresWorkspaceMemberStore
from accounts.adapters.postgres.workspace_store import PostgresWorkspaceStore
from accounts.api import byok_service
from accounts.byok import Byok
from accounts.domain.accounts import KeyKind
from accounts.domain.budgets import BudgetInterval
from accounts.domain.byok import ByokFields
from accounts.domain.errors import NotSetUpError
from accounts.domain.people import OPERATOR
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.testing import Drain
from accounts.testing.books import check_books
from accounts.testing.people import new_member
from accounts.testing.usage_events import UsageEvents, usage_records
from accounts.workspaces import Workspaces
from contracts import money
from contracts.sealed_secrets import KeyEncryptionKeys, Purpose, SealedSecret, SealError
from contracts.topics import ORGS, USAGE
from servicekit.clock import SystemClock
from servicekit.grpc_errors import error_info
from servicekit.kafka import TopicPartition
from servicekit.testing import run_servicer
from turnpike.accounts.v1 import byok_service_pb2 as messages
from turnpike.accounts.v1 import records_pb2
from turnpike.accounts.v1.byok_service_pb2_grpc import ByokServiceStub, add_ByokServiceServicer_to_server
from turnpike.usage.v1 import usage_event_pb2

CANARY = "sk-canary-0123456789abcdef"
PEPPER = b"a pepper of at least thirty-two bytes"
OLD, NEW = bytes(32), bytes(range(32))
KEKS = KeyEncryptionKeys("old", {"old": OLD})


def use_cases(database: Database, keks: KeyEncryptionKeys | None = KEKS) -> Byok:
    audit = PostgresAuditLog(database, PEPPER)
    return Byok(PostgresByokStore(database, audit), keks, SystemClock(), Random(), secrets.token_bytes)


@pytest.fixture
async def stub(database: Database) -> AsyncIterator[ByokServiceStub]:
    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_ByokServiceServicer_to_server(byok_service.ByokServicer(use_cases(database)), server)
        return [byok_service.SERVICE_NAME]

    async with run_servicer(register) as channel:
        yield ByokServiceStub(channel)


@pytest.fixture
async def org_id(identity: Identity) -> str:
    return str((await identity.create_org("Test")).org_id)


async def store(stub: ByokServiceStub, org_id: str, secret: str = CANARY, **fields: Any) -> messages.ByokKey:
    request = messages.CreateByokKeyRequest(
        org_id=org_id, provider="openai", key=secret, fields=messages.ByokKeyFields(**fields)
    )
    answer: messages.CreateByokKeyResponse = await stub.CreateByokKey(request)
    return answer.key


async def resolve(stub: ByokServiceStub, org_id: str) -> messages.ResolveByokKeysResponse:
    answer: messages.ResolveByokKeysResponse = await stub.ResolveByokKeys(
        messages.ResolveByokKeysRequest(org_id=org_id)
    )
    return answer


def opened(resolved: messages.ResolvedByokKey, keks: KeyEncryptionKeys = KEKS) -> str:
    key, sealed = resolved.key, resolved.sealed
    purpose = Purpose(key.org_id, key.provider, key.byok_key_id, key.version)
    secret = SealedSecret(sealed.kek_id, sealed.wrapped_key, sealed.key_nonce, sealed.ciphertext, sealed.nonce)
    return keks.open(secret, purpose).reveal()


async def refusal(call: Awaitable[object]) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert CANARY not in str(raised.value)
    info = error_info(raised.value)
    assert info is not None
    return info.reason, info.metadata.get("param", "")


async def test_a_provider_key_goes_in_and_comes_out_sealed_in_the_order_of_attempts(
    stub: ByokServiceStub, org_id: str, drain: Drain
) -> None:
    first = await store(stub, org_id, name="production")
    second = await store(stub, org_id, "sk-second-0123456789", is_fallback=True)
    assert (first.label, first.sort_order, first.name) == ("sk-...cdef", 0, "production")
    assert (second.sort_order, second.is_fallback) == (1, True)
    listed = await stub.ListByokKeys(messages.ListByokKeysRequest(org_id=org_id, provider="openai"))
    assert (list(listed.keys), listed.total_count) == ([first, second], 2)
    assert CANARY.encode() not in listed.SerializeToString()
    resolved = await resolve(stub, org_id)
    assert [opened(each) for each in resolved.keys] == [CANARY, "sk-second-0123456789"]
    orgs = [records_pb2.OrgRecord.FromString(each.value or b"") for each in await drain() if each.topic == ORGS.name]
    assert orgs[-1].byok_revision == resolved.revision == 2


async def test_s20_what_is_stored_is_useless_without_the_key_encryption_key(
    stub: ByokServiceStub, org_id: str, sql: asyncpg.Connection
) -> None:
    await store(stub, org_id)
    await sql.execute("SELECT set_config('turnpike.org_id', '*', false)")
    tables = [
        row["tablename"] for row in await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    assert "byok_keys" in tables
    stored = ""
    for table in tables:
        for row in await sql.fetch(f"SELECT * FROM {table}"):
            stored += "\n".join(value.hex() if isinstance(value, bytes) else str(value) for value in row.values())
    assert "sk-...cdef" in stored
    for part in (CANARY, CANARY[3:-4]):
        assert part not in stored
        assert part.encode().hex() not in stored
    (row,) = await sql.fetch("SELECT * FROM byok_keys")
    assert (len(row["nonce"]), len(row["key_nonce"]), len(row["wrapped_key"])) == (12, 12, 48)


async def test_s21_rows_that_are_swapped_between_organisations_do_not_open(
    stub: ByokServiceStub, org_id: str, identity: Identity, sql: asyncpg.Connection
) -> None:
    other = str((await identity.create_org("Other")).org_id)
    own, foreign = await store(stub, org_id), await store(stub, other, "sk-other-0123456789")
    await sql.execute("SELECT set_config('turnpike.org_id', '*', false)")
    await sql.execute(
        """
        UPDATE byok_keys AS own SET wrapped_key = other.wrapped_key, key_nonce = other.key_nonce,
            ciphertext = other.ciphertext, nonce = other.nonce
        FROM byok_keys AS other WHERE own.byok_key_id = $1 AND other.byok_key_id = $2
        """,
        UUID(own.byok_key_id),
        UUID(foreign.byok_key_id),
    )
    (moved,) = (await resolve(stub, org_id)).keys
    with pytest.raises(SealError):
        opened(moved)


async def test_s22_a_new_key_encryption_key_rewraps_without_touching_the_secret(
    stub: ByokServiceStub, org_id: str, database: Database, sql: asyncpg.Connection
) -> None:
    for number in range(3):
        await store(stub, org_id, f"sk-number-{number}-0123456789")
    before = await resolve(stub, org_id)
    both = KeyEncryptionKeys("new", {"old": OLD, "new": NEW})
    byok = use_cases(database, both)
    assert [await byok.rewrap(2), await byok.rewrap(2), await byok.rewrap(2)] == [2, 1, 0]
    after = await resolve(stub, org_id)
    only_new = KeyEncryptionKeys("new", {"new": NEW})
    assert [opened(each, only_new) for each in after.keys] == [f"sk-number-{number}-0123456789" for number in range(3)]
    assert [each.sealed.ciphertext for each in after.keys] == [each.sealed.ciphertext for each in before.keys]
    assert after.revision == before.revision
    await sql.execute("SELECT set_config('turnpike.org_id', '*', false)")
    assert await sql.fetchval("SELECT count(*) FROM byok_keys WHERE kek_id = 'old'") == 0


async def test_another_key_in_its_place_is_a_new_version(stub: ByokServiceStub, org_id: str) -> None:
    key = await store(stub, org_id)
    change = messages.UpdateByokKeyRequest(
        org_id=org_id,
        byok_key_id=key.byok_key_id,
        key="sk-rotated-0123456789",
        fields=messages.ByokKeyFields(is_required=True),
    )
    changed = (await stub.UpdateByokKey(change)).key
    assert (changed.version, changed.label, changed.is_required) == (2, "sk-...6789", True)
    (resolved,) = (await resolve(stub, org_id)).keys
    assert opened(resolved) == "sk-rotated-0123456789"
    disabled = messages.UpdateByokKeyRequest(
        org_id=org_id, byok_key_id=key.byok_key_id, fields=messages.ByokKeyFields(disabled=True)
    )
    await stub.UpdateByokKey(disabled)
    assert not (await resolve(stub, org_id)).keys


async def test_a_deleted_provider_key_leaves_nothing_of_itself(
    stub: ByokServiceStub, org_id: str, sql: asyncpg.Connection
) -> None:
    key = await store(stub, org_id)
    named = {"org_id": org_id, "byok_key_id": key.byok_key_id}
    await stub.DeleteByokKey(messages.DeleteByokKeyRequest(**named))
    assert await refusal(stub.GetByokKey(messages.GetByokKeyRequest(**named))) == ("NOT_FOUND", "")
    assert not (await resolve(stub, org_id)).keys
    await sql.execute("SELECT set_config('turnpike.org_id', '*', false)")
    (row,) = await sql.fetch("SELECT * FROM byok_keys")
    assert (row["ciphertext"], row["wrapped_key"], row["label"]) == (b"", b"", "")


@pytest.mark.parametrize(
    ("secret", "fields", "field"),
    [
        (" ", {}, "key"),
        ("x" * 16_385, {}, "key"),
        ("a\0b", {}, "key"),
        (CANARY, {"name": "x" * 256}, "name"),
        (CANARY, {"allowed_models": records_pb2.TextList()}, "allowed_models"),
        (CANARY, {"allowed_models": records_pb2.TextList(values=["one"])}, "allowed_models[0]"),
        (CANARY, {"allowed_key_digests": records_pb2.TextList(values=["0" * 64])}, "allowed_api_key_hashes"),
        (CANARY, {"allowed_user_ids": records_pb2.TextList(values=["nobody"])}, "allowed_user_ids"),
        (CANARY, {"is_required": True, "is_fallback": True}, "is_required"),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(
    stub: ByokServiceStub, org_id: str, secret: str, fields: dict[str, Any], field: str
) -> None:
    assert await refusal(store(stub, org_id, secret, **fields)) == ("INVALID_REQUEST", field)


async def test_s11_a_provider_key_is_restricted_to_members_of_ones_own(
    stub: ByokServiceStub, org_id: str, identity: Identity, sql: asyncpg.Connection
) -> None:
    stranger = await new_member(sql, str((await identity.create_org("Other")).org_id))
    one, two = [await new_member(sql, org_id) for _ in range(2)]
    assert await refusal(store(stub, org_id, allowed_user_ids=named(one, stranger))) == (
        "INVALID_REQUEST",
        "allowed_user_ids",
    )
    made = await store(stub, org_id, allowed_user_ids=named(one))

    def change(*user_ids: str, name: str = "") -> Awaitable[object]:
        fields = messages.ByokKeyFields(name=name, allowed_user_ids=named(*user_ids))
        request = messages.UpdateByokKeyRequest(org_id=org_id, byok_key_id=made.byok_key_id, fields=fields)
        return stub.UpdateByokKey(request)

    assert await refusal(change(one, stranger)) == ("INVALID_REQUEST", "allowed_user_ids")
    await change(one, two)
    # Who left since is no reason to refuse the change of something else.
    await sql.execute("DELETE FROM members WHERE user_id = $1", UUID(one))
    await change(one, two, name="renamed")
    await change(two)
    assert await refusal(change(one, two)) == ("INVALID_REQUEST", "allowed_user_ids")


def named(*values: str) -> records_pb2.TextList:
    return records_pb2.TextList(values=values)


async def test_s09_a_provider_key_of_another_organisation_does_not_exist(
    stub: ByokServiceStub, org_id: str, identity: Identity
) -> None:
    other = str((await identity.create_org("Other")).org_id)
    foreign = await store(stub, other)
    named = {"org_id": org_id, "byok_key_id": foreign.byok_key_id}
    calls: list[Awaitable[object]] = [
        stub.GetByokKey(messages.GetByokKeyRequest(**named)),
        stub.DeleteByokKey(messages.DeleteByokKeyRequest(**named)),
        stub.UpdateByokKey(messages.UpdateByokKeyRequest(org_id=org_id, byok_key_id=foreign.byok_key_id)),
    ]
    assert {await refusal(call) for call in calls} == {("NOT_FOUND", "")}
    elsewhere: list[Awaitable[object]] = [
        stub.ListByokKeys(messages.ListByokKeysRequest(org_id=org_id, workspace_id=other)),
        stub.CreateByokKey(
            messages.CreateByokKeyRequest(org_id=org_id, workspace_id=other, provider="openai", key=CANARY)
        ),
    ]
    assert {await refusal(call) for call in elsewhere} == {("INVALID_REQUEST", "workspace_id")}
    assert len((await resolve(stub, other)).keys) == 1


async def test_an_installation_without_key_encryption_keys_stores_none(database: Database, org_id: str) -> None:
    with pytest.raises(NotSetUpError):
        await use_cases(database, None).create(org_id, "", "openai", CANARY, ByokFields())


async def test_what_is_spent_with_a_provider_key_is_counted_and_only_the_fee_is_charged(
    org_id: str, identity: Identity, settlement: Settlement, usage_event: UsageEvents, drain: Drain
) -> None:
    await identity.grant_credit(org_id, 10**9, "first", "test")
    key, _ = await identity.create_key(org_id, "key", KeyKind.INFERENCE, 10**9, None, "")
    event = usage_event(org_id, key.key_id, ended_at=SystemClock().now())
    event.is_byok, event.byok_fee_ppm, event.byok_key_id = True, 50_000, "some key"
    event.cost_nano_usd = money.fee(event.provider_cost_nano_usd, 50_000)
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records([event]))
    spent = (await identity.get_key(org_id, key.digest)).spend
    assert spent.byok.total == spent.byok.daily == event.provider_cost_nano_usd
    assert spent.credit.total == event.cost_nano_usd
    org = await identity.org(org_id)
    assert org.balance == 10**9 - event.cost_nano_usd
    orgs = [records_pb2.OrgRecord.FromString(each.value or b"") for each in await drain() if each.topic == ORGS.name]
    assert orgs[-1].byok_spend.byok_monthly_nano_usd == event.provider_cost_nano_usd


async def test_a_workspaces_budget_counts_what_its_keys_spend_at_their_own_providers_where_it_says_so(
    org_id: str,
    audit: PostgresAuditLog,
    database: Database,
    identity: Identity,
    settlement: Settlement,
    usage_event: UsageEvents,
    drain: Drain,
    sql: asyncpg.Connection,
) -> None:
    workspaces = Workspaces(
        PostgresWorkspaceStore(database, audit), PostgresWorkspaceMemberStore(database, audit), SystemClock(), Random()
    )
    made = await workspaces.create(org_id, {"name": "Research", "slug": "research"}, OPERATOR)
    workspace_id = str(made.workspace_id)
    for interval in BudgetInterval:
        await workspaces.put_budget(org_id, workspace_id, int(interval), (1 + interval) * 10**9, None, OPERATOR)
    key, _ = await identity.create_key(org_id, "key", KeyKind.INFERENCE, None, None, "", workspace_id=workspace_id)
    now = SystemClock().now()

    def own(ended_at: datetime) -> usage_event_pb2.UsageEvent:
        event = usage_event(org_id, key.key_id, ended_at=ended_at)
        event.is_byok, event.byok_fee_ppm, event.byok_key_id = True, 50_000, "some key"
        event.cost_nano_usd = money.fee(event.provider_cost_nano_usd, 50_000)
        return event

    async def published() -> dict[int, int]:
        found = [
            records_pb2.OrgRecord.FromString(each.value or b"") for each in await drain() if each.topic == ORGS.name
        ]
        return {each.interval: each.spent_nano_usd for each in found[-1].workspace_budgets}

    today, long_ago = own(now), own(now - timedelta(days=70))
    shared = usage_event(org_id, key.key_id, ended_at=now)
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records([today, long_ago, shared]))
    await check_books(sql)
    credit, fee, listed = shared.cost_nano_usd, today.cost_nano_usd, today.provider_cost_nano_usd
    lasting, daily = records_pb2.SPEND_INTERVAL_UNSPECIFIED, records_pb2.SPEND_INTERVAL_DAILY
    before = await published()
    assert (before[daily], before[lasting]) == (credit + fee, credit + 2 * fee), "credit only"
    await workspaces.put_budget(org_id, workspace_id, int(BudgetInterval.DAILY), 2 * 10**9, True, OPERATOR)
    after = await published()
    assert (after[daily], after[lasting]) == (credit + fee + listed, credit + 2 * (fee + listed))
    # What comes again counts once.
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records([today, shared, long_ago], first=10))
    await check_books(sql)
