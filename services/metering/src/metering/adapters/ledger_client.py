"""The ledger over gRPC."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from contracts.reconciliation import Group, UsageSum, sums_from_proto
from metering.domain.errors import LedgerUnavailableError
from turnpike.accounts.v1.reconciliation_service_pb2 import SumLedgerUsageRequest
from turnpike.accounts.v1.reconciliation_service_pb2_grpc import ReconciliationServiceStub
from turnpike.usage.v1 import reconciliation_pb2

_TIMEOUT: Final = timedelta(minutes=2)


class GrpcLedger:
    """The Ledger of accounts."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ReconciliationServiceStub(channel)

    async def sums(self, start: datetime, end: datetime) -> dict[Group, UsageSum]:
        """Add up what was settled in a period.

        Raises:
            LedgerUnavailableError: accounts does not answer.
        """
        request = SumLedgerUsageRequest(start=_timestamp(start), end=_timestamp(end))
        sums: list[reconciliation_pb2.UsageSum] = []
        try:
            async for page in self._stub.SumLedgerUsage(request, timeout=_TIMEOUT.total_seconds()):
                sums += page.sums
        except grpc.aio.AioRpcError as error:
            raise LedgerUnavailableError(f"accounts: {error.code().name}") from error
        return sums_from_proto(sums, with_ledger=True)


def _timestamp(moment: datetime) -> Timestamp:
    return Timestamp(seconds=int(moment.timestamp()))
