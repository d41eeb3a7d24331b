"""Customers' own provider keys in PostgreSQL, sealed. Every change counts up the revision that edges and routers compare."""

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
from accounts.adapters.postgres.member_lookup import check_members
from accounts.adapters.postgres.outbox import enqueue
from accounts.adapters.postgres.rows import ORG_COLUMNS, org_from_row
from accounts.adapters.postgres.workspace_lookup import check_workspace
from accounts.domain.audit import AuditEvent, differences
from accounts.domain.byok import MAX_KEYS_OF_ORG, ByokFields, ByokKey, ResolvedByokKey
from accounts.domain.errors import AlreadyExistsError, InvalidFieldError, NotFoundError
from accounts.domain.people import Actor
from accounts.records import org_message
from contracts.sealed_secrets import SealedSecret

_COLUMNS = (
    "byok_key_id, org_id, workspace_id, provider, label, sort_order, created_at, version, name, disabled, is_fallback, "
    "is_required, allowed_models, allowed_digests, allowed_user_ids"
)
_SEALED = "kek_id, wrapped_key, key_nonce, ciphertext, nonce"
_COUNT_OF_ORG = text("SELECT count(*) FROM byok_keys WHERE org_id = :org_id AND deleted_at IS NULL")
# The columns are constants of this module; every value is a parameter.
_INSERT = text(
    f"""
    INSERT INTO byok_keys ({_COLUMNS}, {_SEALED})
    SELECT :byok_key_id, :org_id, :workspace_id, :provider, :label,
           coalesce((SELECT max(sort_order) + 1 FROM byok_keys
                     WHERE org_id = :org_id AND provider = :provider AND deleted_at IS NULL), 0),
           CAST(:created_at AS timestamptz), :version, :name, :disabled, :is_fallback, :is_required,
           CAST(:allowed_models AS text[]), CAST(:allowed_digests AS text[]), CAST(:allowed_user_ids AS text[]),
           :kek_id, :wrapped_key, :key_nonce, :ciphertext, :nonce
    RETURNING {_COLUMNS}
    """  # noqa: S608 - constant columns
)
_PAGE = text(
    f"""
    SELECT {_COLUMNS}, count(*) OVER () AS total FROM byok_keys
    WHERE org_id = :org_id AND workspace_id = :workspace_id AND deleted_at IS NULL
      AND (:provider = '' OR provider = :provider)
    ORDER BY provider, sort_order, byok_key_id LIMIT :limit OFFSET :offset
    """  # noqa: S608 - constant columns
)
_GET = text(
    f"""
    SELECT {_COLUMNS} FROM byok_keys WHERE org_id = :org_id AND byok_key_id = :byok_key_id AND deleted_at IS NULL
    """  # noqa: S608 - constant columns
)
_UPDATE = text(
    """
    UPDATE byok_keys SET label = :label, version = :version, name = :name, disabled = :disabled,
        is_fallback = :is_fallback, is_required = :is_required, allowed_models = CAST(:allowed_models AS text[]),
        allowed_digests = CAST(:allowed_digests AS text[]), allowed_user_ids = CAST(:allowed_user_ids AS text[])
    WHERE org_id = :org_id AND byok_key_id = :byok_key_id AND deleted_at IS NULL AND version = :known_version
    RETURNING byok_key_id
    """
)
_RESEAL = text(
    """
    UPDATE byok_keys SET kek_id = :kek_id, wrapped_key = :wrapped_key, key_nonce = :key_nonce, ciphertext = :ciphertext,
        nonce = :nonce
    WHERE org_id = :org_id AND byok_key_id = :byok_key_id AND version = :version AND deleted_at IS NULL
    """
)
# The row stays, because usage names it; of the key nothing does.
_DELETE = text(
    """
    UPDATE byok_keys SET deleted_at = :now, wrapped_key = '', key_nonce = '', ciphertext = '', nonce = '', label = ''
    WHERE org_id = :org_id AND byok_key_id = :byok_key_id AND deleted_at IS NULL RETURNING byok_key_id
    """
)
_RESOLVE = text(
    f"""
    SELECT {_COLUMNS}, {_SEALED}, CASE WHEN allowed_digests IS NULL THEN NULL ELSE ARRAY(
        SELECT CAST(key_id AS text) FROM api_keys
        WHERE api_keys.org_id = byok_keys.org_id AND digest = ANY(allowed_digests) AND deleted_at IS NULL) END AS key_ids
    FROM byok_keys WHERE org_id = :org_id AND NOT disabled AND deleted_at IS NULL
    ORDER BY provider, sort_order, byok_key_id
    """  # noqa: S608 - constant columns
)
_OTHER_KEKS = text(
    f"""
    SELECT {_COLUMNS}, {_SEALED} FROM byok_keys WHERE kek_id <> :current AND deleted_at IS NULL
    ORDER BY byok_key_id LIMIT :limit
    """  # noqa: S608 - constant columns
)
_OWN_DIGESTS = text(
    "SELECT count(*) FROM api_keys WHERE org_id = :org_id AND digest = ANY(CAST(:digests AS text[])) AND deleted_at IS NULL"
)
_REVISION = text("SELECT byok_revision FROM orgs WHERE org_id = :org_id")
_CHANGED = text(
    f"""
    UPDATE orgs SET byok_revision = byok_revision + 1, revision = revision + 1 WHERE org_id = :org_id
    RETURNING {ORG_COLUMNS}
    """  # noqa: S608 - constant columns
)


