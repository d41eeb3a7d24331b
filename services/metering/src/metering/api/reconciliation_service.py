"""The gRPC service of the usage events' side of a comparison: parse, ask, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from metering.api.errors import aborting
from metering.convert import unix_ms_from_proto
from metering.domain.errors import InvalidQuestionError
from metering.domain.reconciliation import ReconciliationStore
from metering.domain.usage import UnixMs
from turnpike.metering.v1 import reconciliation_service_pb2 as messages
from turnpike.metering.v1 import reconciliation_service_pb2_grpc as stubs
from turnpike.usage.v1 import reconciliation_pb2

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["ReconciliationService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]

_PAGE: Final = 1_000
_HOUR_MS: Final = 3_600_000
_LONGEST_MS: Final = 32 * 24 * _HOUR_MS


class ReconciliationServicer(stubs.ReconciliationServiceServicer):
    """What the usage events say. The names of the methods are those of the wire."""

    def __init__(self, store: ReconciliationStore) -> None:
        self._store = store

    async def SumUsage(  # noqa: N802 - named by the wire
        self, request: messages.SumUsageRequest, context: Context
    ) -> AsyncIterator[messages.SumUsageResponse]:
        """Add usage events up, hour by hour, each once."""
        async with aborting(context):
            sums = await self._store.sums(*_period(request.start, request.end))
            for at in range(0, len(sums), _PAGE):
                yield messages.SumUsageResponse(
                    sums=[
                        reconciliation_pb2.UsageSum(
                            org_id=each.org_id,
                            hour=Timestamp(seconds=each.hour),
                            price_version=each.price_version,
                            events=each.events,
                            cost_nano_usd=each.cost,
                            provider_cost_nano_usd=each.provider_cost,
                            unreconciled=each.unreconciled,
                        )
                        for each in sums[at : at + _PAGE]
                    ]
                )

    async def ListUsage(  # noqa: N802 - named by the wire
        self, request: messages.ListUsageRequest, context: Context
    ) -> AsyncIterator[messages.ListUsageResponse]:
        """List the generations behind one sum."""
        async with aborting(context):
            figures = await self._store.figures(request.org_id, _hour("hour", request.hour), request.price_version)
            for at in range(0, len(figures), _PAGE):
                yield messages.ListUsageResponse(
                    figures=[
                        reconciliation_pb2.UsageFigure(
                            event_id=each.event_id,
                            generation_id=each.generation_id,
                            rank=each.rank,
                            cost_nano_usd=each.cost,
                            provider_cost_nano_usd=each.provider_cost,
                        )
                        for each in figures[at : at + _PAGE]
                    ]
                )

    async def ListProviderCharges(  # noqa: N802 - named by the wire
        self, request: messages.ListProviderChargesRequest, context: Context
    ) -> AsyncIterator[messages.ListProviderChargesResponse]:
        """List what a provider is owed, by its own ids."""
        async with aborting(context):
            if not request.provider:
                raise InvalidQuestionError("provider", "is empty")
            charges = await self._store.charges(request.provider, *_period(request.start, request.end))
            for at in range(0, len(charges), _PAGE):
                yield messages.ListProviderChargesResponse(
                    charges=[
                        messages.ProviderCharge(
                            upstream_id=each.upstream_id,
                            generation_id=each.generation_id,
                            provider_cost_nano_usd=each.provider_cost,
                        )
                        for each in charges[at : at + _PAGE]
                    ]
                )


def _period(start: Timestamp, end: Timestamp) -> tuple[UnixMs, UnixMs]:
    first, last = _hour("start", start), _hour("end", end)
    if not 0 < last - first <= _LONGEST_MS:
        raise InvalidQuestionError("end", "is not after start, by 32 days at most")
    return first, last


def _hour(name: str, moment: Timestamp) -> UnixMs:
    if moment.nanos or moment.seconds % 3_600 or not 0 < moment.seconds < 4_102_444_800:
        raise InvalidQuestionError(name, "is not the start of an hour (UTC) before 2100")
    return unix_ms_from_proto(moment)
