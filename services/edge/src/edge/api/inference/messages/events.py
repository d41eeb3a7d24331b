"""A message as server-sent events, in Anthropic's order and by Anthropic's names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from dialects.messages import AnswerBlocks, Ending, Event, MessagesRequest
from edge.api.http.errors import Problem
from edge.api.inference.messages.errors import anthropic_error
from edge.api.inference.messages.pieces import events_of
from edge.api.inference.messages.usage import messages_usage, no_usage
from edge.api.inference.metadata_json import metadata_json
from edge.api.inference.skin import Heading
from turnpike.router.v1 import completion_pb2

_encode = msgspec.json.Encoder().encode
_PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'


class MessageEvents:
    """Renders the events of one answer."""

    keep_alive = _PING

    def __init__(self, heading: Heading, request: MessagesRequest) -> None:
        self._heading = heading
        self._request = request
        self._blocks = AnswerBlocks(hides_thinking=request.hides_thinking)
        self._ending = Ending()
        self._metadata: bytes | None = None

    def route(self, route: completion_pb2.Route) -> bytes:
        """Begin the message."""
        self._metadata = metadata_json(route)
        message: dict[str, Any] = {
            "id": self._heading.generation_id,
            "type": "message",
            "role": "assistant",
            "model": route.model,
            "provider": route.provider_name,
            "content": [],
            "container": None,
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": no_usage(),
        }
        return _event({"type": "message_start", "message": message})

    def deltas(self, deltas: Iterable[completion_pb2.ChoiceDelta]) -> bytes:
        """Render pieces of the answer."""
        return b"".join(_event(event) for delta in deltas for event in events_of(delta, self._blocks, self._ending))

    def final(self, outcome: completion_pb2.Outcome) -> bytes:
        """Render the end of a complete answer."""
        events = [_event(event) for event in self._blocks.close()]
        delta = self._ending.members(calls_tools=self._blocks.calls_tools, stop_sequences=self._request.stop_sequences)
        end: Event = {"type": "message_delta", "delta": delta, "usage": messages_usage(outcome)}
        if self._request.edits_context:
            end["context_management"] = {"applied_edits": []}
        stop: Event = {"type": "message_stop"}
        if self._metadata is not None:
            stop["openrouter_metadata"] = msgspec.Raw(self._metadata)
        return b"".join((*events, _event(end), _event(stop)))

    def error(self, problem: Problem) -> bytes:
        """Render the one event that ends a broken answer."""
        return b"event: error\ndata: " + anthropic_error(problem, self._heading.generation_id) + b"\n\n"


def _event(event: Event) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(event))
