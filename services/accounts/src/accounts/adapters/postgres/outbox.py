"""The transactional outbox: what is committed and not yet published."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres import guardrail_sql
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_spend import keys_from_rows
from accounts.adapters.postgres.rows import KEY_COLUMNS, ORG_COLUMNS, guardrail_from_row, org_from_row
from accounts.domain.ports import OutboxMessage, OutboxSender, Published
from accounts.records import guardrail_message, guardrail_tombstone, key_message, key_tombstone, org_message
from contracts import topics
from servicekit.failpoints import Failpoints

_COMPACTED = frozenset(topic.name for topic in topics.ALL if topic.compacted)
_ENQUEUE = text(
    """
    INSERT INTO outbox (topic, record_key, record_value, headers)
    SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:keys AS text[]), CAST(:record_values AS bytea[]),
                         CAST(:headers AS jsonb[]))
    """
)
# One publisher at a time, until the end of its transaction: of two that send at once, the one with the older state of a
# key could come last, and bring a deleted key back. LOCK TABLE, because it takes no snapshot before it has the lock.
_LOCK = text("LOCK TABLE publication IN EXCLUSIVE MODE")
_ONE_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
_TAKE = text("SELECT message_id, topic, record_key, record_value, headers FROM outbox ORDER BY message_id LIMIT :limit")
_FORGET = text("DELETE FROM outbox WHERE message_id = ANY(CAST(:ids AS bigint[]))")
_FORGET_TOPICS = text("DELETE FROM outbox WHERE topic = ANY(CAST(:topics AS text[]))")
_CLUSTER = text("SELECT cluster_id FROM publication")
_MARK = text(
    """
    INSERT INTO publication (cluster_id, published_at) VALUES (:cluster_id, :now)
    ON CONFLICT (only_row) DO UPDATE SET cluster_id = excluded.cluster_id, published_at = excluded.published_at
    """
)
_ORGS = text(
    f"SELECT {ORG_COLUMNS} FROM orgs WHERE org_id > :after ORDER BY org_id LIMIT :limit"  # noqa: S608 - constant columns
)
_KEYS = text(
    f"""
    SELECT {KEY_COLUMNS}, deleted_at FROM api_keys WHERE key_id > :after ORDER BY key_id LIMIT :limit
    """  # noqa: S608 - constant columns
)
_BEFORE_ALL = UUID(int=0)
# Records that wait for their acknowledgement at a time when everything is published.
_PAGE = 1_000


async def enqueue(connection: AsyncConnection, messages: Sequence[OutboxMessage]) -> None:
    """Put messages into the outbox within a transaction."""
    if not messages:
        return
    await connection.execute(
        _ENQUEUE,
        {
            "topics": [message.topic for message in messages],
            "keys": [message.key for message in messages],
            "record_values": [message.value for message in messages],
            "headers": [json.dumps(dict(message.headers)) for message in messages],
        },
    )


class PostgresOutbox:
    """The Outbox in PostgreSQL."""

    def __init__(self, database: Database, failpoints: Failpoints) -> None:
        self._database = database
        self._failpoints = failpoints

    async def publish(self, cluster_id: str, limit: int, send: OutboxSender, now: datetime) -> Published:
        """Hand the oldest changes to `send`, or everything when the cluster does not hold it yet.

        Of several messages for one key of a compacted topic only the latest is sent: the topic keeps no more than that.
        """
        async with self._database.installation_transaction() as connection:
            await connection.execute(_LOCK)
            is_complete = await _published_cluster(connection) == cluster_id
            changes = await self._send_changes(connection, limit, send) if is_complete else 0
        if is_complete:
            if changes:
                self._failpoints.reach("changes.forgotten")
            return Published(changes, everything=False)
        async with self._database.installation_transaction() as connection:
            await connection.execute(_ONE_SNAPSHOT)
            await connection.execute(_LOCK)
            if await _published_cluster(connection) == cluster_id:
                return Published(0, everything=False)  # another publisher was faster
            count = await self._send_everything(connection, send)
            await connection.execute(_MARK, {"cluster_id": cluster_id, "now": now})
        self._failpoints.reach("everything.marked")
        return Published(count, everything=True)

    async def _send_changes(self, connection: AsyncConnection, limit: int, send: OutboxSender) -> int:
        rows = list(await connection.execute(_TAKE, {"limit": limit}))
        if not rows:
            return 0
        latest = {(row.topic, row.record_key if row.topic in _COMPACTED else row.message_id): row for row in rows}
        await send([OutboxMessage(row.topic, row.record_key, row.record_value, row.headers) for row in latest.values()])
        self._failpoints.reach("changes.sent")
        await connection.execute(_FORGET, {"ids": [row.message_id for row in rows]})
        return len(rows)

    async def _send_everything(self, connection: AsyncConnection, send: OutboxSender) -> int:
        """Send the state as of one moment. The changes up to it are in it, so they are forgotten; later ones are newer."""
        count = 0
        async for messages in _everything(connection):
            await send(messages)
            count += len(messages)
        self._failpoints.reach("everything.sent")
        await connection.execute(_FORGET_TOPICS, {"topics": sorted(_COMPACTED)})
        return count


async def _published_cluster(connection: AsyncConnection) -> str | None:
    cluster_id: str | None = (await connection.execute(_CLUSTER)).scalar_one_or_none()
    return cluster_id


async def _everything(connection: AsyncConnection) -> AsyncIterator[list[OutboxMessage]]:
    """Every organisation, guardrail and key, page by page."""
    now: datetime = (await connection.execute(text("SELECT now()"))).scalar_one()
    after = _BEFORE_ALL
    while orgs := list(await connection.execute(_ORGS, {"after": after, "limit": _PAGE})):
        yield [org_message(org_from_row(row), now) for row in orgs]
        after = orgs[-1].org_id
    after = _BEFORE_ALL
    # Before the keys that they bind: an edge that meets a guardrail that it does not know refuses the key.
    while guardrails := list(await connection.execute(guardrail_sql.EVERY, {"after": after, "limit": _PAGE})):
        yield [
            guardrail_message(guardrail_from_row(row), now)
            if row.deleted_at is None
            else guardrail_tombstone(str(row.guardrail_id), row.revision, now)
            for row in guardrails
        ]
        after = guardrails[-1].guardrail_id
    after = _BEFORE_ALL
    while keys := list(await connection.execute(_KEYS, {"after": after, "limit": _PAGE})):
        kept = await keys_from_rows(connection, (row for row in keys if row.deleted_at is None), now.date())
        yield [key_message(key, now) for key in kept]
        yield [
            key_tombstone(row.lookup_digest or row.digest, row.key_id, row.revision, now)
            for row in keys
            if row.deleted_at is not None
        ]
        # What moved to another pepper: an edge may have it by its first digest from another broker.
        yield [key_tombstone(row.digest, row.key_id, row.revision, now) for row in keys if row.lookup_digest]
        after = keys[-1].key_id
