"""Guardrails and whom they bind, over gRPC, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.guardrail_store import PostgresGuardrailStore
from accounts.api import guardrail_service
from accounts.domain.accounts import KeyKind
from accounts.domain.key_settings import KeySettings
from accounts.guardrails import Guardrails
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.testing import Drain
from accounts.testing.people import new_member
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.guardrails import default_guardrail_id
from contracts.topics import GUARDRAILS, KEYS, USAGE
from servicekit.clock import SystemClock
from servicekit.grpc_errors import error_info
from servicekit.kafka import TopicPartition
from servicekit.testing import run_servicer
from turnpike.accounts.v1 import guardrail_pb2, records_pb2
from turnpike.accounts.v1 import guardrail_service_pb2 as messages
from turnpike.accounts.v1.guardrail_service_pb2_grpc import GuardrailServiceStub, add_GuardrailServiceServicer_to_server

BUDGET = guardrail_pb2.GuardrailPolicy(limit_nano_usd=10**9, reset_interval=records_pb2.SPEND_INTERVAL_DAILY)


@pytest.fixture
async def stub(database: Database, audit: PostgresAuditLog) -> AsyncIterator[GuardrailServiceStub]:
    guardrails = Guardrails(PostgresGuardrailStore(database, audit), SystemClock(), Random())

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_GuardrailServiceServicer_to_server(guardrail_service.GuardrailServicer(guardrails), server)
        return [guardrail_service.SERVICE_NAME]

    async with run_servicer(register) as channel:
        yield GuardrailServiceStub(channel)


@pytest.fixture
async def org_id(identity: Identity) -> str:
    org = await identity.create_org("Test")
    await identity.grant_credit(str(org.org_id), 10**10, "first", "test")
    return str(org.org_id)


async def new_guardrail(
    stub: GuardrailServiceStub, org_id: str, policy: guardrail_pb2.GuardrailPolicy = BUDGET, name: str = "team"
) -> guardrail_pb2.GuardrailRecord:
    request = messages.CreateGuardrailRequest(org_id=org_id, name=name, policy=policy)
    answer: messages.CreateGuardrailResponse = await stub.CreateGuardrail(request)
    return answer.guardrail


async def refusal(call: Awaitable[object]) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    info = error_info(raised.value)
    assert info is not None
    return info.reason, info.metadata.get("param", "")


async def new_key(identity: Identity, org_id: str, creator: str = "") -> tuple[str, str]:
    key, _ = await identity.create_key(
        org_id, "key", KeyKind.INFERENCE, None, None, "", KeySettings(creator_user_id=creator)
    )
    return key.digest, str(key.key_id)


async def published_keys(drain: Drain) -> dict[str, records_pb2.KeyRecord]:
    """The latest record of each key that is published."""
    keys = [records_pb2.KeyRecord.FromString(each.value or b"") for each in await drain() if each.topic == KEYS.name]
    return {key.digest: key for key in keys}


async def test_a_guardrail_is_made_read_changed_listed_and_deleted(
    stub: GuardrailServiceStub, org_id: str, drain: Drain
) -> None:
    made = await new_guardrail(stub, org_id)
    assert (made.name, made.policy, made.revision, made.workspace_id) == ("team", BUDGET, 1, org_id)
    request = messages.GetGuardrailRequest(org_id=org_id, guardrail_id=made.guardrail_id)
    assert (await stub.GetGuardrail(request)).guardrail == made
    policy = guardrail_pb2.GuardrailPolicy(allowed_models=records_pb2.TextList(values=["acme/one"]))
    change = messages.UpdateGuardrailRequest(
        org_id=org_id, guardrail_id=made.guardrail_id, revision=1, name="new", policy=policy
    )
    changed = (await stub.UpdateGuardrail(change)).guardrail
    assert (changed.name, changed.policy, changed.revision) == ("new", policy, 2)
    assert await refusal(stub.UpdateGuardrail(change)) == ("ALREADY_EXISTS", "")
    listed = await stub.ListGuardrails(messages.ListGuardrailsRequest(org_id=org_id))
    assert (list(listed.guardrails), listed.total_count) == ([changed], 1)
    await stub.DeleteGuardrail(messages.DeleteGuardrailRequest(org_id=org_id, guardrail_id=made.guardrail_id))
    assert await refusal(stub.GetGuardrail(request)) == ("NOT_FOUND", "")
    (gone,) = [each for each in await drain() if each.topic == GUARDRAILS.name]
    assert (gone.key, gone.value) == (made.guardrail_id, None)


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (guardrail_pb2.GuardrailPolicy(limit_nano_usd=-1), "limit"),
        (guardrail_pb2.GuardrailPolicy(allowed_models=records_pb2.TextList(values=["one"])), "allowed_models[0]"),
        (guardrail_pb2.GuardrailPolicy(content_filters=[guardrail_pb2.ContentFilter(pattern="x")]), "policy"),
        (
            guardrail_pb2.GuardrailPolicy(
                content_filters=[
                    guardrail_pb2.ContentFilter(pattern="x" * 60_000, action=guardrail_pb2.FILTER_ACTION_BLOCK)
                ]
                * 2
            ),
            "content_filters",
        ),
        (
            guardrail_pb2.GuardrailPolicy(
                content_filter_builtins=[
                    guardrail_pb2.BuiltinFilter(slug="email", action=guardrail_pb2.FILTER_ACTION_FLAG)
                ]
                * 2
            ),
            "content_filter_builtins[1].slug",
        ),
        (
            guardrail_pb2.GuardrailPolicy(
                content_filter_builtins=[guardrail_pb2.BuiltinFilter(slug="x", action=guardrail_pb2.FILTER_ACTION_FLAG)]
            ),
            "policy",
        ),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(
    stub: GuardrailServiceStub, org_id: str, policy: guardrail_pb2.GuardrailPolicy, field: str
) -> None:
    assert await refusal(new_guardrail(stub, org_id, policy)) == ("INVALID_REQUEST", field)


async def test_the_default_of_a_workspace_is_there_before_its_first_change(
    stub: GuardrailServiceStub, org_id: str, drain: Drain
) -> None:
    named = default_guardrail_id(org_id)
    found = (await stub.GetGuardrail(messages.GetGuardrailRequest(org_id=org_id, guardrail_id=named))).guardrail
    assert (found.name, found.revision, found.is_workspace_default) == (f"Workspace {org_id} Default", 0, True)
    assert (await stub.ListGuardrails(messages.ListGuardrailsRequest(org_id=org_id))).total_count == 0
    change = messages.UpdateGuardrailRequest(org_id=org_id, guardrail_id=named, name="Everybody", policy=BUDGET)
    changed = (await stub.UpdateGuardrail(change)).guardrail
    assert (changed.revision, changed.is_workspace_default, changed.policy) == (1, True, BUDGET)
    assert await refusal(stub.UpdateGuardrail(change)) == ("ALREADY_EXISTS", "")
    (published,) = [each for each in await drain() if each.topic == GUARDRAILS.name]
    assert guardrail_pb2.GuardrailRecord.FromString(published.value or b"") == changed


async def test_every_workspace_has_a_default_and_guardrails_of_its_own(
    stub: GuardrailServiceStub, org_id: str, sql: asyncpg.Connection
) -> None:
    workspace_id = "4f0f6f3a-7f0b-4b0e-9a55-2f1f6f0c9d77"
    await sql.execute("SELECT set_config('turnpike.org_id', '*', false)")
    await sql.execute(
        "INSERT INTO workspaces (workspace_id, org_id, name, slug, created_at) VALUES ($1, $2, 'Other', 'other', now())",
        UUID(workspace_id),
        UUID(org_id),
    )
    request = messages.CreateGuardrailRequest(org_id=org_id, workspace_id=workspace_id, name="theirs", policy=BUDGET)
    made = (await stub.CreateGuardrail(request)).guardrail
    listed = await stub.ListGuardrails(messages.ListGuardrailsRequest(org_id=org_id, workspace_id=workspace_id))
    assert list(listed.guardrails) == [made]
    assert (await stub.ListGuardrails(messages.ListGuardrailsRequest(org_id=org_id))).total_count == 0
    named = default_guardrail_id(workspace_id)
    found = (await stub.GetGuardrail(messages.GetGuardrailRequest(org_id=org_id, guardrail_id=named))).guardrail
    assert (found.workspace_id, found.org_id, found.is_workspace_default) == (workspace_id, org_id, True)


async def test_a_key_has_one_guardrail_and_a_members_binds_every_key_of_theirs(
    stub: GuardrailServiceStub, org_id: str, identity: Identity, sql: asyncpg.Connection, drain: Drain
) -> None:
    first, second = [await new_guardrail(stub, org_id, name=name) for name in ("first", "second")]
    own, _ = await new_key(identity, org_id)
    somebody, another = [await new_member(sql, org_id) for _ in range(2)]
    of_member, _ = await new_key(identity, org_id, somebody)
    await drain()
    for guardrail in (first, second):
        request = messages.AssignGuardrailRequest(
            org_id=org_id, guardrail_id=guardrail.guardrail_id, key_digests=[own, own], assigned_by="admin"
        )
        assert (await stub.AssignGuardrail(request)).assigned_count == 1
    members = messages.AssignGuardrailRequest(
        org_id=org_id, guardrail_id=first.guardrail_id, user_ids=[somebody, another]
    )
    assert (await stub.AssignGuardrail(members)).assigned_count == 2
    keys = await published_keys(drain)
    assert keys[own].guardrail_id == second.guardrail_id
    assert (keys[of_member].guardrail_id, keys[of_member].member_guardrail_id) == ("", first.guardrail_id)
    listed = await stub.ListAssignments(
        messages.ListAssignmentsRequest(org_id=org_id, kind=messages.ASSIGNMENT_KIND_KEY)
    )
    assert [(each.key_digest, each.key_name, each.assigned_by) for each in listed.assignments] == [
        (own, "key", "admin")
    ]
    everybody = messages.ListAssignmentsRequest(
        org_id=org_id, guardrail_id=first.guardrail_id, kind=messages.ASSIGNMENT_KIND_MEMBER, limit=1
    )
    assert (await stub.ListAssignments(everybody)).total_count == 2
    free = messages.UnassignGuardrailRequest(
        org_id=org_id, guardrail_id=first.guardrail_id, key_digests=[own], user_ids=[somebody]
    )
    assert (await stub.UnassignGuardrail(free)).unassigned_count == 1
    keys = await published_keys(drain)
    assert (list(keys), keys[of_member].member_guardrail_id) == ([of_member], "")
    await stub.DeleteGuardrail(messages.DeleteGuardrailRequest(org_id=org_id, guardrail_id=second.guardrail_id))
    assert (await published_keys(drain))[own].guardrail_id == ""


async def test_s09_a_guardrail_and_a_key_of_another_organisation_do_not_exist(
    stub: GuardrailServiceStub, org_id: str, identity: Identity, sql: asyncpg.Connection
) -> None:
    other = str((await identity.create_org("Other")).org_id)
    foreign, own = await new_guardrail(stub, other), await new_guardrail(stub, org_id)
    foreign_key, _ = await new_key(identity, other)
    named: dict[str, Any] = {"org_id": org_id, "guardrail_id": foreign.guardrail_id}
    calls: list[Awaitable[object]] = [
        stub.GetGuardrail(messages.GetGuardrailRequest(**named)),
        stub.UpdateGuardrail(messages.UpdateGuardrailRequest(**named, revision=1, name="x")),
        stub.DeleteGuardrail(messages.DeleteGuardrailRequest(**named)),
        stub.AssignGuardrail(messages.AssignGuardrailRequest(**named, user_ids=["user-1"])),
        stub.UnassignGuardrail(messages.UnassignGuardrailRequest(**named, user_ids=["user-1"])),
        stub.ListAssignments(messages.ListAssignmentsRequest(**named, kind=messages.ASSIGNMENT_KIND_MEMBER)),
        stub.GetGuardrail(messages.GetGuardrailRequest(org_id=org_id, guardrail_id=default_guardrail_id(other))),
        stub.GetGuardrail(messages.GetGuardrailRequest(org_id=org_id, guardrail_id="no id")),
    ]
    assert {await refusal(call) for call in calls} == {("NOT_FOUND", "")}
    # Whom and what it binds are one's own: somebody else's and nobody's are refused alike, when they are bound and when they are freed.
    stranger, member = await new_member(sql, other), await new_member(sql, org_id)
    mine = {"org_id": org_id, "guardrail_id": own.guardrail_id}
    for change in (
        lambda **names: stub.AssignGuardrail(messages.AssignGuardrailRequest(**mine, **names)),
        lambda **names: stub.UnassignGuardrail(messages.UnassignGuardrailRequest(**mine, **names)),
    ):
        for digest in (foreign_key, "0" * 64):
            assert await refusal(change(key_digests=[digest])) == ("INVALID_REQUEST", "key_hashes")
        for user_id in (stranger, str(uuid4()), "nobody"):
            assert await refusal(change(user_ids=[member, user_id])) == ("INVALID_REQUEST", "member_user_ids")
    elsewhere: list[Awaitable[object]] = [
        stub.ListGuardrails(messages.ListGuardrailsRequest(org_id=org_id, workspace_id=other)),
        stub.CreateGuardrail(messages.CreateGuardrailRequest(org_id=org_id, workspace_id=other, name="x")),
    ]
    assert {await refusal(call) for call in elsewhere} == {("INVALID_REQUEST", "workspace_id")}
    listed = await stub.ListAssignments(
        messages.ListAssignmentsRequest(org_id=org_id, kind=messages.ASSIGNMENT_KIND_MEMBER)
    )
    assert listed.total_count == 0
    # Who is bound and has left can be freed.
    await stub.AssignGuardrail(messages.AssignGuardrailRequest(**mine, user_ids=[member]))
    await sql.execute("DELETE FROM members WHERE user_id = $1", UUID(member))
    freed = await stub.UnassignGuardrail(messages.UnassignGuardrailRequest(**mine, user_ids=[member]))
    assert freed.unassigned_count == 1


async def test_where_a_guardrail_has_a_budget_edges_learn_what_keys_and_members_spend(
    stub: GuardrailServiceStub,
    org_id: str,
    identity: Identity,
    sql: asyncpg.Connection,
    drain: Drain,
    settlement: Settlement,
    usage_event: UsageEvents,
) -> None:
    creator = await new_member(sql, org_id)
    keys = [await new_key(identity, org_id, creator) for _ in range(3)]
    gone, gone_id = keys.pop()
    await drain()
    events = [usage_event(org_id, key_id, ended_at=datetime.now(UTC)) for _, key_id in [*keys, (gone, gone_id)]]
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records(events[1:]))
    assert await published_keys(drain) == {}
    await identity.delete_key(org_id, gone)
    await new_guardrail(stub, org_id)
    await drain()
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records(events[:1], first=2))
    published = await published_keys(drain)
    assert set(published) == {digest for digest, _ in keys}
    costs = [event.cost_nano_usd for event in events]
    assert [published[digest].spend.daily_nano_usd for digest, _ in keys] == costs[:2]
    # A deleted key's spending stays its maker's.
    assert [published[digest].creator_spend.daily_nano_usd for digest, _ in keys] == [sum(costs)] * 2
