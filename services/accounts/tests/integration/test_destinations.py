"""Destinations of broadcast over gRPC, on a real PostgreSQL."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator, Awaitable, Sequence
from random import Random
from typing import Any

import asyncpg
import grpc
import pytest

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.delivery_log import PostgresDeliveryLog
from accounts.adapters.postgres.destination_store import PostgresDestinationStore
from accounts.adapters.postgres.workspace_store import PostgresWorkspaceStore
from accounts.api import destination_service
from accounts.api.destination_messages import config_from_proto, fields_from_proto
from accounts.destinations import Destinations
from accounts.domain.accounts import KeyKind
from accounts.domain.errors import NotSetUpError
from accounts.domain.people import OPERATOR
from accounts.identity import Identity
from accounts.workspaces import Workspaces
from contracts.broadcast import purpose_of
from contracts.sealed_secrets import KeyEncryptionKeys, SealedSecret
from servicekit.clock import SystemClock
from servicekit.grpc_errors import error_info
from servicekit.testing import run_servicer
from turnpike.accounts.v1 import destination_service_pb2 as messages
from turnpike.accounts.v1 import records_pb2
from turnpike.accounts.v1.destination_service_pb2_grpc import (
    DestinationServiceStub,
    add_DestinationServiceServicer_to_server,
)

CANARY = "canary-0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(CANARY.encode() * 2).decode()
KEKS = KeyEncryptionKeys("old", {"old": bytes(32)})
PEPPER = b"a pepper of at least thirty-two bytes"
URL = f"https://example.com/{CANARY}"
HEADERS = {"Authorization": f"Bearer {CANARY}"}
S3 = {"accessKeyId": CANARY, "secretAccessKey": CANARY, "bucketName": "usage"}


def use_cases(database: Database, keks: KeyEncryptionKeys | None = KEKS, *, private: bool = False) -> Destinations:
    audit = PostgresAuditLog(database, PEPPER)
    store, deliveries = PostgresDestinationStore(database, audit), PostgresDeliveryLog(database, audit)
    return Destinations(store, deliveries, keks, SystemClock(), Random(), secrets.token_bytes, private=private)


@pytest.fixture
async def stub(database: Database) -> AsyncIterator[DestinationServiceStub]:
    def register(server: grpc.aio.Server) -> Sequence[str]:
        servicer = destination_service.DestinationServicer(use_cases(database))
        add_DestinationServiceServicer_to_server(servicer, server)
        return [destination_service.SERVICE_NAME]

    async with run_servicer(register) as channel:
        yield DestinationServiceStub(channel)


@pytest.fixture
async def org_id(identity: Identity) -> str:
    return str((await identity.create_org("Test")).org_id)


@pytest.fixture
def workspaces(database: Database) -> Workspaces:
    audit = PostgresAuditLog(database, PEPPER)
    return Workspaces(PostgresWorkspaceStore(database, audit), None, SystemClock(), Random())  # type: ignore[arg-type]  # no members here


def wanted(
    org_id: str, members: dict[str, str] | None = None, headers: dict[str, str] | None = None, **fields: Any
) -> messages.CreateDestinationRequest:
    kind = messages.DESTINATION_TYPE_WEBHOOK
    if members and "bucketName" in members:
        kind = messages.DESTINATION_TYPE_S3
    return messages.CreateDestinationRequest(
        org_id=org_id,
        type=kind,
        config=messages.DestinationConfig(members=members or {"url": URL}, headers=headers or {}),
        fields=messages.DestinationFields(name="Ours", enabled=True, sampling_rate=1.0, **fields),
    )


async def store(stub: DestinationServiceStub, *args: Any, **fields: Any) -> messages.Destination:
    answer: messages.CreateDestinationResponse = await stub.CreateDestination(wanted(*args, **fields))
    return answer.destination


async def changed(stub: DestinationServiceStub, after: int = 0) -> list[messages.SealedDestination]:
    answer = await stub.ListChangedDestinations(messages.ListChangedDestinationsRequest(after_revision=after))
    return list(answer.destinations)


def opened(each: messages.SealedDestination, keks: KeyEncryptionKeys = KEKS) -> str:
    sealed, about = each.sealed_config, each.destination
    secret = SealedSecret(sealed.kek_id, sealed.wrapped_key, sealed.key_nonce, sealed.ciphertext, sealed.nonce)
    return keks.open(secret, purpose_of(about.org_id, about.destination_id, about.version)).reveal()


async def refusal(call: Awaitable[object]) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert CANARY not in str(raised.value)
    info = error_info(raised.value)
    assert info is not None
    return info.reason, info.metadata.get("param", "")


def update(known: messages.Destination, **members: Any) -> messages.UpdateDestinationRequest:
    return messages.UpdateDestinationRequest(
        org_id=known.org_id, destination_id=known.destination_id, fields=known.fields, **members
    )


async def test_a_configuration_goes_in_and_comes_out_masked_and_to_the_sender_sealed(
    stub: DestinationServiceStub, org_id: str
) -> None:
    made = await store(stub, org_id, {"url": URL, "signingSecret": SECRET}, HEADERS)
    assert made.config.members["url"] == URL
    assert made.config.members["signingSecret"] == f"{SECRET[:4]}...{SECRET[-4:]}"
    assert made.config.headers["Authorization"] == "Bear...cdef"
    read = await stub.GetDestination(messages.GetDestinationRequest(org_id=org_id, destination_id=made.destination_id))
    assert read.destination == made
    (sealed,) = await changed(stub)
    assert sealed.active
    assert not sealed.destination.HasField("config")
    assert CANARY in opened(sealed)


async def test_a_webhook_without_a_secret_gets_one_that_is_shown_once(
    stub: DestinationServiceStub, org_id: str
) -> None:
    made = await store(stub, org_id)
    secret = made.config.members["signingSecret"]
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    request = messages.GetDestinationRequest(org_id=org_id, destination_id=made.destination_id)
    masked = (await stub.GetDestination(request)).destination.config.members["signingSecret"]
    assert masked == f"{secret[:4]}...{secret[-4:]}"
    anew = await stub.UpdateDestination(update(made, config=messages.DestinationConfig(members={"signingSecret": ""})))
    assert anew.destination.config.members["signingSecret"].startswith("whsec_")
    assert anew.destination.config.members["signingSecret"] != secret
    assert anew.destination.version == 2


async def test_a_change_keeps_what_it_does_not_say_and_what_is_masked(
    stub: DestinationServiceStub, org_id: str
) -> None:
    made = await store(
        stub, org_id, {"url": URL, "signingSecret": SECRET}, HEADERS | {"X-Old": "a value of some length"}
    )
    config = messages.DestinationConfig(
        members={"method": "PUT", "signingSecret": made.config.members["signingSecret"]},
        headers={"Authorization": made.config.headers["Authorization"], "X-New": CANARY},
    )
    after = (await stub.UpdateDestination(update(made, config=config, replaces_headers=True))).destination
    assert (after.config.members["method"], after.config.members["url"]) == ("PUT", URL)
    assert set(after.config.headers) == {"Authorization", "X-New"}
    (sealed,) = await changed(stub)
    text = opened(sealed)
    assert SECRET in text
    assert HEADERS["Authorization"] in text


@pytest.mark.parametrize(
    ("members", "headers", "param"),
    [
        ({"url": "http://example.com"}, {}, "config.url"),
        ({"url": "ftp://example.com"}, {}, "config.url"),
        ({"url": "https://user:pass@example.com"}, {}, "config.url"),
        ({"url": "https://127.0.0.1/x"}, {}, "config.url"),
        ({"url": "https://[::1]/x"}, {}, "config.url"),
        ({"url": "https://[::ffff:10.0.0.1]/x"}, {}, "config.url"),
        ({"url": "https://169.254.169.254/latest"}, {}, "config.url"),
        ({"url": "https://0.0.0.0/"}, {}, "config.url"),
        ({"url": "https://exa mple.com/"}, {}, "config.url"),
        ({"url": "https://example.com:99999/"}, {}, "config.url"),
        ({"method": "POST"}, {}, "config.url"),
        ({"url": URL, "method": "GET"}, {}, "config.method"),
        ({"url": URL, "bucket": "x"}, {}, "config.bucket"),
        ({"url": URL, "signingSecret": "short"}, {}, "config.signingSecret"),
        ({"url": URL}, {"Host": CANARY}, "config.headers.Host"),
        ({"url": URL}, {"webhook-signature": CANARY}, "config.headers.webhook-signature"),
        ({"url": URL}, {"X": f"{CANARY}\r\nY: z"}, "config.headers.X"),
        ({"url": URL}, {"bad name": CANARY}, "config.headers"),
        ({"url": URL}, {"X": "1", "x": "2"}, "config.headers"),
        ({**S3, "bucketName": "No"}, {}, "config.bucketName"),
        ({**S3, "pathTemplate": "{prefix}/../{date}"}, {}, "config.pathTemplate"),
        ({**S3, "pathTemplate": "{secret}"}, {}, "config.pathTemplate"),
        ({**S3, "endpoint": "http://minio:9000"}, {}, "config.endpoint"),
        (S3, {"X-Amz-Security-Token": CANARY}, "config.headers.X-Amz-Security-Token"),
    ],
)
async def test_s14_a_configuration_that_breaks_a_rule_is_refused_by_name(
    stub: DestinationServiceStub, org_id: str, members: dict[str, str], headers: dict[str, str], param: str
) -> None:
    assert await refusal(stub.CreateDestination(wanted(org_id, members, headers))) == ("INVALID_REQUEST", param)


async def test_a_private_installation_may_broadcast_to_its_own_network(database: Database, org_id: str) -> None:
    request = wanted(org_id, {"url": "http://127.0.0.1:9000/hook"})
    config = config_from_proto(request.config)
    fields = fields_from_proto(request.fields)
    made, _ = await use_cases(database, private=True).create(org_id, "", request.type, config, fields, OPERATOR)
    assert made.fields.enabled


async def test_a_workspace_has_five_of_a_type(stub: DestinationServiceStub, org_id: str) -> None:
    for _ in range(5):
        await store(stub, org_id)
    assert (await refusal(stub.CreateDestination(wanted(org_id))))[0] == "PERMISSION_DENIED"
    await store(stub, org_id, S3)


async def test_s20_nothing_of_a_configuration_is_in_the_database_or_the_audit_log(
    stub: DestinationServiceStub, org_id: str, sql: asyncpg.Connection
) -> None:
    made = await store(stub, org_id, {"url": URL, "signingSecret": SECRET}, HEADERS)
    await stub.UpdateDestination(update(made, config=messages.DestinationConfig(members={"method": "PUT"})))
    await sql.execute("SELECT set_config('turnpike.org_id', '*', false)")
    tables = [row[0] for row in await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert "destinations" in tables
    for table in tables:
        for row in await sql.fetch(f"SELECT * FROM {table}"):
            for value in row.values():
                text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
                assert CANARY not in text, table
                assert SECRET not in text, table


async def test_s21_a_configuration_that_is_moved_to_another_organisation_does_not_open(
    stub: DestinationServiceStub, org_id: str, identity: Identity, sql: asyncpg.Connection
) -> None:
    await store(stub, org_id)
    thief = str((await identity.create_org("Thief")).org_id)
    await sql.execute("SELECT set_config('turnpike.org_id', '*', false)")
    await sql.execute("UPDATE destinations SET org_id = $1, workspace_id = $1", thief)
    request = messages.ListDestinationsRequest(org_id=thief)
    assert (await refusal(stub.ListDestinations(request)))[0] == "DEPENDENCY_UNAVAILABLE"


async def test_s22_data_keys_are_rewrapped_and_the_sender_is_told(
    stub: DestinationServiceStub, database: Database, org_id: str
) -> None:
    made = await store(stub, org_id)
    (before,) = await changed(stub)
    both = KeyEncryptionKeys("new", {"old": bytes(32), "new": bytes(range(32))})
    rewrapping = use_cases(database, both)
    assert await rewrapping.rewrap(10) == 1
    assert await rewrapping.rewrap(10) == 0
    (after,) = await changed(stub, before.revision)
    assert (after.sealed_config.kek_id, after.destination.destination_id) == ("new", made.destination_id)
    assert opened(after, both) == opened(before)


async def test_an_installation_without_key_encryption_keys_stores_none(database: Database, org_id: str) -> None:
    request = wanted(org_id)
    config, fields = config_from_proto(request.config), fields_from_proto(request.fields)
    with pytest.raises(NotSetUpError):
        await use_cases(database, None).create(org_id, "", request.type, config, fields, OPERATOR)


async def test_s09_what_is_another_organisations_does_not_exist(
    stub: DestinationServiceStub, org_id: str, identity: Identity
) -> None:
    made = await store(stub, org_id)
    other = str((await identity.create_org("Other")).org_id)
    of_other = {"org_id": other, "destination_id": made.destination_id}
    made.org_id = other
    for call in (
        stub.GetDestination(messages.GetDestinationRequest(**of_other)),
        stub.UpdateDestination(update(made)),
        stub.DeleteDestination(messages.DeleteDestinationRequest(**of_other)),
        stub.GetDeliveries(messages.GetDeliveriesRequest(**of_other)),
    ):
        assert (await refusal(call))[0] == "NOT_FOUND"
    listed = await stub.ListDestinations(messages.ListDestinationsRequest(org_id=other))
    assert listed.total_count == 0
    report = messages.DeliveryReport(gives_up=True, version=1, state=messages.DeliveryState(delivered=9), **of_other)
    await stub.ReportDeliveries(messages.ReportDeliveriesRequest(sender="s", reports=[report]))
    own = await stub.GetDeliveries(messages.GetDeliveriesRequest(org_id=org_id, destination_id=made.destination_id))
    assert own.state.delivered == 0
    assert (await changed(stub))[0].active


async def test_only_keys_of_the_workspace_can_be_named(
    stub: DestinationServiceStub, org_id: str, identity: Identity
) -> None:
    key, _ = await identity.create_key(org_id, "mine", KeyKind.INFERENCE, None, None, "")
    own = records_pb2.TextList(values=[key.digest])
    made = await store(stub, org_id, allowed_key_digests=own)
    assert list(made.fields.allowed_key_digests.values) == [key.digest]
    foreign = records_pb2.TextList(values=["0" * 64])
    refused = await refusal(stub.CreateDestination(wanted(org_id, allowed_key_digests=foreign)))
    assert refused == ("INVALID_REQUEST", "api_key_hashes")


async def test_the_sender_hears_of_every_change_once_and_in_order(
    stub: DestinationServiceStub, org_id: str, workspaces: Workspaces
) -> None:
    first, second = await store(stub, org_id), await store(stub, org_id, S3)
    seen = await changed(stub)
    assert [each.destination.destination_id for each in seen] == [first.destination_id, second.destination_id]
    assert await changed(stub, seen[-1].revision) == []
    await workspaces.update(org_id, org_id, {"is_observability_broadcast_enabled": False}, OPERATOR)
    paused = await changed(stub, seen[-1].revision)
    assert sorted(each.destination.destination_id for each in paused) == sorted(
        [first.destination_id, second.destination_id]
    )
    assert not any(each.active or each.HasField("sealed_config") for each in paused)
    request = messages.DeleteDestinationRequest(org_id=org_id, destination_id=first.destination_id)
    await stub.DeleteDestination(request)
    (gone,) = await changed(stub, max(each.revision for each in paused))
    assert (gone.destination.destination_id, gone.active) == (first.destination_id, False)
    assert (await refusal(stub.DeleteDestination(request)))[0] == "NOT_FOUND"


async def test_s45_changes_are_audited_and_so_is_giving_up(
    stub: DestinationServiceStub, org_id: str, sql: asyncpg.Connection
) -> None:
    made = await store(stub, org_id)
    made.fields.sampling_rate = 0.5
    await stub.UpdateDestination(update(made))
    state = messages.DeliveryState(dropped=3, failures=9)
    state.failing_since.FromSeconds(1_790_000_000)
    report = messages.DeliveryReport(
        org_id=org_id, destination_id=made.destination_id, state=state, gives_up=True, version=made.version
    )
    for _ in range(2):
        await stub.ReportDeliveries(messages.ReportDeliveriesRequest(sender="s", reports=[report]))
    name = {"org_id": org_id, "destination_id": made.destination_id}
    found = await stub.GetDeliveries(messages.GetDeliveriesRequest(**name))
    assert (found.state.dropped, found.state.failures, found.HasField("stopped_at")) == (3, 9, True)
    assert (await stub.GetDestination(messages.GetDestinationRequest(**name))).destination.fields.enabled is False
    await sql.execute("SELECT set_config('turnpike.org_id', '*', false)")
    rows = await sql.fetch("SELECT action, before, after FROM audit_entries ORDER BY sequence")
    actions = [row["action"] for row in rows if row["action"].startswith("destination.")]
    assert actions == ["destination.created", "destination.changed", "destination.stopped"]
    changes = [(row["before"], row["after"]) for row in rows if row["action"] == "destination.changed"]
    assert changes == [('{"sampling_rate":1.0}', '{"sampling_rate":0.5}')]


async def test_what_senders_count_is_added_up_and_a_repeat_replaces(stub: DestinationServiceStub, org_id: str) -> None:
    made = await store(stub, org_id)
    for sender, delivered in (("a", 2), ("b", 5), ("a", 3)):
        state = messages.DeliveryState(delivered=delivered, waiting=1)
        state.attempts.add(events=delivered, status=200).at.FromSeconds(1_790_000_000 + delivered)
        report = messages.DeliveryReport(org_id=org_id, destination_id=made.destination_id, state=state, version=1)
        await stub.ReportDeliveries(messages.ReportDeliveriesRequest(sender=sender, reports=[report]))
    request = messages.GetDeliveriesRequest(org_id=org_id, destination_id=made.destination_id)
    found = (await stub.GetDeliveries(request)).state
    assert (found.delivered, found.waiting) == (8, 2)
    assert [each.events for each in found.attempts] == [5, 3]
