"""The books in PostgreSQL: a batch of usage events in one transaction with the offset of its partition."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres import settlement_sql as sql
from accounts.adapters.postgres.array_literals import flags, moments, names, numbers, texts
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_spend import keys_from_rows
from accounts.adapters.postgres.lease_settlement import charge_leases
from accounts.adapters.postgres.outbox import enqueue
from accounts.adapters.postgres.rows import org_from_row
from accounts.adapters.postgres.suspense_rows import give_way_to, insert_entries, suspend_all
from accounts.domain.errors import AlreadyExistsError, NotFoundError, StoreUnavailableError
from accounts.domain.lease_charges import overshoot
from accounts.domain.ports import OutboxMessage, ReceivedRecord, SettlementBatch, SettlementResult
from accounts.domain.postings import REAPER_RANK, Posted, Postings, UsageFact, post
from accounts.domain.suspense import SuspendedStatement
from accounts.records import key_message, org_message
from accounts.suspension import suspended_statement
from contracts.topics import USAGE
from servicekit.failpoints import Failpoints

Rejected = tuple[ReceivedRecord, str]
"""A record that cannot be settled, and why."""

_OFFSETS = text(
    """
    SELECT partition, next_offset FROM consumer_offsets
    WHERE cluster_id = :cluster_id AND topic = :topic AND partition = ANY(CAST(:partitions AS integer[]))
    """
)


_OF_ANOTHER = "the event was settled for another organisation"
# Before every month in which anything was spent.
_NO_MONTH = date(1970, 1, 1)


class PostgresSettlementStore:
    """The SettlementStore in PostgreSQL."""

    def __init__(self, database: Database, failpoints: Failpoints) -> None:
        self._database = database
        self._failpoints = failpoints

    async def offsets(self, cluster_id: str, topic: str, partitions: Collection[int]) -> Mapping[int, int]:
        """Return the next offset of each partition that was read before in this cluster."""
        values = {"cluster_id": cluster_id, "topic": topic, "partitions": list(partitions)}
        async with self._database.installation_transaction() as connection:
            return {row.partition: row.next_offset for row in await connection.execute(_OFFSETS, values)}

    async def settle(self, batch: SettlementBatch, now: datetime) -> SettlementResult:
        """Post a batch and move its offset, all or nothing.

        An event counts once whatever its batch, because its id is the key of `settled_events`; the offset only saves the
        reading. Rows are locked in the order of their ids, so that two batches never wait for each other in a circle.

        Raises:
            StoreUnavailableError: nothing was posted; do the same again later.
        """
        try:
            async with self._database.installation_transaction() as connection:
                result = await self._settle(connection, batch, now)
                self._failpoints.reach("settle.written")
        except IntegrityError as error:
            # Another process settled one of these events between our look and our insert.
            raise StoreUnavailableError("a concurrent settlement of the same events") from error
        return result

    async def _settle(self, connection: AsyncConnection, batch: SettlementBatch, now: datetime) -> SettlementResult:
        stated = [record.fact for record in batch.records if record.fact]
        unusable = {
            record.offset: suspended_statement(record.value, record.reason)
            for record in batch.records
            if record.fact is None
        }
        named = {statement.org_id for statement in unusable.values() if statement.org_id is not None}
        known = await self._lock_orgs(connection, named | {fact.org_id for fact in stated})
        posted = await self._posted(connection, {fact.event_id for fact in stated})
        facts, rejected = _sort_out(batch.records, known, posted)
        postings = await self._post(connection, facts, posted, now)
        await self._reject(connection, batch, rejected, now)
        suspended = await self._suspend(connection, rejected, unusable, known, now)
        await connection.execute(
            sql.MOVE_OFFSET,
            {
                "cluster_id": batch.cluster_id,
                "topic": batch.topic,
                "partition": batch.partition,
                "next_offset": batch.next_offset,
            },
        )
        beyond = overshoot(postings.facts, posted)
        unreconciled = sum(fact.rank == REAPER_RANK for fact in postings.facts)
        return SettlementResult(
            len(postings.facts), len(rejected), overshoot=beyond, unreconciled=unreconciled, suspended=suspended
        )

    async def settle_one(self, connection: AsyncConnection, fact: UsageFact, now: datetime) -> bool:
        """Post a single event within a transaction, and take it out of suspense; False when the books knew as much.

        Args:
            connection: of a transaction that sees every organisation.
            fact: the event.
            now: the moment.

        Raises:
            NotFoundError: its organisation does not exist.
            AlreadyExistsError: it was settled for another one.
        """
        if not await self._lock_orgs(connection, {fact.org_id}):
            raise NotFoundError("the organisation does not exist")
        posted = await self._posted(connection, [fact.event_id])
        if any(before.org_id != fact.org_id for before in posted.values()):
            raise AlreadyExistsError("the event was settled for another organisation")
        return bool((await self._post(connection, [fact], posted, now)).facts)

    async def _post(
        self, connection: AsyncConnection, facts: Sequence[UsageFact], posted: Mapping[UUID, Posted], now: datetime
    ) -> Postings:
        postings = post(facts, posted)
        if postings.facts:
            await self._write(connection, postings, set(posted), now)
            await charge_leases(connection, postings.facts, posted, now)
            await give_way_to(connection, postings.facts, now)
        return postings

    async def _suspend(
        self,
        connection: AsyncConnection,
        rejected: Sequence[Rejected],
        unusable: Mapping[int, SuspendedStatement],
        known: Collection[UUID],
        now: datetime,
    ) -> int:
        """Put what was set aside into suspense; after the postings, which may know better."""
        if not rejected:
            return 0
        statements = []
        for record, reason in rejected:
            statement = unusable.get(record.offset) or suspended_statement(
                record.value, reason, estimated=reason != _OF_ANOTHER
            )
            if statement.org_id not in known:
                statement = replace(statement, org_id=None)
            statements.append(statement)
        event_ids = {each.event_id for each in statements if each.org_id is not None and each.event_id is not None}
        settled = await self._posted(connection, event_ids)
        return await suspend_all(connection, statements, settled, now)

    async def _lock_orgs(self, connection: AsyncConnection, org_ids: Collection[UUID]) -> set[UUID]:
        found = await connection.execute(sql.LOCK_ORGS, {"org_ids": list(org_ids)})
        return set(found.scalars())

    async def _posted(self, connection: AsyncConnection, event_ids: Collection[UUID]) -> dict[UUID, Posted]:
        found = await connection.execute(sql.POSTED, {"event_ids": list(event_ids)})
        return {
            row.event_id: Posted(
                rank=row.rank,
                org_id=row.org_id,
                key_id=row.key_id,
                provider=row.provider,
                day=row.ended_at.astimezone(UTC).date(),
                cost=row.cost_nano,
                provider_cost=row.provider_cost_nano,
                hedges=json.loads(row.hedges),
                is_byok=row.is_byok,
            )
            for row in found
        }

    async def _write(
        self, connection: AsyncConnection, postings: Postings, already: Collection[UUID], now: datetime
    ) -> None:
        new = [fact for fact in postings.facts if fact.event_id not in already]
        corrected = [fact for fact in postings.facts if fact.event_id in already]
        if new:
            await connection.execute(sql.INSERT_EVENTS, _event_columns(new, now))
        if corrected:
            await connection.execute(sql.CORRECT_EVENTS, _event_columns(corrected, now))
        await insert_entries(connection, postings.entries, now)
        await connection.execute(sql.CHARGE_WORKSPACES, _day_columns(postings))
        await self._write_orgs(connection, postings, now)
        await self._write_keys(connection, postings, now)

    async def _write_orgs(self, connection: AsyncConnection, postings: Postings, now: datetime) -> None:
        org_ids = list(postings.org_usage)
        latest: dict[UUID, date] = {}
        for org_id, month in sorted(postings.org_month_byok_spend, key=lambda each: each[1]):
            latest[org_id] = month
        months = [latest.get(org_id, _NO_MONTH) for org_id in org_ids]
        changed = await connection.execute(
            sql.CHARGE_ORGS,
            {
                "org_ids": org_ids,
                "nanos": [postings.org_usage[org_id] for org_id in org_ids],
                "untils": [postings.org_settled_until[org_id] for org_id in org_ids],
                "months": months,
                "byok": [postings.org_month_byok_spend.get(each, 0) for each in zip(org_ids, months, strict=True)],
            },
        )
        await enqueue(connection, [org_message(org_from_row(row), now) for row in changed])

    async def _write_keys(self, connection: AsyncConnection, postings: Postings, now: datetime) -> None:
        used = {*postings.key_spend, *postings.key_byok_spend, *postings.key_used_at}
        budgeted = await self._budgeted(connection, postings)
        key_ids = sorted(used | await self._of_same_creators(connection, used, budgeted))
        await connection.execute(sql.LOCK_KEYS, {"key_ids": key_ids})
        charged = await connection.execute(
            sql.CHARGE_KEYS,
            {
                "key_ids": key_ids,
                "nanos": [postings.key_spend.get(key_id, 0) for key_id in key_ids],
                "byok": [postings.key_byok_spend.get(key_id, 0) for key_id in key_ids],
                # A correction may take a charge from a key that is not used by it.
                "used": [postings.key_used_at.get(key_id) for key_id in key_ids],
            },
        )
        # Only a limit or a budget makes the spend of a key matter to an edge.
        limited = [
            row for row in charged if row.deleted_at is None and (row.limit_nano is not None or row.org_id in budgeted)
        ]
        await connection.execute(sql.ADD_DAILY_SPEND, _day_columns(postings))
        await enqueue(
            connection, [key_message(key, now) for key in await keys_from_rows(connection, limited, now.date())]
        )

    async def _budgeted(self, connection: AsyncConnection, postings: Postings) -> set[UUID]:
        found = await connection.execute(sql.BUDGETED_ORGS, {"org_ids": list(postings.org_usage)})
        return set(found.scalars())

    async def _of_same_creators(
        self, connection: AsyncConnection, used: Collection[UUID], budgeted: Collection[UUID]
    ) -> set[UUID]:
        """What a member spends counts for each key of the member."""
        if not budgeted:
            return set()
        values = {"key_ids": list(used), "org_ids": list(budgeted)}
        return set((await connection.execute(sql.KEYS_OF_SAME_CREATORS, values)).scalars())

    async def _reject(
        self, connection: AsyncConnection, batch: SettlementBatch, rejected: Sequence[Rejected], now: datetime
    ) -> None:
        rows = [
            {
                "cluster_id": batch.cluster_id,
                "topic": batch.topic,
                "partition": batch.partition,
                "record_offset": record.offset,
                "reason": reason,
                "record_key": record.key,
                "record_value": record.value,
                "now": now,
            }
            for record, reason in rejected
        ]
        if rows:
            await connection.execute(sql.QUARANTINE, rows)
        await enqueue(connection, [_dead_letter(batch, record, reason) for record, reason in rejected])


def _sort_out(
    records: Sequence[ReceivedRecord], known: Collection[UUID], posted: Mapping[UUID, Posted]
) -> tuple[list[UsageFact], list[Rejected]]:
    facts: list[UsageFact] = []
    rejected: list[Rejected] = []
    owners = {event_id: before.org_id for event_id, before in posted.items()}
    for record in records:
        if record.fact is None:
            rejected.append((record, record.reason))
        elif record.fact.org_id not in known:
            rejected.append((record, "org_id is not an organisation of ours"))
        elif owners.setdefault(record.fact.event_id, record.fact.org_id) != record.fact.org_id:
            rejected.append((record, _OF_ANOTHER))
        else:
            facts.append(record.fact)
    return facts, rejected


def _dead_letter(batch: SettlementBatch, record: ReceivedRecord, reason: str) -> OutboxMessage:
    """The record as it was. Its key and headers are text in the outbox, so what no text can hold is replaced in them."""
    headers = {
        **{_storable(name): _storable(value) for name, value in record.headers.items()},
        "x-original-topic": batch.topic,
        "x-original-partition": str(batch.partition),
        "x-original-offset": str(record.offset),
        "x-consumer": "accounts",
        "x-reason": reason,
    }
    topic = USAGE.dead_letters or f"{batch.topic}.dlq"
    return OutboxMessage(topic, _storable(record.key.decode("utf-8", "replace")), record.value, headers)


def _storable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _event_columns(facts: Sequence[UsageFact], now: datetime) -> dict[str, Any]:
    return {
        "event_ids": [fact.event_id for fact in facts],
        "ranks": numbers([fact.rank for fact in facts]),
        "generation_ids": f"{{{','.join([fact.generation_id for fact in facts])}}}",  # their form needs no quotation
        "org_ids": names([fact.org_id for fact in facts]),
        "key_ids": names([fact.key_id for fact in facts]),
        "models": texts([fact.model for fact in facts]),
        "providers": texts([fact.provider for fact in facts]),
        "endpoint_ids": texts([fact.endpoint_id for fact in facts]),
        "price_versions": texts([fact.price_version for fact in facts]),
        "prompt_tokens": numbers([fact.prompt_tokens for fact in facts]),
        "completion_tokens": numbers([fact.completion_tokens for fact in facts]),
        "costs": numbers([fact.cost for fact in facts]),
        "provider_costs": numbers([fact.provider_cost for fact in facts]),
        "hedges": texts([json.dumps(dict(fact.hedges)) if fact.hedges else "{}" for fact in facts]),
        "byok": flags([fact.is_byok for fact in facts]),
        "ended": moments([fact.ended_at for fact in facts]),
        "now": now,
    }


def _day_columns(postings: Postings) -> dict[str, Any]:
    days = sorted({*postings.key_day_spend, *postings.key_day_byok_spend})
    return {
        "key_ids": [key_id for key_id, _ in days],
        "org_ids": [postings.key_orgs[key_id] for key_id, _ in days],
        "days": [day for _, day in days],
        "nanos": [postings.key_day_spend.get(day, 0) for day in days],
        "byok": [postings.key_day_byok_spend.get(day, 0) for day in days],
    }
