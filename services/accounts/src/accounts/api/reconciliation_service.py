"""The gRPC service of the ledger's side of a comparison: parse, call, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from accounts.api.errors import aborting
from accounts.domain.accounts import checked_id
from accounts.domain.errors import InvalidFieldError
from accounts.domain.reconciliation import ReconciliationStore
from turnpike.accounts.v1 import reconciliation_service_pb2 as messages
from turnpike.accounts.v1 import reconciliation_service_pb2_grpc as stubs
from turnpike.usage.v1 import reconciliation_pb2

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["ReconciliationService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]

_PAGE: Final = 1_000
_LONGEST: Final = timedelta(days=32)
_HOUR_S: Final = 3_600


class ReconciliationServicer(stubs.ReconciliationServiceServicer):
    """What the ledger says of usage. The names of the methods are those of the wire."""

    def __init__(self, store: ReconciliationStore) -> None:
        self._store = store

    async def SumLedgerUsage(  # noqa: N802 - named by the wire
        self, request: messages.SumLedgerUsageRequest, context: Context
    ) -> AsyncIterator[messages.SumLedgerUsageResponse]:
        """Add up what was settled, hour by hour."""
        async with aborting(context):
            start, end = _hour("start", request.start), _hour("end", request.end)
            if not timedelta() < end - start <= _LONGEST:
                raise InvalidFieldError("end", f"must be after start, by {_LONGEST.days} days at most")
            sums = await self._store.sums(start, end)
            for at in range(0, len(sums), _PAGE):
                yield messages.SumLedgerUsageResponse(
                    sums=[
                        reconciliation_pb2.UsageSum(
                            org_id=str(each.org_id),
                            hour=_timestamp(each.hour),
                            price_version=each.price_version,
                            events=each.events,
                            cost_nano_usd=each.cost,
                            provider_cost_nano_usd=each.provider_cost,
                            ledger_nano_usd=each.ledger,
                            unreconciled=each.unreconciled,
                        )
                        for each in sums[at : at + _PAGE]
                    ]
                )

    async def ListLedgerUsage(  # noqa: N802 - named by the wire
        self, request: messages.ListLedgerUsageRequest, context: Context
    ) -> AsyncIterator[messages.ListLedgerUsageResponse]:
        """List the generations behind one sum."""
        async with aborting(context):
            org_id = checked_id("org_id", request.org_id)
            async for page in self._store.figures(org_id, _hour("hour", request.hour), request.price_version):
                yield messages.ListLedgerUsageResponse(
                    figures=[
                        reconciliation_pb2.UsageFigure(
                            event_id=str(each.event_id),
                            generation_id=each.generation_id,
                            rank=each.rank,
                            cost_nano_usd=each.cost,
                            provider_cost_nano_usd=each.provider_cost,
                            ledger_nano_usd=each.ledger,
                        )
                        for each in page
                    ]
                )


def _hour(name: str, moment: Timestamp) -> datetime:
    if moment.nanos or moment.seconds % _HOUR_S or not 0 < moment.seconds < 4_102_444_800:
        raise InvalidFieldError(name, "is not the start of an hour (UTC) before 2100")
    return datetime.fromtimestamp(moment.seconds, UTC)


def _timestamp(moment: datetime) -> Timestamp:
    return Timestamp(seconds=int(moment.timestamp()))
