"""The gRPC service of leases: parse, call, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from accounts.api.errors import aborting
from accounts.api.lease_messages import (
    acquire_from_proto,
    acquired_to_proto,
    release_from_proto,
    renew_from_proto,
    renewed_to_proto,
)
from accounts.leases import Leases
from turnpike.accounts.v1 import lease_service_pb2 as messages
from turnpike.accounts.v1 import lease_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["LeaseService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class LeaseServicer(stubs.LeaseServiceServicer):
    """Leases. The names of the methods are those of the wire."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    async def AcquireLease(  # noqa: N802 - named by the wire
        self, request: messages.AcquireLeaseRequest, context: Context
    ) -> messages.AcquireLeaseResponse:
        """Lend."""
        async with aborting(context):
            return acquired_to_proto(await self._leases.acquire(acquire_from_proto(request)))

    async def RenewLease(self, request: messages.RenewLeaseRequest, context: Context) -> messages.RenewLeaseResponse:  # noqa: N802 - named by the wire
        """Extend a lease, and change its size."""
        async with aborting(context):
            return renewed_to_proto(await self._leases.renew(renew_from_proto(request)))

    async def ReleaseLease(  # noqa: N802 - named by the wire
        self, request: messages.ReleaseLeaseRequest, context: Context
    ) -> messages.ReleaseLeaseResponse:
        """End a lease."""
        async with aborting(context):
            returned = await self._leases.release(release_from_proto(request))
            return messages.ReleaseLeaseResponse(returned=returned)
