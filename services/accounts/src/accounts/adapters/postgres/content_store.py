"""Sealed contents and feedback in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from accounts.adapters.postgres.database import Database
from accounts.domain.contents import MAX_FEEDBACK
from accounts.domain.errors import AlreadyExistsError, NotFoundError

_KEEP = text(
    """
    INSERT INTO generation_contents (generation_id, org_id, key_id, sealed, kept_at, expires_at)
    VALUES (:generation_id, :org_id, :key_id, :sealed, :now, :expires_at)
    ON CONFLICT (generation_id) DO NOTHING
    """
)
_GET = text(
    """
    SELECT sealed FROM generation_contents
    WHERE org_id = :org_id AND generation_id = :generation_id AND expires_at > :now
      AND (CAST(:key_id AS uuid) IS NULL OR key_id = :key_id)
    """
)
_SWEEP = text(
    """
    DELETE FROM generation_contents WHERE generation_id IN (
        SELECT generation_id FROM generation_contents WHERE expires_at <= :now ORDER BY expires_at LIMIT :most
    )
    """
)
_COUNT = text("SELECT count(*) FROM generation_feedback WHERE org_id = :org_id AND generation_id = :generation_id")
_FEEDBACK = text(
    """
    INSERT INTO generation_feedback (org_id, generation_id, number, category, comment, submitted_at)
    VALUES (:org_id, :generation_id, :number, :category, :comment, :now)
    """
)


class PostgresContentStore:
    """The ContentStore in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(
        self, org_id: UUID, key_id: UUID, generation_id: str, sealed: bytes, now: datetime, expires_at: datetime
    ) -> None:
        """Keep a content.

        Raises:
            NotFoundError: there is no such organisation.
        """
        values = {
            "org_id": org_id,
            "key_id": key_id,
            "generation_id": generation_id,
            "sealed": sealed,
            "now": now,
            "expires_at": expires_at,
        }
        try:
            async with self._database.transaction(org_id) as connection:
                await connection.execute(_KEEP, values)
        except IntegrityError:
            raise NotFoundError("no such organisation") from None

    async def get(self, org_id: UUID, generation_id: str, key_id: UUID | None, now: datetime) -> bytes:
        """Return a sealed content, of one key or of any.

        Raises:
            NotFoundError: there is none of this generation that may be seen, or its time is over.
        """
        values = {"org_id": org_id, "generation_id": generation_id, "key_id": key_id, "now": now}
        async with self._database.transaction(org_id) as connection:
            sealed = (await connection.execute(_GET, values)).scalar_one_or_none()
        if sealed is None:
            raise NotFoundError("no such content")
        return bytes(sealed)

    async def sweep(self, now: datetime, most: int) -> int:
        """Delete contents whose time is over, whoever's they are."""
        async with self._database.installation_transaction() as connection:
            return (await connection.execute(_SWEEP, {"now": now, "most": most})).rowcount

    async def add_feedback(self, org_id: UUID, generation_id: str, category: str, comment: str, now: datetime) -> None:
        """Keep feedback.

        Raises:
            NotFoundError: there is no such organisation.
            AlreadyExistsError: there is too much of it, or somebody else was at it in the same moment.
        """
        names = {"org_id": org_id, "generation_id": generation_id}
        try:
            async with self._database.transaction(org_id) as connection:
                count = (await connection.execute(_COUNT, names)).scalar_one()
                if count >= MAX_FEEDBACK:
                    raise AlreadyExistsError(f"there is feedback on this generation {MAX_FEEDBACK} times")
                values = {"number": count + 1, "category": category, "comment": comment, "now": now}
                await connection.execute(_FEEDBACK, names | values)
        except IntegrityError as error:
            if "org_id_fkey" in str(error.orig):
                raise NotFoundError("no such organisation") from None
            raise AlreadyExistsError("somebody else gave feedback in the same moment: try again") from None
