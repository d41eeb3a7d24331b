"""Guardrails in PostgreSQL. Every change puts what it changes of guardrails and keys into the outbox, in the same transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from google.protobuf import json_format
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres import guardrail_sql as sql
from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_spend import keys_from_rows
from accounts.adapters.postgres.member_lookup import check_members
from accounts.adapters.postgres.outbox import enqueue
from accounts.adapters.postgres.rows import KEY_COLUMNS, guardrail_from_row
from accounts.adapters.postgres.workspace_lookup import check_workspace, workspaces_of
from accounts.domain.audit import AuditEvent, differences
from accounts.domain.errors import AlreadyExistsError, InvalidFieldError, NotFoundError
from accounts.domain.guardrail_rules import Assignment, AssignmentKind, Subjects
from accounts.domain.people import Actor
from accounts.records import guardrail_message, guardrail_tombstone, key_message
from contracts.guardrails import Guardrail, policy_to_proto

_LOCK_KEYS = text("SELECT key_id FROM api_keys WHERE key_id = ANY(CAST(:key_ids AS uuid[])) ORDER BY key_id FOR UPDATE")
_TOUCH_KEYS = text(
    f"""
    UPDATE api_keys SET revision = revision + 1 WHERE key_id = ANY(CAST(:key_ids AS uuid[])) AND deleted_at IS NULL
    RETURNING {KEY_COLUMNS}
    """  # noqa: S608 - constant columns
)


class PostgresGuardrailStore:
    """The GuardrailStore in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog) -> None:
        self._database = database
        self._audit = audit

    async def add(self, guardrail: Guardrail, actor: Actor) -> None:
        """Store a new guardrail.

        Raises:
            NotFoundError: there is no such organisation.
            InvalidFieldError: the organisation has no such workspace.
            AlreadyExistsError: somebody made the default of the workspace first.
        """
        try:
            at = guardrail.updated_at or guardrail.created_at
            async with self._database.transaction(UUID(guardrail.org_id)) as connection:
                await check_workspace(connection, UUID(guardrail.org_id), UUID(guardrail.workspace_id))
                await connection.execute(sql.INSERT, _columns(guardrail))
                await enqueue(connection, [guardrail_message(guardrail, at)])
                event = AuditEvent(actor, "guardrail.created", _target(guardrail.guardrail_id), after=_state(guardrail))
                await self._audit.append(connection, UUID(guardrail.org_id), event, at)
        except IntegrityError as error:
            if "guardrails_pkey" in str(error.orig):
                raise AlreadyExistsError("the guardrail was changed meanwhile") from None
            raise NotFoundError("no such organisation") from None

    async def page(self, org_id: UUID, workspace_id: UUID, offset: int, limit: int) -> tuple[list[Guardrail], int]:
        """Return guardrails of a workspace, newest first, and how many there are in all."""
        values = {"org_id": org_id, "workspace_id": workspace_id}
        async with self._database.transaction(org_id) as connection:
            await check_workspace(connection, org_id, workspace_id)
            rows = await connection.execute(sql.PAGE, {**values, "limit": limit, "offset": offset})
            guardrails = [guardrail_from_row(row) for row in rows]
            total = (await connection.execute(sql.COUNT, values)).scalar_one()
        return guardrails, total

    async def get(self, org_id: UUID, guardrail_id: UUID) -> Guardrail:
        """Return a guardrail.

        Raises:
            NotFoundError: the organisation has no such guardrail.
        """
        async with self._database.transaction(org_id) as connection:
            return await _get(connection, org_id, guardrail_id)

    async def workspaces(self, org_id: UUID) -> list[UUID]:
        """Return the workspaces of an organisation."""
        async with self._database.transaction(org_id) as connection:
            return await workspaces_of(connection, org_id)

    async def replace(self, guardrail: Guardrail, actor: Actor) -> None:
        """Store the next revision of a guardrail.

        Raises:
            NotFoundError: the organisation has no such guardrail.
            AlreadyExistsError: it has that revision already.
        """
        org_id, at = UUID(guardrail.org_id), guardrail.updated_at or guardrail.created_at
        async with self._database.transaction(org_id) as connection:
            # What is replaced is the revision that this one follows, so what was read here is what was.
            known = await _get(connection, org_id, UUID(guardrail.guardrail_id))
            if (await connection.execute(sql.REPLACE, _columns(guardrail))).one_or_none() is None:
                raise AlreadyExistsError("the guardrail was changed meanwhile")
            await enqueue(connection, [guardrail_message(guardrail, at)])
            event = AuditEvent(
                actor,
                "guardrail.changed",
                _target(guardrail.guardrail_id),
                *differences(_state(known), _state(guardrail)),
            )
            await self._audit.append(connection, org_id, event, at)

    async def delete(self, org_id: UUID, guardrail_id: UUID, actor: Actor, now: datetime) -> None:
        """Delete a guardrail and its assignments.

        Raises:
            NotFoundError: the organisation has no such guardrail.
        """
        values = {"org_id": org_id, "guardrail_id": guardrail_id}
        async with self._database.transaction(org_id) as connection:
            known = await _get(connection, org_id, guardrail_id)
            row = (await connection.execute(sql.DELETE, {**values, "now": now})).one_or_none()
            if row is None:
                raise NotFoundError("no such guardrail")
            freed = await _free(connection, values, Subjects((), ()), now, everybody=True)
            await enqueue(connection, [guardrail_tombstone(str(guardrail_id), row.revision, now)])
            before = _state(known) | _bound(freed)
            event = AuditEvent(actor, "guardrail.deleted", _target(str(guardrail_id)), before)
            await self._audit.append(connection, org_id, event, now)

    async def assign(self, org_id: UUID, assignments: Sequence[Assignment], actor: Actor, now: datetime) -> int:
        """Bind keys and members, all or none, and return how many.

        Raises:
            NotFoundError: the organisation has no such guardrail.
            InvalidFieldError: it has no such key, or no such member.
        """
        if not assignments:
            return 0
        guardrail_id = UUID(assignments[0].guardrail_id)
        of_keys = {each.key_digest: each for each in assignments if each.key_digest}
        of_members = [each for each in assignments if each.user_id]
        values = {
            "org_id": org_id,
            "guardrail_id": guardrail_id,
            "assigned_by": assignments[0].assigned_by,
            "now": now,
        }
        async with self._database.transaction(org_id) as connection:
            await _get(connection, org_id, guardrail_id)
            found = await connection.execute(sql.KEYS_BY_DIGEST, {"org_id": org_id, "digests": list(of_keys)})
            keys = {row.digest: row.key_id for row in found}
            if len(keys) < len(of_keys):
                raise InvalidFieldError("key_hashes", "must name API keys of the organisation")
            user_ids = [each.user_id for each in of_members]
            await check_members(connection, org_id, "member_user_ids", user_ids)
            if keys:
                ids = [UUID(of_keys[digest].assignment_id) for digest in keys]
                await connection.execute(
                    sql.BIND_KEYS, {**values, "key_ids": list(keys.values()), "assignment_ids": ids}
                )
            if of_members:
                ids = [UUID(each.assignment_id) for each in of_members]
                await connection.execute(sql.BIND_MEMBERS, {**values, "user_ids": user_ids, "assignment_ids": ids})
            await _publish_keys(connection, org_id, keys.values(), user_ids, now)
            after = _bound((list(keys.values()), user_ids))
            event = AuditEvent(actor, "guardrail.assigned", _target(str(guardrail_id)), after=after)
            await self._audit.append(connection, org_id, event, now)
        return len(assignments)

    async def unassign(self, org_id: UUID, guardrail_id: UUID, subjects: Subjects, actor: Actor, now: datetime) -> int:
        """Free keys and members, and return how many were bound.

        Raises:
            NotFoundError: the organisation has no such guardrail.
            InvalidFieldError: it has no such key, or no such member. Those who are bound may have gone since.
        """
        values = {"org_id": org_id, "guardrail_id": guardrail_id}
        async with self._database.transaction(org_id) as connection:
            await _get(connection, org_id, guardrail_id)
            await _check_subjects(connection, org_id, subjects)
            freed = await _free(connection, values, subjects, now, everybody=False)
            if freed[0] or freed[1]:
                event = AuditEvent(actor, "guardrail.unassigned", _target(str(guardrail_id)), _bound(freed))
                await self._audit.append(connection, org_id, event, now)
        return len(freed[0]) + len(freed[1])

    async def assignments(
        self, org_id: UUID, guardrail_id: UUID | None, kind: AssignmentKind, offset: int, limit: int
    ) -> tuple[list[Assignment], int]:
        """Return assignments, newest first, and how many there are in all.

        Raises:
            NotFoundError: the organisation has no such guardrail.
        """
        statement = sql.ASSIGNED_KEYS if kind is AssignmentKind.KEY else sql.ASSIGNED_MEMBERS
        values = {"org_id": org_id, "guardrail_id": guardrail_id}
        async with self._database.transaction(org_id) as connection:
            if guardrail_id is not None:
                await _get(connection, org_id, guardrail_id)
            rows = list(await connection.execute(statement, {**values, "limit": limit, "offset": offset}))
            total = rows[0].total if rows else 0
            if not rows and offset:
                first = list(await connection.execute(statement, {**values, "limit": 1, "offset": 0}))
                total = first[0].total if first else 0
        return [_assignment(row) for row in rows], total


