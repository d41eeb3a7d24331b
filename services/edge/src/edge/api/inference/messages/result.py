"""A message that is not streamed."""

from __future__ import annotations

from typing import Any

import msgspec

from dialects.messages import AnswerBlocks, Ending, MessageContent, MessagesRequest
from edge.api.http.errors import Problem
from edge.api.inference.messages.errors import anthropic_error
from edge.api.inference.messages.pieces import events_of
from edge.api.inference.messages.usage import messages_usage
from edge.api.inference.metadata_json import metadata_json
from edge.api.inference.skin import Heading
from turnpike.router.v1 import completion_pb2

_encode = msgspec.json.Encoder().encode


class MessageResult:
    """Collects the pieces of one answer."""

    def __init__(self, heading: Heading, request: MessagesRequest) -> None:
        self._heading = heading
        self._request = request
        self._model = heading.requested_model
        self._provider: str | None = None
        self._metadata: bytes | None = None
        self._blocks = AnswerBlocks(hides_thinking=request.hides_thinking)
        self._ending = Ending()
        self._content = MessageContent()

    def route(self, route: completion_pb2.Route) -> None:
        """The answer comes from here."""
        self._model, self._provider = route.model, route.provider_name
        self._metadata = metadata_json(route)

    def add(self, delta: completion_pb2.ChoiceDelta) -> None:
        """Add a piece."""
        self._content.add(events_of(delta, self._blocks, self._ending))

    def render(self, outcome: completion_pb2.Outcome) -> bytes:
        """Render the complete message as JSON."""
        self._content.add(self._blocks.close())
        edits: dict[str, list[Any]] | None = {"applied_edits": []} if self._request.edits_context else None
        message: dict[str, Any] = {
            "id": self._heading.generation_id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "provider": self._provider,
            "content": self._content.blocks(),
            **self._ending.members(calls_tools=self._blocks.calls_tools, stop_sequences=self._request.stop_sequences),
            "context_management": edits,
            "usage": messages_usage(outcome),
        }
        if self._metadata is not None:
            message["openrouter_metadata"] = msgspec.Raw(self._metadata)
        return _encode(message)

    def failed(self, problem: Problem) -> bytes:
        """Render the error alone: nothing of it can be in a message."""
        return anthropic_error(problem, self._heading.generation_id)
