"""API keys in PostgreSQL. Every change puts its record into the outbox, in the same transaction."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.outbox import enqueue
from accounts.adapters.postgres.rows import KEY_COLUMNS, ORG_COLUMNS, key_from_row, org_from_row
from accounts.domain.accounts import ApiKey, KeyChanges, KeySpend, Org
from accounts.domain.errors import AlreadyExistsError, NotFoundError
from accounts.records import key_message, key_tombstone

_INSERT = text(
    """
    INSERT INTO api_keys (key_id, org_id, digest, name, label, kind, disabled, limit_nano, idempotency_key,
                          created_at, updated_at, expires_at, revision)
    VALUES (:key_id, :org_id, :digest, :name, :label, :kind, :disabled, :limit, :idempotency_key,
            :created_at, :updated_at, :expires_at, :revision)
    """
)
# The columns are constants of this package; every value is a parameter.
_BY_DIGEST = text(
    f"SELECT {KEY_COLUMNS} FROM api_keys WHERE digest = :digest AND deleted_at IS NULL"  # noqa: S608 - constant columns
)
_ORG = text(f"SELECT {ORG_COLUMNS} FROM orgs WHERE org_id = :org_id")  # noqa: S608 - constant columns
_OWN = text(
    f"SELECT {KEY_COLUMNS} FROM api_keys WHERE digest = :digest AND org_id = :org_id AND deleted_at IS NULL"  # noqa: S608 - constant columns
)
_PAGE = text(
    f"""
    SELECT {KEY_COLUMNS} FROM api_keys
    WHERE org_id = :org_id AND deleted_at IS NULL AND (:include_disabled OR NOT disabled)
    ORDER BY created_at DESC, key_id LIMIT :limit OFFSET :offset
    """  # noqa: S608 - constant columns
)
_COUNT = text(
    """
    SELECT count(*) FROM api_keys
    WHERE org_id = :org_id AND deleted_at IS NULL AND (:include_disabled OR NOT disabled)
    """
)
_SPEND = text(
    """
    SELECT coalesce(sum(nano) FILTER (WHERE day = CAST(:today AS date)), 0) AS daily,
           coalesce(sum(nano) FILTER (WHERE day >= date_trunc('week', CAST(:today AS date))), 0) AS weekly,
           coalesce(sum(nano) FILTER (WHERE day >= date_trunc('month', CAST(:today AS date))), 0) AS monthly
    FROM key_spend_daily
    WHERE key_id = :key_id
      AND day >= least(date_trunc('week', CAST(:today AS date)), date_trunc('month', CAST(:today AS date)))
    """
)
_UPDATE = text(
    f"""
    UPDATE api_keys SET name = coalesce(:name, name), disabled = coalesce(:disabled, disabled),
        limit_nano = CASE WHEN :clear_limit THEN NULL ELSE coalesce(:limit, limit_nano) END,
        updated_at = :now, revision = revision + 1
    WHERE digest = :digest AND org_id = :org_id AND deleted_at IS NULL
    RETURNING {KEY_COLUMNS}
    """  # noqa: S608 - constant columns
)
_DELETE = text(
    """
    UPDATE api_keys SET deleted_at = :now, updated_at = :now, revision = revision + 1
    WHERE digest = :digest AND org_id = :org_id AND deleted_at IS NULL
    RETURNING key_id, revision
    """
)


class PostgresKeyStore:
    """The KeyStore in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey, idempotency_key: str | None) -> None:
        """Store a new key.

        Raises:
            NotFoundError: there is no such organisation.
            AlreadyExistsError: the organisation used the idempotency key before.
        """
        values = {
            "key_id": key.key_id,
            "org_id": key.org_id,
            "digest": key.digest,
            "name": key.name,
            "label": key.label,
            "kind": int(key.kind),
            "disabled": key.disabled,
            "limit": key.limit,
            "idempotency_key": idempotency_key,
            "created_at": key.created_at,
            "updated_at": key.updated_at,
            "expires_at": key.expires_at,
            "revision": key.revision,
        }
        try:
            async with self._database.transaction() as connection:
                await connection.execute(_INSERT, values)
                await enqueue(connection, [key_message(key, key.created_at)])
        except IntegrityError as error:
            if "idempotency_key" in str(error.orig):
                raise AlreadyExistsError("a key was made under this idempotency key") from None
            if "org_id" in str(error.orig):
                raise NotFoundError("no such organisation") from None
            raise

    async def resolve(self, digest: str) -> tuple[ApiKey, Org]:
        """Find a key with its organisation.

        Raises:
            NotFoundError: no key has this digest.
        """
        async with self._database.transaction() as connection:
            row = (await connection.execute(_BY_DIGEST, {"digest": digest})).one_or_none()
            if row is None:
                raise NotFoundError("no such key")
            org = (await connection.execute(_ORG, {"org_id": row.org_id})).one()
        return key_from_row(row), org_from_row(org)

    async def page(self, org_id: UUID, offset: int, limit: int, include_disabled: bool) -> tuple[list[ApiKey], int]:
        """Return keys of an organisation, newest first, and how many there are in all."""
        values = {"org_id": org_id, "include_disabled": include_disabled}
        async with self._database.transaction() as connection:
            page = await connection.execute(_PAGE, {**values, "limit": limit, "offset": offset})
            keys = [key_from_row(row) for row in page]
            total = (await connection.execute(_COUNT, values)).scalar_one()
        return keys, total

    async def get(self, org_id: UUID, digest: str, now: datetime) -> tuple[ApiKey, KeySpend]:
        """Return a key and what it spent.

        Raises:
            NotFoundError: the organisation has no such key.
        """
        async with self._database.transaction() as connection:
            row = (await connection.execute(_OWN, {"digest": digest, "org_id": org_id})).one_or_none()
            if row is None:
                raise NotFoundError("no such key")
            spend = (await connection.execute(_SPEND, {"key_id": row.key_id, "today": now.date()})).one()
        return key_from_row(row), KeySpend(int(spend.daily), int(spend.weekly), int(spend.monthly))

    async def update(self, org_id: UUID, digest: str, changes: KeyChanges, now: datetime) -> ApiKey:
        """Change a key.

        Raises:
            NotFoundError: the organisation has no such key.
        """
        values = {
            "org_id": org_id,
            "digest": digest,
            "name": changes.name,
            "disabled": changes.disabled,
            "limit": changes.limit,
            "clear_limit": changes.clear_limit,
            "now": now,
        }
        async with self._database.transaction() as connection:
            row = (await connection.execute(_UPDATE, values)).one_or_none()
            if row is None:
                raise NotFoundError("no such key")
            key = key_from_row(row)
            await enqueue(connection, [key_message(key, now)])
        return key

    async def delete(self, org_id: UUID, digest: str, now: datetime) -> None:
        """Delete a key.

        Raises:
            NotFoundError: the organisation has no such key.
        """
        values = {"org_id": org_id, "digest": digest, "now": now}
        async with self._database.transaction() as connection:
            row = (await connection.execute(_DELETE, values)).one_or_none()
            if row is None:
                raise NotFoundError("no such key")
            await enqueue(connection, [key_tombstone(digest, row.key_id, row.revision, now)])
