"""The gRPC service: parse, call, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from random import Random
from typing import Any

import grpc

from dialects.chat import decode_chat_request
from dialects.errors import InvalidRequestError
from router.api.convert import choice_to_proto, command_from_proto, progress_to_proto
from router.api.convert_listing import listing_to_proto
from router.api.errors import refuse, refuse_invalid
from router.api.invocations import command_of_invocation, invocation_to_proto
from router.catalog_listing import CatalogListing
from router.completions import Completions
from router.domain.demand import demand_of
from router.domain.errors import RefusalError
from router.domain.ports import CustomerKeys
from servicekit.clock import Clock
from servicekit.grpc_errors import remaining
from turnpike.router.v1 import invocation_pb2, router_service_pb2, router_service_pb2_grpc

SERVICE_NAME = router_service_pb2.DESCRIPTOR.services_by_name["RouterService"].full_name

# Kept back from the caller's deadline, so that our answer about it still arrives.
_DEADLINE_RESERVE_SECONDS = 0.05

_Context = grpc.aio.ServicerContext[Any, Any]


class RouterService(router_service_pb2_grpc.RouterServiceServicer):
    """Serves completions, explanations and the catalogue."""

    def __init__(
        self,
        completions: Completions,
        listing: CatalogListing,
        customer_keys: CustomerKeys,
        clock: Clock,
        longest_seconds: float,
        region: str,
    ) -> None:
        """Make the service.

        Args:
            completions: the use case of answering.
            listing: the use case of listing.
            customer_keys: the provider keys of callers.
            clock: of this process.
            longest_seconds: how long a generation may take whose caller sets no deadline.
            region: where this router is, for callers who want to know.
        """
        self._completions = completions
        self._listing = listing
        self._customer_keys = customer_keys
        self._clock = clock
        self._longest_seconds = longest_seconds
        self._region = region

    async def Complete(  # noqa: N802 - the name of the method on the wire
        self, request: router_service_pb2.CompleteRequest, context: _Context
    ) -> AsyncIterator[router_service_pb2.CompleteResponse]:
        try:
            command = command_from_proto(request, self._deadline(context))
            generation = self._completions.begin(command, await self._customer_keys.of(command.caller))
        except RefusalError as error:
            await refuse(context, error)
        except InvalidRequestError as error:
            await refuse_invalid(context, error)
        # When the caller goes away, the provider's call ends now and not when this coroutine is next scheduled.
        abandon: Any = lambda _: generation.abandon()  # noqa: E731 - the stubs take no function for a callback
        context.add_done_callback(abandon)
        try:
            async with aclosing(generation.progress()) as progresses:
                async for progress in progresses:
                    yield progress_to_proto(progress, self._region)
        except RefusalError as error:
            await refuse(context, error)

    async def Invoke(  # noqa: N802 - the name of the method on the wire
        self, request: invocation_pb2.InvokeRequest, context: _Context
    ) -> invocation_pb2.InvokeResponse:
        try:
            command = command_of_invocation(request, self._deadline(context))
            generation = self._completions.begin(command, await self._customer_keys.of(command.caller))
        except RefusalError as error:
            await refuse(context, error)
        except InvalidRequestError as error:
            await refuse_invalid(context, error)
        abandon: Any = lambda _: generation.abandon()  # noqa: E731 - the stubs take no function for a callback
        context.add_done_callback(abandon)
        try:
            async with aclosing(generation.progress()) as progresses:
                # All of it comes at once.
                return invocation_to_proto(await anext(progresses), self._region)
        except RefusalError as error:
            await refuse(context, error)

    async def Explain(  # noqa: N802 - the name of the method on the wire
        self, request: router_service_pb2.ExplainRequest, context: _Context
    ) -> router_service_pb2.ExplainResponse:
        try:
            demand = demand_of(decode_chat_request(request.request_json))
            choice = self._completions.choose(demand, _source(request.seed), complete=True)
        except RefusalError as error:
            await refuse(context, error)
        except InvalidRequestError as error:
            await refuse_invalid(context, error)
        return choice_to_proto(choice, demand)

    async def ListModels(  # noqa: N802 - the name of the method on the wire
        self, request: router_service_pb2.ListModelsRequest, context: _Context
    ) -> router_service_pb2.ListModelsResponse:
        try:
            listing = self._listing.list(request.model_id)
        except RefusalError as error:
            await refuse(context, error)
        if request.known_version == listing.version:
            return router_service_pb2.ListModelsResponse(version=listing.version)
        return listing_to_proto(listing)

    def _deadline(self, context: _Context) -> float:
        left = remaining(context, reserve=_DEADLINE_RESERVE_SECONDS)
        seconds = self._longest_seconds if left is None else min(left, self._longest_seconds)
        return self._clock.monotonic() + seconds


def _source(seed: int) -> Random | None:
    return Random(seed) if seed else None  # noqa: S311 - a seed is for repeatable explanations, not for secrets
