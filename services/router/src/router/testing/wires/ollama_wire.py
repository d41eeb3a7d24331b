"""Ollama's chat API."""

from __future__ import annotations

import json
from typing import Any

from dialects.answers import FinishReason
from router.testing.scripted_provider import Received
from router.testing.wires.said import Call, Parts, Said
from router.testing.wires.wire import encode

_FINISHES = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length", FinishReason.TOOL_CALLS: "stop"}


class OllamaWire:
    """A server of Ollama. Calls come whole; the last line has the end, the reason and the counts."""

    dialect = "ollama"
    stream_type = "application/x-ndjson"
    base_path = ""
    key_header = "authorization"
    key_prefix = "Bearer "

    def path(self, model: str, *, stream: bool) -> str:
        """One for all models."""
        return "/api/chat"

    def asks_for_stream(self, received: Received) -> bool:
        """The body says it."""
        return bool(received.body.get("stream"))

    def whole(self, said: Said) -> Any:
        """A response."""
        message: dict[str, Any] = {"role": "assistant", "content": said.text}
        if said.thoughts:
            message["thinking"] = said.thought
        if said.calls:
            message["tool_calls"] = [_call(call) for call in said.calls]
        return {**_head(message), **_end(said)}

    def parts(self, said: Said) -> Parts:
        """Lines."""
        messages: list[dict[str, Any]] = [{"content": "", "thinking": thought} for thought in said.thoughts]
        messages += [{"content": word} for word in said.words]
        messages += [{"content": "", "tool_calls": [_call(call)]} for call in said.calls]
        output = [_line(_head({"role": "assistant", **message})) for message in messages]
        empty = {"role": "assistant", "content": ""}
        return Parts([_line(_head(empty))], output, [_line({**_head(empty), **_end(said)})])

    def refusal(self, status: int, message: str = "no") -> Any:
        """A sentence."""
        return {"error": message}

    def failure(self) -> bytes:
        """A sentence as a line."""
        return _line(self.late_failure())

    def garbage(self) -> bytes:
        """A line that is not JSON."""
        return b'{"model":"m","message":{\n'

    def late_failure(self) -> Any:
        """A sentence."""
        return {"error": "an error was encountered while running the model"}


def _line(document: Any) -> bytes:
    return encode(document) + b"\n"


def _head(message: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "created_at": "2026-03-01T10:00:00.123456789Z", "message": message, "done": False}


def _call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "function": {"name": call.name, "arguments": json.loads("".join(call.arguments))}}


def _end(said: Said) -> dict[str, Any]:
    counts = {}
    if said.counts is not None:
        counts = {"prompt_eval_count": said.counts.prompt, "eval_count": said.counts.completion}
    return {"done": True, "done_reason": _FINISHES[said.finish], "total_duration": 5, **counts}
