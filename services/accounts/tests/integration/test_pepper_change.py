"""The pepper is changed: keys move from their digests under the previous pepper to those under the current one (S3)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import grpc
import pytest
from sqlalchemy import text

from accounts.adapters.postgres import key_store
from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_store import PostgresKeyStore
from accounts.adapters.postgres.org_store import PostgresOrgStore
from accounts.api import key_service
from accounts.domain.accounts import KeyChanges, KeyKind
from accounts.domain.errors import NotFoundError
from accounts.identity import Identity
from accounts.testing import Drain
from contracts import api_keys
from servicekit.clock import SystemClock
from servicekit.grpc_errors import error_info
from servicekit.testing import run_servicer
from turnpike.accounts.v1 import key_service_pb2
from turnpike.accounts.v1.key_service_pb2_grpc import KeyServiceStub, add_KeyServiceServicer_to_server
from turnpike.accounts.v1.records_pb2 import KeyRecord

OLD = b"a pepper of at least thirty-two bytes"
NEW = b"another pepper, of thirty-two bytes at least"


@pytest.fixture
def changed(database: Database, audit: PostgresAuditLog) -> Identity:
    """The use cases of a process that has the new pepper, with the old one as the previous."""
    keys, orgs = PostgresKeyStore(database, audit), PostgresOrgStore(database, audit)
    return Identity(keys, orgs, SystemClock(), Random(), NEW, OLD)


async def test_s03_a_key_moves_once_and_its_hash_stays(
    identity: Identity,
    changed: Identity,
    database: Database,
    audit: PostgresAuditLog,
    drain: Drain,
    sql: asyncpg.Connection,
) -> None:
    org = await identity.create_org("Test")
    org_id = str(org.org_id)
    key, secret = await identity.create_key(org_id, "old", KeyKind.INFERENCE, 7, None, "")
    deleted, gone = await identity.create_key(org_id, "gone", KeyKind.INFERENCE, None, None, "")
    fresh, fresh_secret = await changed.create_key(org_id, "new", KeyKind.INFERENCE, None, None, "")
    assert fresh.digest == api_keys.digest(fresh_secret, NEW)
    await identity.delete_key(org_id, deleted.digest)
    keys, now = PostgresKeyStore(database, audit), datetime.now(UTC)
    assert await keys.count_under_others(api_keys.pepper_id(NEW), now) == 1
    await drain()
    entries = await sql.fetchval("SELECT count(*) FROM audit_entries")

    digest = api_keys.digest(secret, NEW)
    peppers = api_keys.pepper_id(NEW), api_keys.pepper_id(OLD)
    moves = {key.digest: digest, deleted.digest: api_keys.digest(gone, NEW)}
    # Two edges at once.
    assert sum(await asyncio.gather(*(changed.move_keys(*peppers, moves) for _ in range(2)))) == 1
    assert await changed.move_keys(*peppers, moves) == 0
    assert await keys.count_under_others(api_keys.pepper_id(NEW), now) == 0
    assert await sql.fetchval("SELECT count(*) FROM audit_entries") == entries

    # Both digests are asked about at once, and it is known by the new one alone.
    found = await changed.resolve_keys([key.digest, digest])
    assert list(found) == [digest]
    moved = found[digest][0]
    assert (moved.key_id, moved.digest, moved.limit, moved.revision) == (key.key_id, key.digest, 7, key.revision + 1)
    published = {message.key: message.value for message in await drain()}
    record = KeyRecord.FromString(published[digest] or b"")
    assert (record.digest, record.lookup_digest, record.revision) == (key.digest, digest, key.revision + 1)
    assert published[key.digest] is None
    # A new cluster gets the same.
    everything = {message.key: message.value for message in await drain("c2")}
    assert everything[key.digest] is None
    assert everything[digest] == published[digest]

    # Whoever manages it knows it by its hash, as before.
    assert (await changed.update_key(org_id, key.digest, KeyChanges(disabled=True))).lookup_digest == digest
    assert [message.key for message in await drain("c2")] == [digest]
    await changed.delete_key(org_id, key.digest)
    assert [(message.key, message.value) for message in await drain("c2")] == [(digest, None)]
    with pytest.raises(NotFoundError):
        await changed.resolve_key(digest)
    assert (await drain("c3"))[-1].value is None


async def test_s03_keys_move_only_between_the_peppers_of_the_service(identity: Identity, changed: Identity) -> None:
    org = await identity.create_org("Test")
    key, secret = await identity.create_key(str(org.org_id), "old", KeyKind.INFERENCE, None, None, "")
    ids = {pepper: api_keys.pepper_id(pepper) for pepper in (OLD, NEW, b"")}
    move = key_service_pb2.KeyMove(previous_digest=key.digest, digest=api_keys.digest(secret, b""))
    good: dict[str, Any] = {"pepper_id": ids[NEW], "previous_pepper_id": ids[OLD], "moves": [move]}

    async def refused(service: Identity, **members: Any) -> str:
        def register(server: grpc.aio.Server) -> list[str]:
            add_KeyServiceServicer_to_server(key_service.KeyServicer(service), server)
            return [key_service.SERVICE_NAME]

        async with run_servicer(register) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await KeyServiceStub(channel).MoveKeys(key_service_pb2.MoveKeysRequest(**(good | members)))
        info = error_info(raised.value)
        assert info is not None
        return info.metadata.get("param", info.reason)

    # An edge with a wrong pepper would name the key by what nobody has.
    assert await refused(changed, pepper_id=ids[b""]) == "pepper_id"
    assert await refused(changed, previous_pepper_id=ids[b""]) == "previous_pepper_id"
    # Keys do not move before every process has both, nor afterwards.
    assert await refused(identity, pepper_id=ids[OLD], previous_pepper_id=ids[NEW]) == "PERMISSION_DENIED"
    assert await refused(changed, moves=[]) == "moves"
    assert await refused(changed, moves=[key_service_pb2.KeyMove(previous_digest="x", digest="y")]) == "moves"
    assert (await identity.resolve_key(key.digest))[0] == key


async def test_a_key_that_is_over_is_not_counted_and_no_name_is_taken_twice(
    identity: Identity, changed: Identity, database: Database, audit: PostgresAuditLog
) -> None:
    org_id = str((await identity.create_org("Test")).org_id)
    ends = datetime.now(UTC) + timedelta(hours=1)
    first, _ = await identity.create_key(org_id, "a", KeyKind.INFERENCE, None, ends, "")
    second, _ = await identity.create_key(org_id, "b", KeyKind.INFERENCE, None, ends, "")
    keys, new = PostgresKeyStore(database, audit), api_keys.pepper_id(NEW)
    assert await keys.count_under_others(new, ends - timedelta(minutes=1)) == 2
    assert await keys.count_under_others(new, ends + timedelta(minutes=1)) == 0
    peppers = new, api_keys.pepper_id(OLD)
    assert await changed.move_keys(*peppers, {first.digest: second.digest}) == 0
    assert await changed.move_keys(*peppers, {first.digest: first.digest}) == 0
    assert await changed.move_keys(*peppers, {first.digest: "0" * 64, second.digest: "0" * 64}) == 1
    # What was buried once stays buried: edges would not take it back.
    assert await changed.move_keys(*peppers, {"0" * 64: first.digest}) == 0


async def test_keys_are_found_by_either_digest_without_reading_all_of_them(
    identity: Identity, database: Database, sql: asyncpg.Connection
) -> None:
    org = await identity.create_org("Test")
    await sql.execute(
        """
        INSERT INTO api_keys (key_id, org_id, workspace_id, digest, name, label, kind, disabled, created_at, updated_at, revision)
        SELECT gen_random_uuid(), $1, $1, encode(sha256(CAST(n AS text)::bytea), 'hex'), 'key', 'label', 1, false, now(), now(), 1
        FROM generate_series(1, 5000) AS n
        """,
        org.org_id,
    )
    await sql.execute("ANALYZE api_keys")
    async with database.installation_transaction() as connection:
        # A plan that is made once for all values, as PostgreSQL may after a few calls.
        await connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        explained = await connection.execute(text(f"EXPLAIN {key_store.BY_DIGEST.text}"), {"digests": ["0" * 64]})
        plan = "\n".join(explained.scalars())
    assert "api_keys_lookup_digest" in plan, plan
    assert "Seq Scan" not in plan, plan
