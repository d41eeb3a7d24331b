"""The gRPC service: parse, ask, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from metering.api.errors import aborting
from metering.convert import unix_ms_from_proto, usage_row_to_proto
from metering.domain.errors import InvalidQuestionError
from metering.domain.usage import Dimension
from metering.queries import UsageQueries
from turnpike.metering.v1 import metering_service_pb2 as messages
from turnpike.metering.v1 import metering_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["MeteringService"].full_name

_DIMENSIONS: Final = {
    messages.USAGE_DIMENSION_UNSPECIFIED: Dimension.TOTAL,
    messages.USAGE_DIMENSION_MODEL: Dimension.MODEL,
    messages.USAGE_DIMENSION_KEY: Dimension.KEY,
    messages.USAGE_DIMENSION_DAY: Dimension.DAY,
}


class MeteringServicer(stubs.MeteringServiceServicer):
    """What the usage events say."""

    def __init__(self, queries: UsageQueries) -> None:
        self._queries = queries

    async def GetGeneration(  # noqa: N802 - named by the wire
        self,
        request: messages.GetGenerationRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> messages.GetGenerationResponse:
        """Return the record of one generation."""
        async with aborting(context):
            row = await self._queries.generation(request.org_id, request.generation_id)
            return messages.GetGenerationResponse(event=usage_row_to_proto(row))

    async def QueryUsage(  # noqa: N802 - named by the wire
        self,
        request: messages.QueryUsageRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> messages.QueryUsageResponse:
        """Return requests, tokens and cost."""
        async with aborting(context):
            dimension = _DIMENSIONS.get(request.dimension)
            if dimension is None:
                raise InvalidQuestionError("dimension", "is unknown")
            totals = await self._queries.usage(
                request.org_id,
                unix_ms_from_proto(request.start) if request.HasField("start") else None,
                unix_ms_from_proto(request.end) if request.HasField("end") else None,
                dimension,
            )
            return messages.QueryUsageResponse(
                rows=[
                    messages.UsageRow(
                        value=total.value,
                        requests=total.requests,
                        prompt_tokens=total.prompt_tokens,
                        completion_tokens=total.completion_tokens,
                        reasoning_tokens=total.reasoning_tokens,
                        cost_nano_usd=total.cost_nano_usd,
                    )
                    for total in totals
                ]
            )
