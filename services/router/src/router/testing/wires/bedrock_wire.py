"""Amazon Bedrock's Converse API."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from dialects.answers import FinishReason
from dialects.testing.event_stream import write_event
from router.testing.scripted_provider import Received
from router.testing.wires.said import Counts, Parts, Said
from router.testing.wires.wire import encode

_FINISHES = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "content_filtered",
}


class BedrockWire:
    """A runtime of Bedrock. It is shown a Bedrock API key; what signs instead is tested by itself."""

    dialect = "bedrock"
    stream_type = "application/vnd.amazon.eventstream"
    base_path = ""
    key_header = "authorization"
    key_prefix = "Bearer "

    def path(self, model: str, *, stream: bool) -> str:
        """One for each model and way of answering."""
        return f"/model/{quote(model, safe='')}/{'converse-stream' if stream else 'converse'}"

    def asks_for_stream(self, received: Received) -> bool:
        """The path says it."""
        return received.path.endswith("/converse-stream")

    def whole(self, said: Said) -> Any:
        """A response of Converse."""
        blocks: list[dict[str, Any]] = []
        if said.thoughts:
            blocks.append({"reasoningContent": {"reasoningText": {"text": said.thought, "signature": "c2ln"}}})
        if said.words:
            blocks.append({"text": said.text})
        blocks += [
            {"toolUse": {"toolUseId": call.id, "name": call.name, "input": json.loads("".join(call.arguments))}}
            for call in said.calls
        ]
        usage = {} if said.counts is None else {"usage": _usage(said.counts)}
        message = {"role": "assistant", "content": blocks}
        return {
            "output": {"message": message},
            "stopReason": _FINISHES[said.finish],
            "metrics": {"latencyMs": 5},
            **usage,
        }

    def parts(self, said: Said) -> Parts:
        """Messages of the event stream."""
        blocks: list[tuple[dict[str, Any] | None, list[dict[str, Any]]]] = []
        if said.thoughts:
            blocks.append((None, [{"reasoningContent": {"text": thought}} for thought in said.thoughts]))
        if said.words:
            blocks.append((None, [{"text": word} for word in said.words]))
        for call in said.calls:
            start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
            blocks.append((start, [{"toolUse": {"input": piece}} for piece in call.arguments]))
        output = []
        for index, (start_of, deltas) in enumerate(blocks):
            place = {"contentBlockIndex": index}
            if start_of is not None:
                output.append(_event("contentBlockStart", {**place, "start": start_of}))
            output += [_event("contentBlockDelta", {**place, "delta": delta}) for delta in deltas]
            output.append(_event("contentBlockStop", place))
        metadata = {"metrics": {"latencyMs": 5}} | ({} if said.counts is None else {"usage": _usage(said.counts)})
        closing = [_event("messageStop", {"stopReason": _FINISHES[said.finish]}), _event("metadata", metadata)]
        return Parts([_event("messageStart", {"role": "assistant"})], output, closing)

    def refusal(self, status: int, message: str = "no") -> Any:
        """A sentence; the exception's name is in a header, which says no more than the status."""
        return {"message": message}

    def failure(self) -> bytes:
        """An exception."""
        return write_event("internalServerException", encode({"message": "Internal server error"}), "exception")

    def garbage(self) -> bytes:
        """An event whose payload is not JSON."""
        return write_event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{')

    def late_failure(self) -> Any:
        """An exception in the place of a response."""
        return {"__type": "com.amazon.coral.service#InternalServerException", "message": "Internal server error"}


def _event(name: str, document: dict[str, Any]) -> bytes:
    # Payloads are padded, so that their length tells nothing.
    return write_event(name, encode({**document, "p": "abcdef"}))


def _usage(counts: Counts) -> dict[str, Any]:
    # Claude's way: cached tokens are beside the input.
    return {
        "inputTokens": counts.prompt - counts.cached,
        "outputTokens": counts.completion,
        "totalTokens": counts.prompt + counts.completion,
        "cacheReadInputTokens": counts.cached,
    }
