"""Anthropic's Messages API."""

from __future__ import annotations

import json
from typing import Any

from dialects.answers import FinishReason
from router.testing.scripted_provider import Received
from router.testing.wires.said import Counts, Parts, Said
from router.testing.wires.wire import sse

_FINISHES = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


class AnthropicWire:
    """A server of the Messages API."""

    dialect = "anthropic"
    stream_type = "text/event-stream"
    base_path = ""
    key_header = "x-api-key"
    key_prefix = ""

    def path(self, model: str, *, stream: bool) -> str:
        """One for all models."""
        return "/v1/messages"

    def asks_for_stream(self, received: Received) -> bool:
        """The body says it."""
        return bool(received.body.get("stream"))

    def whole(self, said: Said) -> Any:
        """A message."""
        blocks: list[dict[str, Any]] = []
        if said.thoughts:
            blocks.append({"type": "thinking", "thinking": said.thought, "signature": "c2ln"})
        if said.words:
            blocks.append({"type": "text", "text": said.text})
        blocks += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads("".join(call.arguments))}
            for call in said.calls
        ]
        message = _message(blocks, _FINISHES[said.finish])
        return message if said.counts is None else {**message, "usage": _usage(said.counts)}

    def parts(self, said: Said) -> Parts:
        """Events, a block for each kind of output."""
        start = _message([], None)
        if said.counts is not None:
            start["usage"] = {**_usage(said.counts), "output_tokens": 1}
        opening = [_event({"type": "message_start", "message": start}), _event({"type": "ping"})]
        blocks: list[tuple[dict[str, Any], list[dict[str, str]]]] = []
        if said.thoughts:
            thoughts = [{"type": "thinking_delta", "thinking": thought} for thought in said.thoughts]
            blocks.append(
                ({"type": "thinking", "thinking": ""}, [*thoughts, {"type": "signature_delta", "signature": "c2ln"}])
            )
        if said.words:
            blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in said.words]))
        for call in said.calls:
            pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in call.arguments]
            blocks.append(({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, pieces))
        output = []
        for index, (block, deltas) in enumerate(blocks):
            output.append(_event({"type": "content_block_start", "index": index, "content_block": block}))
            output += [_event({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas]
            output.append(_event({"type": "content_block_stop", "index": index}))
        end: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": _FINISHES[said.finish]}}
        if said.counts is not None:
            end["usage"] = {
                "output_tokens": said.counts.completion,
                "output_tokens_details": {"thinking_tokens": said.counts.reasoning},
            }
        return Parts(opening, output, [_event(end), _event({"type": "message_stop"})])

    def refusal(self, status: int, message: str = "no") -> Any:
        """An error object."""
        return {"type": "error", "error": {"type": _TYPES[status], "message": message}}

    def failure(self) -> bytes:
        """An error event."""
        return _event(self.late_failure())

    def garbage(self) -> bytes:
        """A delta that is not JSON."""
        return sse(b'{"type":"content_block_delta","index":0,"delta":{', "content_block_delta")

    def late_failure(self) -> Any:
        """An error object."""
        return self.refusal(500, "Internal server error")


def _event(document: dict[str, Any]) -> bytes:
    return sse(document, document["type"])


def _message(blocks: list[dict[str, Any]], stop: str | None) -> dict[str, Any]:
    return {"id": "up-1", "type": "message", "role": "assistant", "model": "m", "content": blocks, "stop_reason": stop}


def _usage(counts: Counts) -> dict[str, Any]:
    # Cached tokens are beside the input.
    return {
        "input_tokens": counts.prompt - counts.cached,
        "cache_read_input_tokens": counts.cached,
        "output_tokens": counts.completion,
        "output_tokens_details": {"thinking_tokens": counts.reasoning},
    }
