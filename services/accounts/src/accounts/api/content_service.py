"""The gRPC service of contents and feedback: parse, call, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from accounts.api.errors import aborting
from accounts.contents import Contents
from turnpike.accounts.v1 import content_service_pb2 as messages
from turnpike.accounts.v1 import content_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["ContentService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class ContentServicer(stubs.ContentServiceServicer):
    """Contents and feedback. The names of the methods are those of the wire."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    async def KeepContent(self, request: messages.KeepContentRequest, context: Context) -> messages.KeepContentResponse:  # noqa: N802 - named by the wire
        """Keep what was said."""
        async with aborting(context):
            expires_at = await self._contents.keep(
                request.org_id, request.key_id, request.generation_id, request.content_json
            )
            response = messages.KeepContentResponse()
            response.expires_at.FromDatetime(expires_at)
            return response

    async def GetContent(self, request: messages.GetContentRequest, context: Context) -> messages.GetContentResponse:  # noqa: N802 - named by the wire
        """Return what was said."""
        async with aborting(context):
            content = await self._contents.get(request.org_id, request.generation_id, request.key_id)
            return messages.GetContentResponse(content_json=content)

    async def SubmitFeedback(  # noqa: N802 - named by the wire
        self, request: messages.SubmitFeedbackRequest, context: Context
    ) -> messages.SubmitFeedbackResponse:
        """Keep what somebody thinks of a generation."""
        async with aborting(context):
            await self._contents.submit_feedback(
                request.org_id, request.generation_id, request.category, request.comment
            )
            return messages.SubmitFeedbackResponse()
