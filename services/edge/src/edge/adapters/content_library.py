"""The keeper of contents and feedback over gRPC."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

import grpc

from contracts.errors import ErrorReason
from edge.adapters.grpc_status import error_from_status
from edge.domain.errors import NotFoundError, RefusedError
from edge.ports import Feedback, GenerationContent
from turnpike.accounts.v1 import content_service_pb2 as messages
from turnpike.accounts.v1 import content_service_pb2_grpc

T = TypeVar("T")


class GrpcContentLibrary:
    """Keeps contents, and gives them back."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta) -> None:
        self._stub = content_service_pb2_grpc.ContentServiceStub(channel)
        self._timeout_s = timeout.total_seconds()

    async def keep(self, content: GenerationContent) -> None:
        """Keep a content."""
        request = messages.KeepContentRequest(
            org_id=content.org_id,
            key_id=content.key_id,
            generation_id=content.generation_id,
            content_json=content.content,
        )
        await _answer(self._stub.KeepContent(request, timeout=self._timeout_s))

    async def get(self, org_id: str, generation_id: str, key_id: str) -> bytes:
        """Return a content, of one key or, where that is empty, of any."""
        request = messages.GetContentRequest(org_id=org_id, generation_id=generation_id, key_id=key_id)
        return (await _answer(self._stub.GetContent(request, timeout=self._timeout_s))).content_json

    async def submit(self, feedback: Feedback) -> None:
        """Keep feedback."""
        request = messages.SubmitFeedbackRequest(
            org_id=feedback.org_id,
            generation_id=feedback.generation_id,
            category=feedback.category,
            comment=feedback.comment,
        )
        await _answer(self._stub.SubmitFeedback(request, timeout=self._timeout_s))


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        translated = error_from_status(error, "accounts")
        if isinstance(translated, RefusedError) and translated.reason is ErrorReason.NOT_FOUND:
            raise NotFoundError("No content is kept of this generation") from None
        raise translated from None
