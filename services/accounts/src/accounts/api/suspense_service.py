"""The gRPC service of usage that could not be priced: parse, call, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from accounts.api.actors import actor_of
from accounts.api.errors import aborting
from accounts.domain.errors import InvalidFieldError
from accounts.domain.suspense import ListedSuspense
from accounts.records import timestamp
from accounts.suspended_usage import SuspendedUsage
from turnpike.accounts.v1 import suspense_service_pb2 as messages
from turnpike.accounts.v1 import suspense_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["SuspenseService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class SuspenseServicer(stubs.SuspenseServiceServicer):
    """Suspended usage. The names of the methods are those of the wire."""

    def __init__(self, suspended: SuspendedUsage) -> None:
        self._suspended = suspended

    async def ListSuspended(  # noqa: N802 - named by the wire
        self, request: messages.ListSuspendedRequest, context: Context
    ) -> AsyncIterator[messages.ListSuspendedResponse]:
        """List suspended usage, oldest first."""
        async with aborting(context):
            async for page in self._suspended.pages(request.org_id, resolved=request.resolved):
                yield messages.ListSuspendedResponse(suspended=[_to_proto(each) for each in page])

    async def ClearSuspended(  # noqa: N802 - named by the wire
        self, request: messages.ClearSuspendedRequest, context: Context
    ) -> messages.ClearSuspendedResponse:
        """Say what becomes of one."""
        async with aborting(context):
            actor, wanted = actor_of(context), request.WhichOneof("resolution")
            if wanted == "accept":
                price = request.accept.price if request.accept.HasField("price") else None
                usage = request.accept.usage if request.accept.HasField("usage") else None
                found = await self._suspended.accept(request.suspense_id, price, usage, request.note, actor)
            elif wanted == "write_off":
                found = await self._suspended.write_off(request.suspense_id, request.note, actor)
            elif wanted == "void":
                found = await self._suspended.void(request.suspense_id, request.note, actor)
            else:
                raise InvalidFieldError("resolution", "is not said")
            return messages.ClearSuspendedResponse(suspended=_to_proto(found[0]), charged_nano_usd=found[1])


def _to_proto(listed: ListedSuspense) -> messages.SuspendedUsage:
    suspense, statement = listed.suspense, listed.suspense.statement
    return messages.SuspendedUsage(
        suspense_id=str(statement.suspense_id),
        org_id="" if statement.org_id is None else str(statement.org_id),
        generation_id=statement.generation_id,
        rank=statement.rank,
        price_version=statement.price_version,
        reason=statement.reason,
        estimate_nano_usd=statement.estimate,
        held_nano_usd=suspense.held,
        state=messages.SuspenseState.ValueType(suspense.state),
        suspended_at=timestamp(listed.suspended_at),
        resolved_at=timestamp(listed.resolved_at),
        note=listed.note,
    )
