"""The outbox on a real PostgreSQL: what is committed is published, in order, to whichever cluster is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.outbox import PostgresOutbox
from accounts.domain.accounts import KeyChanges, KeyKind
from accounts.domain.errors import NotFoundError, StoreUnavailableError
from accounts.domain.ports import OutboxMessage, Published
from accounts.identity import Identity
from accounts.testing import Drain, NewCustomer
from contracts.topics import KEYS, ORGS
from servicekit.failpoints import Failpoints
from turnpike.accounts.v1.records_pb2 import KeyRecord, OrgRecord


class Topic:
    """Where messages go: all of them in order, and what a reader of the compacted topic ends up with."""

    def __init__(self) -> None:
        self.messages: list[OutboxMessage] = []
        self.down = False

    async def send(self, messages: Sequence[OutboxMessage]) -> None:
        if self.down:
            raise ConnectionRefusedError("the broker is down")
        await asyncio.sleep(0)
        self.messages.extend(messages)

    def state(self) -> dict[str, bytes | None]:
        return {message.key: message.value for message in self.messages}

    def revisions(self, topic: str, key: str) -> list[int]:
        return [
            (KeyRecord if topic == KEYS.name else OrgRecord).FromString(message.value).revision
            for message in self.messages
            if (message.topic, message.key) == (topic, key) and message.value is not None
        ]


async def publish(outbox: PostgresOutbox, topic: Topic, cluster_id: str = "c1", limit: int = 100) -> Published:
    return await outbox.publish(cluster_id, limit, topic.send, datetime.now(UTC))


async def test_change_and_its_message_are_committed_together_or_not_at_all(
    identity: Identity, new_customer: NewCustomer, drain: Drain, sql: asyncpg.Connection
) -> None:
    org_id, _ = await new_customer()
    await drain()
    await sql.execute("ALTER TABLE outbox ADD CONSTRAINT full_outbox CHECK (topic <> 'turnpike.keys.v1') NOT VALID")
    with pytest.raises(Exception, match="full_outbox"):
        await identity.create_key(str(org_id), "second", KeyKind.INFERENCE, None, None, "")
    assert await sql.fetchval("SELECT count(*) FROM api_keys") == 1
    assert await drain() == []
    await sql.execute("ALTER TABLE outbox DROP CONSTRAINT full_outbox")
    key, _ = await identity.create_key(str(org_id), "second", KeyKind.INFERENCE, None, None, "")
    assert [(message.topic, message.key) for message in await drain()] == [(KEYS.name, key.digest)]


async def test_changes_of_a_key_are_published_in_the_order_of_their_revisions(
    identity: Identity, new_customer: NewCustomer, outbox: PostgresOutbox
) -> None:
    topic = Topic()
    org_id, _ = await new_customer()
    await publish(outbox, topic)
    key, _ = await identity.create_key(str(org_id), "key", KeyKind.INFERENCE, None, None, "")
    for number in range(5):
        await identity.update_key(str(org_id), key.digest, KeyChanges(name=f"name {number}"))
        await publish(outbox, topic, limit=1)
    while (await publish(outbox, topic, limit=1)).messages:
        pass
    assert topic.revisions(KEYS.name, key.digest) == [1, 2, 3, 4, 5, 6]


async def test_of_several_changes_in_one_batch_the_latest_is_sent(
    identity: Identity, new_customer: NewCustomer, outbox: PostgresOutbox
) -> None:
    topic = Topic()
    org_id, _ = await new_customer()
    await publish(outbox, topic)
    key, _ = await identity.create_key(str(org_id), "key", KeyKind.INFERENCE, None, None, "")
    await identity.update_key(str(org_id), key.digest, KeyChanges(disabled=True))
    assert await publish(outbox, topic) == Published(2, everything=False)
    assert topic.revisions(KEYS.name, key.digest) == [2]
    await identity.update_key(str(org_id), key.digest, KeyChanges(disabled=False))
    await identity.delete_key(str(org_id), key.digest)
    await publish(outbox, topic)
    assert topic.state()[key.digest] is None


async def test_what_was_not_acknowledged_is_sent_again_with_the_same_event_id(
    new_customer: NewCustomer, outbox: PostgresOutbox, identity: Identity
) -> None:
    topic = Topic()
    org_id, _ = await new_customer()
    await publish(outbox, topic)
    topic.messages.clear()
    await identity.grant_credit(str(org_id), 5, "more", "")
    topic.down = True
    with pytest.raises(StoreUnavailableError):
        await publish(outbox, topic)
    topic.down = False
    await publish(outbox, topic)
    await publish(outbox, topic)
    (message,) = topic.messages
    assert message.headers["ce_id"]
    assert OrgRecord.FromString(message.value or b"").revision == 3


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("point", ["changes.sent", "changes.forgotten", "everything.sent", "everything.marked"])
async def test_b04_crash_around_the_mark_repeats_and_loses_nothing(
    point: str, new_customer: NewCustomer, identity: Identity, database: Database
) -> None:
    topic = Topic()
    org_id, _ = await new_customer()
    if point.startswith("changes"):
        await publish(PostgresOutbox(database, Failpoints()), topic)
        await identity.grant_credit(str(org_id), 5, "more", "")

    def kill() -> None:
        raise KilledError

    with pytest.raises(KilledError):
        await publish(PostgresOutbox(database, Failpoints([point], [point], kill=kill)), topic)
    before = topic.state()
    later = PostgresOutbox(database, Failpoints())
    while (await publish(later, topic)).messages:
        pass
    assert topic.state().keys() == before.keys()
    assert topic.revisions(ORGS.name, str(org_id))[-1] == (await identity.org(str(org_id))).revision
    assert await publish(later, topic) == Published(0, everything=False)


async def test_new_cluster_is_given_everything_and_deleted_keys_as_tombstones(
    identity: Identity, new_customer: NewCustomer, outbox: PostgresOutbox
) -> None:
    org_id, _ = await new_customer()
    gone, _ = await identity.create_key(str(org_id), "gone", KeyKind.INFERENCE, None, None, "")
    kept, _ = await identity.create_key(str(org_id), "kept", KeyKind.MANAGEMENT, 7, None, "")
    await identity.delete_key(str(org_id), gone.digest)
    first = Topic()
    while (await publish(outbox, first)).messages:
        pass
    second = Topic()
    assert await publish(outbox, second, "c2") == Published(4, everything=True)
    assert second.state() == first.state()
    assert second.state()[gone.digest] is None
    assert KeyRecord.FromString(second.state()[kept.digest] or b"").limit_nano_usd == 7
    assert await publish(outbox, second, "c2") == Published(0, everything=False)


async def test_everything_is_sent_page_by_page(
    identity: Identity, outbox: PostgresOutbox, sql: asyncpg.Connection
) -> None:
    await sql.executemany(
        "INSERT INTO orgs (org_id, name, status, created_at) VALUES ($1, 'Many', 1, now())",
        [(uuid4(),) for _ in range(2_500)],
    )
    pages: list[int] = []

    async def send(messages: Sequence[OutboxMessage]) -> None:
        pages.append(len(messages))

    assert await outbox.publish("c1", 10, send, datetime.now(UTC)) == Published(2_500, everything=True)
    assert pages == [1_000, 1_000, 500]


@asynccontextmanager
async def publishers(count: int, databases: Sequence[Database], topic: Topic) -> AsyncIterator[None]:
    """Instances that publish all the time, to the same cluster."""
    stopping = asyncio.Event()

    async def run(database: Database) -> None:
        outbox = PostgresOutbox(database, Failpoints())
        while not stopping.is_set():
            await publish(outbox, topic, limit=3)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(run(databases[number % len(databases)]))
        yield
        stopping.set()


async def test_s06_a_deleted_key_stays_deleted_with_several_instances_and_a_new_cluster(
    new_customer: NewCustomer,
    dsn: str,
    database: Database,
    identity: Identity,
    open_database: Callable[[str], Database],
) -> None:
    """Whatever publishes at the same time, the last record of a key is its newest, and no record is older than one before."""
    org_id, _ = await new_customer()
    second = open_database(dsn)
    await second.start()
    topic = Topic()
    digests: list[str] = []

    async def change(number: int) -> None:
        key, _ = await identity.create_key(str(org_id), f"key {number}", KeyKind.INFERENCE, None, None, "")
        digests.append(key.digest)
        for turn in range(4):
            await identity.update_key(str(org_id), key.digest, KeyChanges(disabled=bool(turn % 2)))
        await identity.delete_key(str(org_id), key.digest)

    try:
        async with publishers(3, [database, second], topic):
            async with asyncio.TaskGroup() as group:
                for number in range(8):
                    group.create_task(change(number))
        while (await publish(PostgresOutbox(second, Failpoints()), topic)).messages:
            pass
    finally:
        await second.stop(timedelta(seconds=5))
    for digest in digests:
        revisions = topic.revisions(KEYS.name, digest)
        assert revisions == sorted(revisions)
        assert topic.state()[digest] is None
        with pytest.raises(NotFoundError):
            await identity.resolve_key(digest)


@pytest.mark.parametrize("cluster_id", ["c1", "c2"], ids=["changes", "everything"])
async def test_s06_a_slow_publisher_does_not_bring_a_deleted_key_back(
    cluster_id: str, identity: Identity, new_customer: NewCustomer, database: Database
) -> None:
    topic, is_sending, may_go_on = Topic(), asyncio.Event(), asyncio.Event()
    org_id, _ = await new_customer()
    outbox = PostgresOutbox(database, Failpoints())
    await publish(outbox, topic)
    topic.messages.clear()
    key, _ = await identity.create_key(str(org_id), "key", KeyKind.INFERENCE, None, None, "")

    async def send_slowly(messages: Sequence[OutboxMessage]) -> None:
        is_sending.set()
        await may_go_on.wait()
        await topic.send(messages)

    async with asyncio.TaskGroup() as group:
        group.create_task(outbox.publish(cluster_id, 100, send_slowly, datetime.now(UTC)))
        await is_sending.wait()
        await identity.delete_key(str(org_id), key.digest)
        group.create_task(publish(PostgresOutbox(database, Failpoints()), topic, cluster_id))
        await asyncio.sleep(0.5)  # long enough for the other to send, if it did not wait
        assert topic.messages == []
        may_go_on.set()
    assert [message.value is None for message in topic.messages if message.key == key.digest] == [False, True]


async def test_state_that_a_new_cluster_is_given_is_never_followed_by_an_older_one(
    identity: Identity, new_customer: NewCustomer, database: Database
) -> None:
    """Changes that wait when everything is published are in it; those that come meanwhile follow it."""
    org_id, _ = await new_customer()
    key, _ = await identity.create_key(str(org_id), "key", KeyKind.INFERENCE, None, None, "")
    await identity.update_key(str(org_id), key.digest, KeyChanges(name="waits"))
    topic = Topic()

    async def change_meanwhile(messages: Sequence[OutboxMessage]) -> None:
        if not topic.messages:
            await identity.update_key(str(org_id), key.digest, KeyChanges(name="meanwhile"))
            await identity.update_key(str(org_id), key.digest, KeyChanges(name="last"))
        await topic.send(messages)

    outbox = PostgresOutbox(database, Failpoints())
    await outbox.publish("c1", 100, change_meanwhile, datetime.now(UTC))
    while (await publish(outbox, topic, limit=1)).messages:
        pass
    assert topic.revisions(KEYS.name, key.digest) == [2, 3, 4]


async def test_message_ids_of_a_key_do_not_depend_on_who_publishes(
    new_customer: NewCustomer, drain: Drain, identity: Identity, database: Database
) -> None:
    org_id, _ = await new_customer()
    first = {message.key: message.headers["ce_id"] for message in await drain("c1")}
    again = {message.key: message.headers["ce_id"] for message in await drain("c2")}
    assert first == again
    assert UUID(first[str(org_id)]).version == 5
