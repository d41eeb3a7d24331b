"""API keys in PostgreSQL. Every change puts its record into the outbox, in the same transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_spend import keys_from_rows
from accounts.adapters.postgres.member_lookup import check_members
from accounts.adapters.postgres.outbox import enqueue
from accounts.adapters.postgres.rows import KEY_COLUMNS, ORG_COLUMNS, org_from_row, rate_limits_to_json
from accounts.domain.accounts import ApiKey, KeyChanges, KeyFilter, Org
from accounts.domain.audit import AuditEvent, Values, differences
from accounts.domain.errors import AlreadyExistsError, InvalidFieldError, NotFoundError
from accounts.domain.people import Actor
from accounts.records import key_message, key_tombstone

_INSERT = text(
    """
    INSERT INTO api_keys (key_id, org_id, digest, name, label, kind, disabled, limit_nano, idempotency_key,
                          created_at, updated_at, expires_at, revision, limit_reset, include_byok_in_limit, logs_content,
                          creator_user_id, allowed_models, allowed_providers, ip_ranges, rate_limits, workspace_id,
                          pepper_id)
    VALUES (:key_id, :org_id, :digest, :name, :label, :kind, :disabled, :limit, :idempotency_key,
            :created_at, :updated_at, :expires_at, :revision, :limit_reset, :include_byok_in_limit, :logs_content,
            :creator_user_id, CAST(:allowed_models AS text[]), CAST(:allowed_providers AS text[]),
            CAST(:ip_ranges AS text[]), CAST(:rate_limits AS jsonb), :workspace_id, nullif(:pepper_id, ''))
    """
)
# Before the workspace, as everybody locks them: the foreign key of what is inserted locks the organisation, too.
_LOCK_ORG = text("SELECT 1 FROM orgs WHERE org_id = :org_id FOR KEY SHARE")
# Foreign keys look across organisations; this does not. Shared, so that the workspace is not deleted meanwhile.
_WORKSPACE = text(
    """
    SELECT 1 FROM workspaces WHERE org_id = :org_id AND workspace_id = :workspace_id AND deleted_at IS NULL FOR SHARE
    """
)
# The columns are constants of this package; every value is a parameter.
BY_DIGEST = text(
    f"""
    SELECT {KEY_COLUMNS} FROM api_keys
    WHERE (digest = ANY(CAST(:digests AS text[])) AND lookup_digest IS NULL
           OR lookup_digest = ANY(CAST(:digests AS text[]))) AND deleted_at IS NULL
    """  # noqa: S608 - constant columns
)
# Whoever moves the same key at the same time waits for the row, and then finds that it is looked up by another digest. To the digest
# that it had first no key goes back: edges take what was buried once for gone.
_MOVE = text(
    f"""
    UPDATE api_keys SET lookup_digest = :digest, pepper_id = :pepper_id, revision = revision + 1
    WHERE (digest = :previous AND lookup_digest IS NULL OR lookup_digest = :previous) AND deleted_at IS NULL
      AND NOT EXISTS (SELECT FROM api_keys AS other WHERE other.digest = :digest)
    RETURNING {KEY_COLUMNS}
    """  # noqa: S608 - constant columns
)
_COUNT_UNDER_OTHERS = text(
    """
    SELECT count(*) FROM api_keys
    WHERE pepper_id IS DISTINCT FROM :pepper_id AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
    """
)
_ORGS = text(f"SELECT {ORG_COLUMNS} FROM orgs WHERE org_id = ANY(CAST(:org_ids AS uuid[]))")  # noqa: S608 - constant columns
_OWN = text(
    f"SELECT {KEY_COLUMNS} FROM api_keys WHERE digest = :digest AND org_id = :org_id AND deleted_at IS NULL"  # noqa: S608 - constant columns
)
_LOCK = text(
    f"SELECT {KEY_COLUMNS} FROM api_keys WHERE digest = :digest AND org_id = :org_id AND deleted_at IS NULL FOR UPDATE"  # noqa: S608 - constant columns
)
_PAGE = text(
    f"""
    SELECT {KEY_COLUMNS} FROM api_keys
    WHERE org_id = :org_id AND deleted_at IS NULL AND (:include_disabled OR NOT disabled)
      AND (CAST(:workspace_id AS uuid) IS NULL OR workspace_id = :workspace_id)
      AND (:creator = '' OR creator_user_id = :creator)
    ORDER BY created_at DESC, key_id LIMIT :limit OFFSET :offset
    """  # noqa: S608 - constant columns
)
_COUNT = text(
    """
    SELECT count(*) FROM api_keys
    WHERE org_id = :org_id AND deleted_at IS NULL AND (:include_disabled OR NOT disabled)
      AND (CAST(:workspace_id AS uuid) IS NULL OR workspace_id = :workspace_id)
      AND (:creator = '' OR creator_user_id = :creator)
    """
)
_UPDATE = text(
    f"""
    UPDATE api_keys SET name = coalesce(:name, name), disabled = coalesce(:disabled, disabled),
        limit_nano = CASE WHEN :clear_limit THEN NULL ELSE coalesce(:limit, limit_nano) END,
        limit_reset = coalesce(:limit_reset, limit_reset),
        include_byok_in_limit = coalesce(:include_byok_in_limit, include_byok_in_limit),
        logs_content = coalesce(:logs_content, logs_content),
        allowed_models = coalesce(CAST(:allowed_models AS text[]), allowed_models),
        allowed_providers = coalesce(CAST(:allowed_providers AS text[]), allowed_providers),
        ip_ranges = coalesce(CAST(:ip_ranges AS text[]), ip_ranges),
        rate_limits = coalesce(CAST(:rate_limits AS jsonb), rate_limits),
        updated_at = :now, revision = revision + 1
    WHERE digest = :digest AND org_id = :org_id AND deleted_at IS NULL
    RETURNING {KEY_COLUMNS}
    """  # noqa: S608 - constant columns
)
_DELETE = text(
    """
    UPDATE api_keys SET deleted_at = :now, updated_at = :now, revision = revision + 1
    WHERE digest = :digest AND org_id = :org_id AND deleted_at IS NULL
    RETURNING key_id, revision, name, label, coalesce(lookup_digest, digest) AS looked_up_by
    """
)


class PostgresKeyStore:
    """The KeyStore in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog) -> None:
        self._database = database
        self._audit = audit

    async def add(self, key: ApiKey, idempotency_key: str | None, actor: Actor) -> None:
        """Store a new key.

        Raises:
            NotFoundError: there is no such organisation.
            InvalidFieldError: the organisation has no such workspace, or no such member as who makes it.
            AlreadyExistsError: the organisation used the idempotency key before.
        """
        values = {
            "workspace_id": key.workspace_id or key.org_id,
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
            "limit_reset": int(key.settings.limit_reset),
            "include_byok_in_limit": key.settings.include_byok_in_limit,
            "logs_content": key.settings.logs_content,
            "creator_user_id": key.settings.creator_user_id,
            "allowed_models": list(key.settings.allowed_models),
            "allowed_providers": list(key.settings.allowed_providers),
            "ip_ranges": list(key.settings.ip_ranges),
            "rate_limits": rate_limits_to_json(key.settings.rate_limits),
            "pepper_id": key.pepper_id,
        }
        try:
            async with self._database.transaction(key.org_id) as connection:
                if (await connection.execute(_LOCK_ORG, values)).one_or_none() is None:
                    raise NotFoundError("no such organisation")
                if (await connection.execute(_WORKSPACE, values)).one_or_none() is None:
                    raise InvalidFieldError("workspace_id", "names no workspace of the organisation")
                creator = key.settings.creator_user_id
                await check_members(connection, key.org_id, "creator_user_id", [creator] if creator else [])
                await connection.execute(_INSERT, values)
                await enqueue(connection, [key_message(key, key.created_at)])
                event = AuditEvent(actor, "key.created", _target(key.key_id), after=_state(key))
                await self._audit.append(connection, key.org_id, event, key.created_at)
        except IntegrityError as error:
            if "idempotency_key" in str(error.orig):
                raise AlreadyExistsError("a key was made under this idempotency key") from None
            if "org_id" in str(error.orig):
                raise NotFoundError("no such organisation") from None
            raise

    async def resolve(self, digests: Collection[str], now: datetime) -> Mapping[str, tuple[ApiKey, Org]]:
        """Find keys with their organisations, by digest; what is not among them does not exist."""
        async with self._database.installation_transaction() as connection:
            rows = (await connection.execute(BY_DIGEST, {"digests": list(digests)})).all()
            if not rows:
                return {}
            found = await connection.execute(_ORGS, {"org_ids": list({row.org_id for row in rows})})
            orgs = {row.org_id: org_from_row(row) for row in found}
            keys = await keys_from_rows(connection, rows, now.date())
        return {key.looked_up_by: (key, orgs[key.org_id]) for key in keys}

    async def page(
        self, org_id: UUID, offset: int, limit: int, wanted: KeyFilter, now: datetime
    ) -> tuple[list[ApiKey], int]:
        """Return keys of an organisation, newest first, and how many there are in all."""
        values = {
            "org_id": org_id,
            "include_disabled": wanted.include_disabled,
            "workspace_id": wanted.workspace_id,
            "creator": wanted.creator_user_id,
        }
        async with self._database.transaction(org_id) as connection:
            page = await connection.execute(_PAGE, {**values, "limit": limit, "offset": offset})
            keys = await keys_from_rows(connection, page, now.date())
            total = (await connection.execute(_COUNT, values)).scalar_one()
        return keys, total

    async def get(self, org_id: UUID, digest: str, now: datetime) -> ApiKey:
        """Return a key and what it spent.

        Raises:
            NotFoundError: the organisation has no such key.
        """
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(_OWN, {"digest": digest, "org_id": org_id})).one_or_none()
            if row is None:
                raise NotFoundError("no such key")
            (key,) = await keys_from_rows(connection, [row], now.date())
        return key

    async def update(self, org_id: UUID, digest: str, changes: KeyChanges, actor: Actor, now: datetime) -> ApiKey:
        """Change a key.

        Raises:
            NotFoundError: the organisation has no such key.
        """
        settings = changes.settings
        values = {
            "org_id": org_id,
            "digest": digest,
            "name": changes.name,
            "disabled": changes.disabled,
            "limit": changes.limit,
            "clear_limit": changes.clear_limit,
            "limit_reset": None if settings.limit_reset is None else int(settings.limit_reset),
            "include_byok_in_limit": settings.include_byok_in_limit,
            "logs_content": settings.logs_content,
            "allowed_models": _listed(settings.allowed_models),
            "allowed_providers": _listed(settings.allowed_providers),
            "ip_ranges": _listed(settings.ip_ranges),
            "rate_limits": None if settings.rate_limits is None else rate_limits_to_json(settings.rate_limits),
            "now": now,
        }
        async with self._database.transaction(org_id) as connection:
            found = (await connection.execute(_LOCK, values)).one_or_none()
            if found is None:
                raise NotFoundError("no such key")
            before, after = await keys_from_rows(
                connection, [found, (await connection.execute(_UPDATE, values)).one()], now.date()
            )
            await enqueue(connection, [key_message(after, now)])
            event = AuditEvent(actor, "key.changed", _target(after.key_id), *differences(_state(before), _state(after)))
            await self._audit.append(connection, org_id, event, now)
        return after

    async def delete(self, org_id: UUID, digest: str, actor: Actor, now: datetime) -> None:
        """Delete a key.

        Raises:
            NotFoundError: the organisation has no such key.
        """
        values = {"org_id": org_id, "digest": digest, "now": now}
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(_DELETE, values)).one_or_none()
            if row is None:
                raise NotFoundError("no such key")
            await enqueue(connection, [key_tombstone(row.looked_up_by, row.key_id, row.revision, now)])
            event = AuditEvent(actor, "key.deleted", _target(row.key_id), {"name": row.name, "label": row.label})
            await self._audit.append(connection, org_id, event, now)

    async def move(self, previous_digest: str, digest: str, pepper_id: str, now: datetime) -> bool:
        """Have a key looked up by another digest, and by that one alone.

        Returns:
            Whether it was moved: a key is looked up by the previous digest, and none has the other one.
        """
        values = {"previous": previous_digest, "digest": digest, "pepper_id": pepper_id}
        try:
            async with self._database.installation_transaction() as connection:
                row = (await connection.execute(_MOVE, values)).one_or_none()
                if row is None:
                    return False
                (key,) = await keys_from_rows(connection, [row], now.date())
                # The new one first: between the two an edge knows the key twice rather than not at all.
                tombstone = key_tombstone(previous_digest, key.key_id, key.revision, now)
                await enqueue(connection, [key_message(key, now), tombstone])
        except IntegrityError as error:
            if "lookup_digest" in str(error.orig):
                return False
            raise
        return True

    async def count_under_others(self, pepper_id: str, now: datetime) -> int:
        """Count keys that could be used and are looked up under another pepper than this one."""
        async with self._database.installation_transaction() as connection:
            values = {"pepper_id": pepper_id, "now": now}
            return int((await connection.execute(_COUNT_UNDER_OTHERS, values)).scalar_one())


def _listed(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)


def _target(key_id: UUID) -> str:
    return f"key/{key_id}"


def _state(key: ApiKey) -> Values:
    """What the audit log says of a key: how it is called and what it may do; neither the key nor its digest."""
    settings = key.settings
    return {
        "name": key.name,
        "label": key.label,
        "kind": key.kind.name.lower(),
        "disabled": key.disabled,
        "limit_nano_usd": key.limit,
        "limit_reset": settings.limit_reset.name.lower(),
        "include_byok_in_limit": settings.include_byok_in_limit,
        "logs_content": settings.logs_content,
        "workspace_id": str(key.workspace_id or key.org_id),
        "creator_user_id": settings.creator_user_id,
        "allowed_models": list(settings.allowed_models),
        "allowed_providers": list(settings.allowed_providers),
        "ip_ranges": list(settings.ip_ranges),
        "rate_limits": rate_limits_to_json(settings.rate_limits),
        "expires_at": None if key.expires_at is None else key.expires_at.isoformat(),
    }
