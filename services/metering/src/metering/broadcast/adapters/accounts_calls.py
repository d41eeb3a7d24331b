"""What else accounts is asked and told: what was said in generations, and what became of deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from metering.broadcast.domain.deliveries import Progress
from metering.broadcast.domain.errors import AccountsUnavailableError
from metering.broadcast.domain.targets import Target
from turnpike.accounts.v1 import content_service_pb2, content_service_pb2_grpc
from turnpike.accounts.v1 import destination_service_pb2 as messages
from turnpike.accounts.v1 import destination_service_pb2_grpc as stubs


class AccountsContents:
    """The ContentLibrary over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta) -> None:
        self._stub = content_service_pb2_grpc.ContentServiceStub(channel)
        self._timeout_s = timeout.total_seconds()

    async def get(self, org_id: str, generation_id: str) -> bytes | None:
        """Return what was said, as JSON; None where nothing was kept.

        Raises:
            AccountsUnavailableError: accounts does not answer.
        """
        request = content_service_pb2.GetContentRequest(org_id=org_id, generation_id=generation_id)
        try:
            answer = await self._stub.GetContent(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise AccountsUnavailableError(error.code().name) from None
        return bytes(answer.content_json)


class AccountsReports:
    """The DeliveryReports over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta) -> None:
        self._stub = stubs.DestinationServiceStub(channel)
        self._timeout_s = timeout.total_seconds()

    async def report(self, sender: str, reports: Sequence[tuple[Target, Progress, bool]]) -> None:
        """Tell how destinations are doing, and which are given up.

        Raises:
            AccountsUnavailableError: accounts does not answer.
        """
        request = messages.ReportDeliveriesRequest(
            sender=sender,
            reports=[
                messages.DeliveryReport(
                    org_id=target.org_id,
                    destination_id=target.destination_id,
                    state=_state(progress),
                    gives_up=gives_up,
                    version=target.version,
                )
                for target, progress, gives_up in reports
            ],
        )
        try:
            await self._stub.ReportDeliveries(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise AccountsUnavailableError(error.code().name) from None


def _state(progress: Progress) -> messages.DeliveryState:
    totals = progress.totals
    return messages.DeliveryState(
        delivered=totals.delivered,
        refused=totals.refused,
        dropped=totals.dropped,
        waiting=progress.waiting,
        failures=totals.failures,
        delivered_at=None if totals.delivered_ms is None else _timestamp(totals.delivered_ms),
        failing_since=None if totals.failing_since_ms is None else _timestamp(totals.failing_since_ms),
        attempts=[
            messages.DeliveryAttempt(
                at=_timestamp(each.at_ms),
                events=each.events,
                status=each.status,
                duration_ms=each.duration_ms,
                error=each.error,
            )
            for each in progress.attempts
        ],
    )


def _timestamp(milliseconds: int) -> Timestamp:
    moment = Timestamp()
    moment.FromMilliseconds(milliseconds)
    return moment
