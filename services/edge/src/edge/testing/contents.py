"""The keeper of contents and feedback, in memory, and behind a real gRPC server."""

from __future__ import annotations

from typing import Any

import grpc

from edge.domain.errors import DependencyError, NotFoundError
from edge.ports import Feedback, GenerationContent
from edge.testing.refusals import aborting
from turnpike.accounts.v1 import content_service_pb2 as messages
from turnpike.accounts.v1 import content_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class MemoryContents:
    """Keeps contents and feedback.

    Attributes:
        contents: by organisation and generation, with the key.
        feedback: in order.
        down: whether every call fails.
    """

    def __init__(self) -> None:
        self.contents: dict[tuple[str, str], GenerationContent] = {}
        self.feedback: list[Feedback] = []
        self.down = False

    async def keep(self, content: GenerationContent) -> None:
        """Keep a content."""
        self._check()
        self.contents.setdefault((content.org_id, content.generation_id), content)

    async def get(self, org_id: str, generation_id: str, key_id: str) -> bytes:
        """Return a content, of one key or, where that is empty, of any."""
        self._check()
        content = self.contents.get((org_id, generation_id))
        if content is None or key_id not in ("", content.key_id):
            raise NotFoundError("No content is kept of this generation")
        return content.content

    async def submit(self, feedback: Feedback) -> None:
        """Keep feedback."""
        self._check()
        self.feedback.append(feedback)

    def _check(self) -> None:
        if self.down:
            raise DependencyError("accounts")


class ContentServicer(content_service_pb2_grpc.ContentServiceServicer):
    """Contents and feedback."""

    def __init__(self, contents: MemoryContents) -> None:
        self._contents = contents

    async def KeepContent(self, request: messages.KeepContentRequest, context: Context) -> messages.KeepContentResponse:  # noqa: N802 - named by the wire
        """Keep a content."""
        content = GenerationContent(request.org_id, request.key_id, request.generation_id, request.content_json)
        async with aborting(context):
            await self._contents.keep(content)
            return messages.KeepContentResponse()

    async def GetContent(self, request: messages.GetContentRequest, context: Context) -> messages.GetContentResponse:  # noqa: N802 - named by the wire
        """Return a content."""
        async with aborting(context):
            content = await self._contents.get(request.org_id, request.generation_id, request.key_id)
            return messages.GetContentResponse(content_json=content)

    async def SubmitFeedback(  # noqa: N802 - named by the wire
        self, request: messages.SubmitFeedbackRequest, context: Context
    ) -> messages.SubmitFeedbackResponse:
        """Keep feedback."""
        feedback = Feedback(request.org_id, request.generation_id, request.category, request.comment)
        async with aborting(context):
            await self._contents.submit(feedback)
            return messages.SubmitFeedbackResponse()


def register_contents(server: grpc.aio.Server, contents: MemoryContents) -> None:
    """Serve contents and feedback."""
    content_service_pb2_grpc.add_ContentServiceServicer_to_server(ContentServicer(contents), server)
