"""Destinations of broadcast in PostgreSQL, sealed. The database counts every change of theirs in one row of revisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.destination_rows import (
    DESTINATION_COLUMNS,
    SEALED_COLUMNS,
    columns_of,
    destination_from_row,
    sealed_columns_of,
    sealed_from_row,
)
from accounts.adapters.postgres.workspace_lookup import check_workspace
from accounts.domain.audit import AuditEvent
from accounts.domain.destinations import MAX_OF_TYPE, ChangedDestination, Destination, StoredDestination
from accounts.domain.errors import AlreadyExistsError, ForbiddenError, InvalidFieldError, NotFoundError
from accounts.domain.people import Actor
from contracts.sealed_secrets import SealedSecret

# The columns are constants; every value is a parameter.
_LOCK_ORG = text("SELECT 1 FROM orgs WHERE org_id = :org_id FOR UPDATE")
_COUNT = text(
    """
    SELECT count(*) FROM destinations
    WHERE org_id = :org_id AND workspace_id = :workspace_id AND type = :type AND deleted_at IS NULL
    """
)
_INSERT = text(
    f"""
    INSERT INTO destinations ({DESTINATION_COLUMNS}, {SEALED_COLUMNS})
    VALUES (:destination_id, :org_id, :workspace_id, :type, :name, :enabled, :privacy_mode, :sampling_rate,
            CAST(:allowed_digests AS text[]), :filter_rules, :broadcasts_cost, :broadcasts_identity,
            :broadcasts_request_context, :created_at, :updated_at, :version,
            :kek_id, :wrapped_key, :key_nonce, :ciphertext, :nonce)
    """  # noqa: S608 - constant columns
)
_BROADCAST = text(
    """
    UPDATE workspaces SET is_observability_broadcast_enabled = true
    WHERE org_id = :org_id AND workspace_id = :workspace_id AND NOT is_observability_broadcast_enabled
    """
)
_PAGE = text(
    f"""
    SELECT {DESTINATION_COLUMNS}, {SEALED_COLUMNS} FROM destinations
    WHERE org_id = :org_id AND workspace_id = :workspace_id AND deleted_at IS NULL
    ORDER BY created_at, destination_id LIMIT :limit OFFSET :offset
    """  # noqa: S608 - constant columns
)
_TOTAL = text(
    "SELECT count(*) FROM destinations WHERE org_id = :org_id AND workspace_id = :workspace_id AND deleted_at IS NULL"
)
_GET = text(
    f"""
    SELECT {DESTINATION_COLUMNS}, {SEALED_COLUMNS} FROM destinations
    WHERE org_id = :org_id AND destination_id = :destination_id AND deleted_at IS NULL
    """  # noqa: S608 - constant columns
)
# Switching it on again is a new start for one that was given up.
_UPDATE = text(
    """
    UPDATE destinations SET name = :name, enabled = :enabled, privacy_mode = :privacy_mode, sampling_rate = :sampling_rate,
        allowed_digests = CAST(:allowed_digests AS text[]), filter_rules = :filter_rules,
        broadcasts_cost = :broadcasts_cost, broadcasts_identity = :broadcasts_identity,
        broadcasts_request_context = :broadcasts_request_context, updated_at = :updated_at, version = :version,
        kek_id = :kek_id, wrapped_key = :wrapped_key, key_nonce = :key_nonce, ciphertext = :ciphertext, nonce = :nonce,
        stopped_at = CASE WHEN :enabled THEN NULL ELSE stopped_at END
    WHERE org_id = :org_id AND destination_id = :destination_id AND deleted_at IS NULL
      AND version = :known_version AND updated_at = :known_updated_at
    RETURNING destination_id
    """
)
# The row stays, because deliveries name it; of the configuration nothing does.
_DELETE = text(
    """
    UPDATE destinations SET deleted_at = :now, enabled = false, wrapped_key = '', key_nonce = '', ciphertext = '',
        nonce = '', filter_rules = NULL
    WHERE org_id = :org_id AND destination_id = :destination_id AND deleted_at IS NULL
    RETURNING destination_id
    """
)
_CHANGED = text(
    f"""
    SELECT {DESTINATION_COLUMNS}, {SEALED_COLUMNS}, revision,
           enabled AND destinations.deleted_at IS NULL AND coalesce((
               SELECT is_observability_broadcast_enabled AND workspaces.deleted_at IS NULL FROM workspaces
               WHERE workspaces.org_id = destinations.org_id AND workspaces.workspace_id = destinations.workspace_id
           ), false) AS active
    FROM destinations WHERE revision > :after ORDER BY revision LIMIT :limit
    """  # noqa: S608 - constant columns
)
_OTHER_KEKS = text(
    f"""
    SELECT {DESTINATION_COLUMNS}, {SEALED_COLUMNS} FROM destinations
    WHERE kek_id <> :current AND deleted_at IS NULL ORDER BY destination_id LIMIT :limit
    """  # noqa: S608 - constant columns
)
_RESEAL = text(
    """
    UPDATE destinations SET kek_id = :kek_id, wrapped_key = :wrapped_key, key_nonce = :key_nonce, ciphertext = :ciphertext,
        nonce = :nonce
    WHERE org_id = :org_id AND destination_id = :destination_id AND version = :version AND deleted_at IS NULL
    """
)
_OWN_DIGESTS = text(
    """
    SELECT count(*) FROM api_keys
    WHERE org_id = :org_id AND workspace_id = :workspace_id AND digest = ANY(CAST(:digests AS text[])) AND deleted_at IS NULL
    """
)


class PostgresDestinationStore:
    """The DestinationStore in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog) -> None:
        self._database = database
        self._audit = audit

    async def add(self, destination: Destination, sealed: SealedSecret, actor: Actor) -> None:
        """Store a destination, and switch broadcasting on in its workspace when it is enabled.

        Raises:
            NotFoundError: there is no such organisation.
            ForbiddenError: the workspace has as many of the type as there may be.
            InvalidFieldError: it names a workspace or an API key that is not the organisation's.
        """
        values, org_id = columns_of(destination), destination.org_id
        try:
            async with self._database.transaction(org_id) as connection:
                # Of two that are stored at once, the second waits here.
                if (await connection.execute(_LOCK_ORG, values)).one_or_none() is None:
                    raise NotFoundError("no such organisation")
                await check_workspace(connection, org_id, destination.workspace_id)
                if (await connection.execute(_COUNT, values)).scalar_one() >= MAX_OF_TYPE:
                    raise ForbiddenError(f"a workspace has at most {MAX_OF_TYPE} destinations of a type")
                await _check_digests(connection, destination)
                await connection.execute(_INSERT, {**values, **sealed_columns_of(sealed)})
                if destination.fields.enabled:
                    await connection.execute(_BROADCAST, values)
                await self._audit.append(
                    connection, org_id, _event(actor, "created", None, destination), destination.created_at
                )
        except IntegrityError:
            raise NotFoundError("no such organisation") from None

    async def page(
        self, org_id: UUID, workspace_id: UUID, offset: int, limit: int
    ) -> tuple[list[StoredDestination], int]:
        """Return destinations of a workspace, the oldest first, and how many there are."""
        values = {"org_id": org_id, "workspace_id": workspace_id}
        async with self._database.transaction(org_id) as connection:
            await check_workspace(connection, org_id, workspace_id)
            rows = list(await connection.execute(_PAGE, {**values, "limit": limit, "offset": offset}))
            total = (await connection.execute(_TOTAL, values)).scalar_one()
        return [_stored(row) for row in rows], total

    async def get(self, org_id: UUID, destination_id: UUID) -> StoredDestination:
        """Return a destination.

        Raises:
            NotFoundError: the organisation has no such destination.
        """
        async with self._database.transaction(org_id) as connection:
            values = {"org_id": org_id, "destination_id": destination_id}
            row = (await connection.execute(_GET, values)).one_or_none()
        if row is None:
            raise NotFoundError("no such destination")
        return _stored(row)

    async def replace(self, known: Destination, changed: Destination, sealed: SealedSecret, actor: Actor) -> None:
        """Store what a destination is now.

        Raises:
            AlreadyExistsError: somebody changed it meanwhile.
            InvalidFieldError: it names an API key that is not the workspace's.
        """
        values = {**columns_of(changed), **sealed_columns_of(sealed)}
        values |= {"known_version": known.version, "known_updated_at": known.updated_at}
        async with self._database.transaction(known.org_id) as connection:
            await _check_digests(connection, changed)
            if (await connection.execute(_UPDATE, values)).one_or_none() is None:
                raise AlreadyExistsError("the destination was changed meanwhile")
            event = _event(actor, "changed", known, changed)
            await self._audit.append(connection, known.org_id, event, changed.updated_at)

    async def delete(self, org_id: UUID, destination_id: UUID, actor: Actor, now: datetime) -> None:
        """Delete a destination, with all that was stored of its configuration.

        Raises:
            NotFoundError: the organisation has no such destination.
        """
        values = {"org_id": org_id, "destination_id": destination_id, "now": now}
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(_GET, values)).one_or_none()
            if row is None or (await connection.execute(_DELETE, values)).one_or_none() is None:
                raise NotFoundError("no such destination")
            event = _event(actor, "deleted", destination_from_row(row), None)
            await self._audit.append(connection, org_id, event, now)

    async def changed(self, after_revision: int, limit: int) -> Sequence[ChangedDestination]:
        """Return destinations of everybody that changed, in the order of their revisions."""
        async with self._database.installation_transaction() as connection:
            rows = await connection.execute(_CHANGED, {"after": after_revision, "limit": limit})
            return [
                ChangedDestination(
                    destination_from_row(row), sealed_from_row(row) if row.active else None, row.active, row.revision
                )
                for row in rows
            ]

    async def under_other_keks(self, current: str, limit: int) -> Sequence[StoredDestination]:
        """Return destinations whose data key is not under this key-encryption key."""
        async with self._database.installation_transaction() as connection:
            rows = await connection.execute(_OTHER_KEKS, {"current": current, "limit": limit})
            return [_stored(row) for row in rows]

    async def rewrap(self, destination: Destination, sealed: SealedSecret) -> None:
        """Store the data key under another key-encryption key. That counts as a change: senders get it anew."""
        async with self._database.transaction(destination.org_id) as connection:
            await connection.execute(_RESEAL, {**columns_of(destination), **sealed_columns_of(sealed)})


async def _check_digests(connection: AsyncConnection, destination: Destination) -> None:
    digests = set(destination.fields.allowed_digests or ())
    if not digests:
        return
    values = {"org_id": destination.org_id, "workspace_id": destination.workspace_id, "digests": list(digests)}
    if (await connection.execute(_OWN_DIGESTS, values)).scalar_one() < len(digests):
        raise InvalidFieldError("api_key_hashes", "must name API keys of the workspace")


def _event(actor: Actor, verb: str, before: Destination | None, after: Destination | None) -> AuditEvent:
    subject = after or before
    if subject is None:
        raise ValueError("an event is about something")
    was = {} if before is None else before.state()
    now = {} if after is None else after.state()
    names = {name for name in {*was, *now} if was.get(name) != now.get(name)} if was and now else {*was, *now}
    return AuditEvent(
        actor,
        f"destination.{verb}",
        f"destination/{subject.destination_id}",
        {name: value for name, value in was.items() if name in names},
        {name: value for name, value in now.items() if name in names},
    )


def _stored(row: Any) -> StoredDestination:
    return StoredDestination(destination_from_row(row), sealed_from_row(row))