async def _get(connection: AsyncConnection, org_id: UUID, guardrail_id: UUID) -> Guardrail:
    row = (await connection.execute(sql.GET, {"org_id": org_id, "guardrail_id": guardrail_id})).one_or_none()
    if row is None:
        raise NotFoundError("no such guardrail")
    return guardrail_from_row(row)


async def _free(
    connection: AsyncConnection,
    values: dict[str, UUID],
    subjects: Subjects,
    now: datetime,
    *,
    everybody: bool,
) -> tuple[list[UUID], list[str]]:
    """Free keys and members; returns which were bound."""
    named = {"digests": list(subjects.key_digests), "user_ids": list(subjects.user_ids), "everybody": everybody}
    key_ids = list((await connection.execute(sql.FREE_KEYS, values | named)).scalars())
    freed = list((await connection.execute(sql.FREE_MEMBERS, values | named)).scalars())
    await _publish_keys(connection, values["org_id"], key_ids, freed, now)
    return key_ids, freed


async def _check_subjects(connection: AsyncConnection, org_id: UUID, subjects: Subjects) -> None:
    digests, user_ids = set(subjects.key_digests), set(subjects.user_ids)
    if digests:
        values = {"org_id": org_id, "digests": list(digests)}
        if (await connection.execute(sql.COUNT_EVER_KEYS, values)).scalar_one() < len(digests):
            raise InvalidFieldError("key_hashes", "must name API keys of the organisation")
    if user_ids:
        values = {"org_id": org_id, "user_ids": list(user_ids)}
        bound = set((await connection.execute(sql.BOUND_MEMBERS, values)).scalars())
        await check_members(connection, org_id, "member_user_ids", user_ids - bound)


