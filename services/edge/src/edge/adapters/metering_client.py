"""Records of generations over gRPC."""

from __future__ import annotations

from datetime import timedelta

import grpc

from edge.domain.errors import DependencyError, NotFoundError
from turnpike.metering.v1 import metering_service_pb2, metering_service_pb2_grpc
from turnpike.usage.v1 import usage_event_pb2


class GrpcGenerationRecords:
    """Asks metering."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta) -> None:
        self._stub = metering_service_pb2_grpc.MeteringServiceStub(channel)
        self._timeout_s = timeout.total_seconds()

    async def get(self, generation_id: str, org_id: str) -> usage_event_pb2.UsageEvent:
        """Return one record.

        Raises:
            NotFoundError: there is none, or it belongs to another organisation.
            DependencyError: nobody could say.
        """
        request = metering_service_pb2.GetGenerationRequest(generation_id=generation_id, org_id=org_id)
        try:
            answer = await self._stub.GetGeneration(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotFoundError(f"Generation {generation_id} not found") from None
            raise DependencyError("metering") from None
        # Its owner promises both; a record of another organisation must not leave this process whatever happens there.
        if answer.event.org_id != org_id or answer.event.generation_id != generation_id:
            raise NotFoundError(f"Generation {generation_id} not found")
        return answer.event
