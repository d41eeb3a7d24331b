"""The gRPC service of the audit log: parse, call, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from accounts.api.errors import aborting
from accounts.domain.accounts import checked_id, checked_page
from accounts.domain.audit import AuditEntry
from accounts.domain.errors import InvalidFieldError
from accounts.domain.tenancy_ports import AuditLog
from accounts.records import timestamp
from turnpike.accounts.v1 import audit_service_pb2 as messages
from turnpike.accounts.v1 import audit_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["AuditService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class AuditServicer(stubs.AuditServiceServicer):
    """The audit log. The names of the methods are those of the wire."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def ListAuditEntries(  # noqa: N802 - named by the wire
        self, request: messages.ListAuditEntriesRequest, context: Context
    ) -> messages.ListAuditEntriesResponse:
        """List entries in order."""
        async with aborting(context):
            if request.after_sequence < 0:
                raise InvalidFieldError("after", "must not be negative")
            _, limit = checked_page(0, request.limit)
            entries = await self._log.page(checked_id("org_id", request.org_id), request.after_sequence, limit)
            return messages.ListAuditEntriesResponse(entries=[_to_proto(entry) for entry in entries])

    async def VerifyAudit(  # noqa: N802 - named by the wire
        self, request: messages.VerifyAuditRequest, context: Context
    ) -> messages.VerifyAuditResponse:
        """Say whether the chain is intact."""
        async with aborting(context):
            anchor = (request.anchor_sequence, request.anchor_digest) if request.anchor_sequence else None
            found = await self._log.verify(checked_id("org_id", request.org_id), anchor)
            return messages.VerifyAuditResponse(
                intact=not found.broken_at,
                entries=found.entries,
                broken_at=found.broken_at,
                reason=found.reason,
                head_digest=found.head_digest,
            )


def _to_proto(entry: AuditEntry) -> messages.AuditEntry:
    return messages.AuditEntry(
        sequence=entry.sequence,
        occurred_at=timestamp(entry.occurred_at),
        actor_kind=entry.actor_kind,
        actor_id=entry.actor_id,
        action=entry.action,
        target=entry.target,
        before_json=entry.before,
        after_json=entry.after,
        ip=entry.ip,
        request_id=entry.request_id,
        previous_digest=entry.previous_digest,
        digest=entry.digest,
    )