async def _publish_keys(
    connection: AsyncConnection, org_id: UUID, key_ids: Iterable[UUID], user_ids: Sequence[str], now: datetime
) -> None:
    """Publish keys anew, and every key of some members, because what binds them has changed."""
    touched = set(key_ids)
    if user_ids:
        of_members = await connection.execute(sql.KEYS_OF_MEMBERS, {"org_id": org_id, "user_ids": list(user_ids)})
        touched.update(of_members.scalars())
    if not touched:
        return
    await connection.execute(_LOCK_KEYS, {"key_ids": sorted(touched)})
    rows = await connection.execute(_TOUCH_KEYS, {"key_ids": sorted(touched)})
    keys = await keys_from_rows(connection, rows, now.date())
    await enqueue(connection, [key_message(key, now) for key in keys])


def _target(guardrail_id: str) -> str:
    return f"guardrail/{guardrail_id}"


def _state(guardrail: Guardrail) -> dict[str, Any]:
    """What the audit log says of a guardrail: all of it, since it is the settings of an organisation."""
    return {
        "name": guardrail.name,
        "description": guardrail.description,
        "workspace_id": guardrail.workspace_id,
        "policy": json_format.MessageToDict(policy_to_proto(guardrail.policy)),
    }


def _bound(subjects: tuple[Sequence[UUID], Sequence[str]]) -> dict[str, Any]:
    key_ids, user_ids = subjects
    return {"key_ids": sorted(map(str, key_ids)), "user_ids": sorted(user_ids)}


def _columns(guardrail: Guardrail) -> dict[str, Any]:
    return {
        "guardrail_id": UUID(guardrail.guardrail_id),
        "org_id": UUID(guardrail.org_id),
        "workspace_id": UUID(guardrail.workspace_id),
        "name": guardrail.name,
        "description": guardrail.description,
        "is_workspace_default": guardrail.is_workspace_default,
        "policy": json.dumps(json_format.MessageToDict(policy_to_proto(guardrail.policy))),
        "limit_nano": guardrail.policy.limit,
        "created_at": guardrail.created_at,
        "updated_at": guardrail.updated_at,
        "revision": guardrail.revision,
    }


def _assignment(row: Any) -> Assignment:
    return Assignment(
        assignment_id=str(row.assignment_id),
        guardrail_id=str(row.guardrail_id),
        created_at=row.created_at,
        key_digest=row.digest,
        key_name=row.name,
        key_label=row.label,
        user_id=row.user_id,
        assigned_by=row.assigned_by,
    )