class PostgresByokStore:
    """The ByokStore in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog) -> None:
        self._database = database
        self._audit = audit

    async def add(self, key: ByokKey, sealed: SealedSecret, actor: Actor, now: datetime) -> ByokKey:
        """Store a provider key as the last of its provider, and return it.

        Raises:
            NotFoundError: there is no such organisation.
            InvalidFieldError: the organisation has too many, or names an API key, a member or a workspace that is not its own.
        """
        try:
            async with self._database.transaction(key.org_id) as connection:
                # Before all else: of two that are stored at once, the second waits here.
                await _announce(connection, key.org_id, now)
                await check_workspace(connection, key.org_id, key.workspace_id)
                count = (await connection.execute(_COUNT_OF_ORG, {"org_id": key.org_id})).scalar_one()
                if count >= MAX_KEYS_OF_ORG:
                    raise InvalidFieldError(
                        "provider", f"has too many keys: an organisation has {MAX_KEYS_OF_ORG} at most"
                    )
                await _check_names(connection, key, None)
                row = (await connection.execute(_INSERT, {**_columns(key), **_sealed_columns(sealed)})).one()
                event = AuditEvent(actor, "byok_key.created", _target(key.byok_key_id), after=_state(key))
                await self._audit.append(connection, key.org_id, event, now)
        except IntegrityError:
            raise NotFoundError("no such organisation") from None
        return _key(row)

    async def page(
        self, org_id: UUID, workspace_id: UUID, provider: str, offset: int, limit: int
    ) -> tuple[list[ByokKey], int]:
        """Return provider keys of a workspace, by provider in the order in which they are tried, and how many there are."""
        values = {"org_id": org_id, "workspace_id": workspace_id, "provider": provider}
        async with self._database.transaction(org_id) as connection:
            await check_workspace(connection, org_id, workspace_id)
            rows = list(await connection.execute(_PAGE, {**values, "limit": limit, "offset": offset}))
            if rows or not offset:
                return [_key(row) for row in rows], rows[0].total if rows else 0
            first = list(await connection.execute(_PAGE, {**values, "limit": 1, "offset": 0}))
            return [], first[0].total if first else 0

    async def get(self, org_id: UUID, byok_key_id: UUID) -> ByokKey:
        """Return a provider key.

        Raises:
            NotFoundError: the organisation has no such key.
        """
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(_GET, {"org_id": org_id, "byok_key_id": byok_key_id})).one_or_none()
        if row is None:
            raise NotFoundError("no such provider key")
        return _key(row)

    async def replace(
        self, key: ByokKey, known_version: int, sealed: SealedSecret | None, actor: Actor, now: datetime
    ) -> None:
        """Store what a provider key is now, with another secret where one is given.

        Raises:
            NotFoundError: the organisation has no such key.
            AlreadyExistsError: somebody put another key in its place meanwhile.
            InvalidFieldError: it newly names an API key or a member that is not the organisation's.
        """
        async with self._database.transaction(key.org_id) as connection:
            await _announce(connection, key.org_id, now)
            values = {**_columns(key), "known_version": known_version}
            known = (await connection.execute(_GET, values)).one_or_none()
            if known is not None:
                await _check_names(connection, key, _key(known))
            if known is None or (await connection.execute(_UPDATE, values)).one_or_none() is None:
                raise AlreadyExistsError("the provider key was changed meanwhile")
            if sealed is not None:
                await connection.execute(_RESEAL, {**_columns(key), **_sealed_columns(sealed)})
            event = AuditEvent(
                actor, "byok_key.changed", _target(key.byok_key_id), *differences(_state(_key(known)), _state(key))
            )
            await self._audit.append(connection, key.org_id, event, now)

    async def delete(self, org_id: UUID, byok_key_id: UUID, actor: Actor, now: datetime) -> None:
        """Delete a provider key, with all that was stored of it.

        Raises:
            NotFoundError: the organisation has no such key.
        """
        values = {"org_id": org_id, "byok_key_id": byok_key_id, "now": now}
        async with self._database.transaction(org_id) as connection:
            known = (await connection.execute(_GET, values)).one_or_none()
            if known is None or (await connection.execute(_DELETE, values)).one_or_none() is None:
                raise NotFoundError("no such provider key")
            await _announce(connection, org_id, now)
            event = AuditEvent(actor, "byok_key.deleted", _target(byok_key_id), _state(_key(known)))
            await self._audit.append(connection, org_id, event, now)

    async def resolve(self, org_id: UUID) -> tuple[list[ResolvedByokKey], int]:
        """Return every enabled provider key of an organisation, sealed, and the revision of all of them.

        Raises:
            NotFoundError: there is no such organisation.
        """
        async with self._database.transaction(org_id) as connection:
            revision = (await connection.execute(_REVISION, {"org_id": org_id})).scalar_one_or_none()
            if revision is None:
                raise NotFoundError("no such organisation")
            rows = list(await connection.execute(_RESOLVE, {"org_id": org_id}))
        resolved = [
            ResolvedByokKey(_key(row), _sealed(row), None if row.key_ids is None else tuple(row.key_ids))
            for row in rows
        ]
        return resolved, revision

    async def under_other_keks(self, current: str, limit: int) -> Sequence[ResolvedByokKey]:
        """Return provider keys whose data key is not under this key-encryption key."""
        async with self._database.installation_transaction() as connection:
            rows = await connection.execute(_OTHER_KEKS, {"current": current, "limit": limit})
            return [ResolvedByokKey(_key(row), _sealed(row)) for row in rows]

    async def rewrap(self, key: ByokKey, sealed: SealedSecret) -> None:
        """Store the data key under another key-encryption key. Nobody needs to hear of it: the secret is the same."""
        async with self._database.transaction(key.org_id) as connection:
            await connection.execute(_RESEAL, {**_columns(key), **_sealed_columns(sealed)})


async def _announce(connection: AsyncConnection, org_id: UUID, now: datetime) -> None:
    row = (await connection.execute(_CHANGED, {"org_id": org_id})).one_or_none()
    if row is None:
        raise NotFoundError("no such organisation")
    await enqueue(connection, [org_message(org_from_row(row), now)])


async def _check_names(connection: AsyncConnection, key: ByokKey, known: ByokKey | None) -> None:
    """Establish that what a provider key is restricted to is the organisation's.

    What was named before may have gone since; that is nothing which the change of another field should be refused for.
    """
    kept = ByokFields() if known is None else known.fields
    digests = set(key.fields.allowed_digests or ()).difference(kept.allowed_digests or ())
    if digests:
        values = {"org_id": key.org_id, "digests": list(digests)}
        if (await connection.execute(_OWN_DIGESTS, values)).scalar_one() < len(digests):
            raise InvalidFieldError("allowed_api_key_hashes", "must name API keys of the organisation")
    user_ids = set(key.fields.allowed_user_ids or ()).difference(kept.allowed_user_ids or ())
    await check_members(connection, key.org_id, "allowed_user_ids", user_ids)


def _columns(key: ByokKey) -> dict[str, Any]:
    fields = key.fields
    return {
        "byok_key_id": key.byok_key_id,
        "org_id": key.org_id,
        "workspace_id": key.workspace_id,
        "provider": key.provider,
        "label": key.label,
        "created_at": key.created_at,
        "version": key.version,
        "name": fields.name,
        "disabled": fields.disabled,
        "is_fallback": fields.is_fallback,
        "is_required": fields.is_required,
        "allowed_models": _listed(fields.allowed_models),
        "allowed_digests": _listed(fields.allowed_digests),
        "allowed_user_ids": _listed(fields.allowed_user_ids),
    }


def _sealed_columns(sealed: SealedSecret) -> dict[str, Any]:
    return {
        "kek_id": sealed.kek_id,
        "wrapped_key": sealed.wrapped_key,
        "key_nonce": sealed.key_nonce,
        "ciphertext": sealed.ciphertext,
        "nonce": sealed.nonce,
    }


def _listed(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)


def _tuple(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _target(byok_key_id: UUID) -> str:
    return f"byok_key/{byok_key_id}"


def _state(key: ByokKey) -> dict[str, Any]:
    """What the audit log says of a provider key: whose it is and when it serves; nothing of the key, sealed or not.

    Neither is the label: it is a part of the key, and what is deleted with the key would stay in the log for good.
    """
    fields = key.fields
    return {
        "provider": key.provider,
        "workspace_id": str(key.workspace_id),
        "version": key.version,
        "name": fields.name,
        "disabled": fields.disabled,
        "is_fallback": fields.is_fallback,
        "is_required": fields.is_required,
        "allowed_models": _listed(fields.allowed_models),
        "allowed_api_key_hashes": _listed(fields.allowed_digests),
        "allowed_user_ids": _listed(fields.allowed_user_ids),
    }


def _key(row: Any) -> ByokKey:
    return ByokKey(
        byok_key_id=row.byok_key_id,
        org_id=row.org_id,
        workspace_id=row.workspace_id,
        provider=row.provider,
        label=row.label,
        sort_order=row.sort_order,
        created_at=row.created_at,
        fields=ByokFields(
            name=row.name,
            disabled=row.disabled,
            is_fallback=row.is_fallback,
            is_required=row.is_required,
            allowed_models=_tuple(row.allowed_models),
            allowed_digests=_tuple(row.allowed_digests),
            allowed_user_ids=_tuple(row.allowed_user_ids),
        ),
        version=row.version,
    )


def _sealed(row: Any) -> SealedSecret:
    return SealedSecret(row.kek_id, row.wrapped_key, row.key_nonce, row.ciphertext, row.nonce)
