"""Cohere's chat API."""

from __future__ import annotations

from typing import Any

from dialects.answers import FinishReason
from router.testing.scripted_provider import Received
from router.testing.wires.said import Counts, Parts, Said
from router.testing.wires.wire import sse

_FINISHES = {
    FinishReason.STOP: "COMPLETE",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.TOOL_CALLS: "TOOL_CALL",
    FinishReason.CONTENT_FILTER: "ERROR_TOXIC",
}


class CohereWire:
    """A server of the chat API, version 2."""

    dialect = "cohere"
    stream_type = "text/event-stream"
    base_path = ""
    key_header = "authorization"
    key_prefix = "Bearer "

    def path(self, model: str, *, stream: bool) -> str:
        """One for all models."""
        return "/v2/chat"

    def asks_for_stream(self, received: Received) -> bool:
        """The body says it."""
        return bool(received.body.get("stream"))

    def whole(self, said: Said) -> Any:
        """A response."""
        content = [{"type": "thinking", "thinking": said.thought}] if said.thoughts else []
        content += [{"type": "text", "text": said.text}] if said.words else []
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if said.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.arguments)},
                }
                for call in said.calls
            ]
        return {"id": "up-1", "message": message, **_end(said)}

    def parts(self, said: Said) -> Parts:
        """Events."""
        opening = [_event("message-start", {"message": {"role": "assistant"}}, id="up-1")]
        output = []
        for index, (kind, pieces) in enumerate((("thinking", said.thoughts), ("text", said.words))):
            if pieces:
                output.append(_content("content-start", index, {"type": kind, kind: ""}))
                output += [_content("content-delta", index, {kind: piece}) for piece in pieces]
                output.append(_event("content-end", None, index=index))
        for index, call in enumerate(said.calls):
            head = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
            output.append(_event("tool-call-start", {"message": {"tool_calls": head}}, index=index))
            output += [
                _event("tool-call-delta", {"message": {"tool_calls": {"function": {"arguments": piece}}}}, index=index)
                for piece in call.arguments
            ]
            output.append(_event("tool-call-end", None, index=index))
        return Parts(opening, output, [_event("message-end", _end(said))])

    def refusal(self, status: int, message: str = "no") -> Any:
        """A sentence."""
        return {"id": "e-1", "message": message}

    def failure(self) -> bytes:
        """An end that says that it is none."""
        return _event("message-end", {"finish_reason": "ERROR", "error": "internal server error"})

    def garbage(self) -> bytes:
        """A delta that is not JSON."""
        return sse(b'{"type":"content-delta","delta":{', "content-delta")

    def late_failure(self) -> Any:
        """A sentence."""
        return self.refusal(500, "internal server error")


def _event(kind: str, delta: dict[str, Any] | None, **more: Any) -> bytes:
    return sse({"type": kind, **more, **({} if delta is None else {"delta": delta})}, kind)


def _content(kind: str, index: int, content: dict[str, Any]) -> bytes:
    return _event(kind, {"message": {"content": content}}, index=index)


def _end(said: Said) -> dict[str, Any]:
    usage = {} if said.counts is None else {"usage": _usage(said.counts)}
    return {"finish_reason": _FINISHES[said.finish], **usage}


def _usage(counts: Counts) -> dict[str, Any]:
    billed = {"input_tokens": counts.prompt, "output_tokens": counts.completion}
    # The provider's own template is in the second pair, and nobody pays for it.
    whole = {"input_tokens": counts.prompt + 500, "output_tokens": counts.completion}
    return {"billed_units": billed, "tokens": whole, "cached_tokens": counts.cached}
