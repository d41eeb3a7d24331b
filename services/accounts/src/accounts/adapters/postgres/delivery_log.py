"""What became of deliveries, in PostgreSQL: the latest word of every sender on every destination."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.delivery_messages import state_from_proto, state_to_proto
from accounts.domain.audit import AuditEvent
from accounts.domain.destinations import DeliveryReport, DeliveryState, total_of
from accounts.domain.errors import NotFoundError
from accounts.domain.people import OPERATOR
from turnpike.accounts.v1 import destination_service_pb2 as messages

# Nothing where the destination is not the organisation's.
_PUT = text(
    """
    INSERT INTO destination_deliveries (destination_id, org_id, sender, state, reported_at)
    SELECT destination_id, org_id, :sender, :state, CAST(:now AS timestamptz) FROM destinations
    WHERE org_id = :org_id AND destination_id = :destination_id
    ON CONFLICT (destination_id, sender) DO UPDATE SET state = excluded.state, reported_at = excluded.reported_at
    """
)
_STOP = text(
    """
    UPDATE destinations SET enabled = false, stopped_at = :now, updated_at = :now
    WHERE org_id = :org_id AND destination_id = :destination_id AND version = :version AND enabled AND deleted_at IS NULL
    RETURNING name
    """
)
_EXISTS = text(
    """
    SELECT stopped_at FROM destinations
    WHERE org_id = :org_id AND destination_id = :destination_id AND deleted_at IS NULL
    """
)
_ALL = text(
    "SELECT state FROM destination_deliveries WHERE org_id = :org_id AND destination_id = :destination_id ORDER BY sender"
)
_STOPPED: Final = "destination.stopped"


class PostgresDeliveryLog:
    """The DeliveryLog in PostgreSQL."""

    def __init__(self, database: Database, audit: PostgresAuditLog) -> None:
        self._database = database
        self._audit = audit

    async def report(self, sender: str, reports: Sequence[DeliveryReport], now: datetime) -> Sequence[UUID]:
        """Keep what a sender says; return the destinations that were switched off because it gave them up."""
        stopped = []
        for report in reports:
            values = {
                "org_id": report.org_id,
                "destination_id": report.destination_id,
                "sender": sender,
                "state": state_to_proto(report.state).SerializeToString(),
                "now": now,
                "version": report.version,
            }
            async with self._database.transaction(report.org_id) as connection:
                await connection.execute(_PUT, values)
                if not report.gives_up or (await connection.execute(_STOP, values)).one_or_none() is None:
                    continue
                target = f"destination/{report.destination_id}"
                failing = report.state.failing_since
                after = {"enabled": False, "failing_since": None if failing is None else failing.isoformat()}
                event = AuditEvent(OPERATOR, _STOPPED, target, {"enabled": True}, after)
                await self._audit.append(connection, report.org_id, event, now)
            stopped.append(report.destination_id)
        return stopped

    async def get(self, org_id: UUID, destination_id: UUID) -> tuple[DeliveryState, datetime | None]:
        """Return the sum over all senders, and when a destination was given up.

        Raises:
            NotFoundError: the organisation has no such destination.
        """
        values = {"org_id": org_id, "destination_id": destination_id}
        async with self._database.transaction(org_id) as connection:
            row = (await connection.execute(_EXISTS, values)).one_or_none()
            if row is None:
                raise NotFoundError("no such destination")
            states = (await connection.execute(_ALL, values)).scalars().all()
        return total_of([state_from_proto(messages.DeliveryState.FromString(each)) for each in states]), row.stopped_at
