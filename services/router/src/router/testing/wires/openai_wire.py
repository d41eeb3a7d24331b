"""Chat completions, at servers that speak them and at Azure resources."""

from __future__ import annotations

from typing import Any

from router.testing.scripted_provider import Received
from router.testing.wires.said import Counts, Parts, Said
from router.testing.wires.wire import sse

_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded", 500: "server_error"}


class OpenAIWire:
    """A server of OpenAI's API."""

    dialect = "openai-compatible"
    stream_type = "text/event-stream"
    base_path = "/v1"
    key_header = "authorization"
    key_prefix = "Bearer "

    def path(self, model: str, *, stream: bool) -> str:
        """One for all models."""
        return "/v1/chat/completions"

    def asks_for_stream(self, received: Received) -> bool:
        """The body says it."""
        return bool(received.body.get("stream"))

    def whole(self, said: Said) -> Any:
        """A chat completion."""
        message: dict[str, Any] = {"role": "assistant", "content": said.text or None}
        if said.thoughts:
            message["reasoning_content"] = said.thought
        if said.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.arguments)},
                }
                for call in said.calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": said.finish.value}
        usage = {} if said.counts is None else {"usage": _usage(said.counts)}
        return {"id": "up-1", "object": "chat.completion", "choices": [choice], **usage}

    def parts(self, said: Said) -> Parts:
        """Chunks."""
        output = [_chunk({"reasoning_content": thought}) for thought in said.thoughts]
        output += [_chunk({"content": word}) for word in said.words]
        for index, call in enumerate(said.calls):
            head = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
            output.append(_chunk({"tool_calls": [{"index": index, **head}]}))
            output += [
                _chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}) for piece in call.arguments
            ]
        closing = [_chunk({}, said.finish.value)]
        if said.counts is not None:
            closing.append(sse({"id": "up-1", "choices": [], "usage": _usage(said.counts)}))
        return Parts([_chunk({"role": "assistant", "content": ""})], output, [*closing, sse(b"[DONE]")])

    def refusal(self, status: int, message: str = "no") -> Any:
        """An error object."""
        return {"error": {"message": message, "type": "error", "code": _CODES.get(status)}}

    def failure(self) -> bytes:
        """An error object as an event."""
        return sse(self.late_failure())

    def garbage(self) -> bytes:
        """A chunk that is not JSON."""
        return sse(b'{"id":"up-1","choices":[{"delta"')

    def late_failure(self) -> Any:
        """An error object."""
        return {"error": {"message": "The server had an error", "type": "server_error", "code": 500}}


class AzureWire(OpenAIWire):
    """An Azure resource: other paths, another header, and an event of its content filter first."""

    dialect = "azure-openai"
    base_path = ""
    key_header = "api-key"
    key_prefix = ""

    def path(self, model: str, *, stream: bool) -> str:
        """One for all deployments."""
        return "/openai/v1/chat/completions"

    def parts(self, said: Said) -> Parts:
        """Chunks, after one without choices."""
        plain = super().parts(said)
        filtered = sse({"id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
        return Parts([filtered, *plain.opening], plain.output, plain.closing)


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return sse({"id": "up-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _usage(counts: Counts) -> dict[str, Any]:
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
        "prompt_tokens_details": {"cached_tokens": counts.cached},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
    }
