"""The router over gRPC."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import grpc

from contracts.errors import ErrorReason
from edge.adapters.grpc_status import error_from_status
from edge.domain.errors import BrokenAnswerError, DependencyError, EdgeError, RefusedError
from turnpike.router.v1 import invocation_pb2, router_service_pb2, router_service_pb2_grpc

_TIMED_OUT: Final = "The answer was not complete within the time limit."
# For the status that follows the last message.
_FINISH_S: Final = 1.0

_Call = grpc.aio.UnaryStreamCall[router_service_pb2.CompleteRequest, router_service_pb2.CompleteResponse]


class GrpcCompletionCall:
    """One `Complete` call."""

    __slots__ = ("_began", "_call")

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._began = False

    async def read(self) -> router_service_pb2.CompleteResponse | None:
        """Return the next message; None after the last one.

        Raises:
            RefusedError: refused before anything was answered.
            DependencyError: the router did not answer.
            BrokenAnswerError: the answer had begun.
        """
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from None
        if isinstance(message, router_service_pb2.CompleteResponse):
            self._began = True
            return message
        return None

    async def finish(self) -> None:
        """Wait briefly for the status, so that an orderly end is not taken for a cancellation."""
        try:
            async with asyncio.timeout(_FINISH_S):
                await self._call.code()
        except TimeoutError:
            self._call.cancel()

    def cancel(self) -> None:
        """Stop the work, at the provider too."""
        self._call.cancel()

    def _error(self, error: grpc.aio.AioRpcError) -> EdgeError:
        timed_out = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if self._began:
            if timed_out:
                return BrokenAnswerError(_TIMED_OUT, 504, "timeout")
            return BrokenAnswerError("The answer was cut off before it was complete.")
        translated = error_from_status(error, "router")
        if timed_out and isinstance(translated, DependencyError):
            return RefusedError(ErrorReason.TIMEOUT, _TIMED_OUT)
        return translated


class GrpcCompletionRouter:
    """The router's service."""

    def __init__(self, channel: grpc.aio.Channel, *, deadline: timedelta, list_timeout: timedelta) -> None:
        """Make a client.

        Args:
            channel: to the routers.
            deadline: of a whole generation.
            list_timeout: of a look at the catalogue.
        """
        self._stub = router_service_pb2_grpc.RouterServiceStub(channel)
        self._deadline_s = deadline.total_seconds()
        self._list_timeout_s = list_timeout.total_seconds()

    def complete(self, request: router_service_pb2.CompleteRequest) -> GrpcCompletionCall:
        """Send a request."""
        return GrpcCompletionCall(self._stub.Complete(request, timeout=self._deadline_s))

    async def invoke(self, request: invocation_pb2.InvokeRequest) -> invocation_pb2.InvokeResponse:
        """Have an operation done.

        Raises:
            RefusedError: refused, or not answered in time.
            DependencyError: the router did not answer.
        """
        try:
            return await self._stub.Invoke(request, timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            translated = error_from_status(error, "router")
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and isinstance(translated, DependencyError):
                raise RefusedError(ErrorReason.TIMEOUT, _TIMED_OUT) from None
            raise translated from None

    async def list_models(self, known_version: str) -> router_service_pb2.ListModelsResponse:
        """List the catalogue; without models when `known_version` is in force.

        Raises:
            DependencyError: the router did not answer.
        """
        request = router_service_pb2.ListModelsRequest(known_version=known_version)
        try:
            return await self._stub.ListModels(request, timeout=self._list_timeout_s)
        except grpc.aio.AioRpcError:
            raise DependencyError("router") from None
