"""The gRPC service of figures over all organisations."""

from __future__ import annotations

from typing import Any, Final

import grpc

from metering.api.errors import aborting
from metering.domain.endpoint_stats import EndpointStatsStore
from metering.domain.errors import InvalidQuestionError
from metering.domain.rollups import UnixSeconds
from metering.stats_convert import stats_to_proto
from servicekit.clock import Clock
from turnpike.metering.v1 import insight_service_pb2 as messages
from turnpike.metering.v1 import insight_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["InsightService"].full_name

_MAX_ENDPOINTS: Final = 1_000


class InsightServicer(stubs.InsightServiceServicer):
    """Answers out of the rollups."""

    def __init__(self, endpoints: EndpointStatsStore, clock: Clock) -> None:
        self._endpoints = endpoints
        self._clock = clock

    async def GetEndpointStats(  # noqa: N802 - named by the wire
        self,
        request: messages.GetEndpointStatsRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> messages.GetEndpointStatsResponse:
        """Return what endpoints did lately."""
        async with aborting(context):
            if len(request.endpoint_ids) > _MAX_ENDPOINTS:
                raise InvalidQuestionError("endpoint_ids", f"has more than {_MAX_ENDPOINTS}")
            now = UnixSeconds(int(self._clock.now().timestamp()))
            stats = await self._endpoints.endpoint_stats(now, request.endpoint_ids)
            return messages.GetEndpointStatsResponse(stats=[stats_to_proto(each) for each in stats])
