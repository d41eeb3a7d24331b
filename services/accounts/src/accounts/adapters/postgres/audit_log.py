"""The audit log in PostgreSQL: an entry is appended in the transaction of the change that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from accounts.adapters.postgres.database import Database
from accounts.domain.audit import AuditEntry, AuditEvent, AuditFinding, entry_of, verify

_COLUMNS = (
    "org_id, sequence, occurred_at, actor_kind, actor_id, action, target, before, after, ip, request_id, "
    "previous_digest, digest"
)
# Locks the chain's end: of two changes at once, the second one's entry follows the first one's.
_BEGIN_CHAIN = text(
    "INSERT INTO audit_heads (org_id, sequence, digest) VALUES (:org_id, 0, '') ON CONFLICT (org_id) DO NOTHING"
)
_HEAD = text("SELECT sequence, digest FROM audit_heads WHERE org_id = :org_id FOR UPDATE")
_SEEN_HEAD = text("SELECT sequence, digest FROM audit_heads WHERE org_id = :org_id")
_MOVE_HEAD = text("UPDATE audit_heads SET sequence = :sequence, digest = :digest WHERE org_id = :org_id")
_APPEND = text(
    f"""
    INSERT INTO audit_entries ({_COLUMNS})
    VALUES (:org_id, :sequence, :occurred_at, :actor_kind, :actor_id, :action, :target, :before, :after, :ip,
            :request_id, :previous_digest, :digest)
    """  # noqa: S608 - constant columns
)
_PAGE = text(
    f"""
    SELECT {_COLUMNS} FROM audit_entries WHERE org_id = :org_id AND sequence > :after ORDER BY sequence LIMIT :limit
    """  # noqa: S608 - constant columns
)
_ALL = text(f"SELECT {_COLUMNS} FROM audit_entries WHERE org_id = :org_id ORDER BY sequence")  # noqa: S608 - constant columns


class PostgresAuditLog:
    """The audit log in PostgreSQL."""

    def __init__(self, database: Database, secret: bytes) -> None:
        """Make a log.

        Args:
            database: where it is kept.
            secret: that entries are chained with; in no database.
        """
        self._database = database
        self._secret = secret

    async def append(self, connection: AsyncConnection, org_id: UUID, event: AuditEvent, now: datetime) -> None:
        """Append the entry of a change, within its transaction; last, because it holds up other changes until then."""
        await connection.execute(_BEGIN_CHAIN, {"org_id": org_id})
        head = (await connection.execute(_HEAD, {"org_id": org_id})).one()
        entry = entry_of(event, org_id, head.sequence + 1, head.digest, now, self._secret)
        await connection.execute(_APPEND, {name: getattr(entry, name) for name in AuditEntry.__slots__})
        await connection.execute(_MOVE_HEAD, {"org_id": org_id, "sequence": entry.sequence, "digest": entry.digest})

    async def page(self, org_id: UUID, after: int, limit: int) -> Sequence[AuditEntry]:
        """Return entries in order, those after a sequence."""
        async with self._database.transaction(org_id) as connection:
            rows = await connection.execute(_PAGE, {"org_id": org_id, "after": after, "limit": limit})
            return [AuditEntry(*row) for row in rows]

    async def verify(self, org_id: UUID, anchor: tuple[int, str] | None) -> AuditFinding:
        """Go through the whole chain of an organisation, as of one moment."""
        async with self._database.transaction(org_id) as connection:
            head = (await connection.execute(_SEEN_HEAD, {"org_id": org_id})).one_or_none()
            rows = await connection.execute(_ALL, {"org_id": org_id})
            end = (0, "") if head is None else (head.sequence, head.digest)
            return verify(
                (AuditEntry(*row) for row in rows if row.sequence <= end[0] or head is None), end, anchor, self._secret
            )
