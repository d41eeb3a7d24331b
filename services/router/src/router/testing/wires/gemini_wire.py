"""Google's Gemini API."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from dialects.answers import FinishReason
from router.testing.scripted_provider import Received
from router.testing.wires.said import Counts, Parts, Said
from router.testing.wires.wire import sse

_FINISHES = {
    FinishReason.STOP: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.CONTENT_FILTER: "SAFETY",
}
_STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}


class GeminiWire:
    """A server of the Gemini API. Calls come whole, and there is no end mark."""

    dialect = "gemini"
    stream_type = "text/event-stream"
    base_path = "/v1beta"
    key_header = "x-goog-api-key"
    key_prefix = ""

    def path(self, model: str, *, stream: bool) -> str:
        """One for each model and way of answering."""
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{quote(model, safe='')}:{method}"

    def asks_for_stream(self, received: Received) -> bool:
        """The path says it."""
        return ":streamGenerateContent" in received.path

    def whole(self, said: Said) -> Any:
        """One response."""
        return _response(_parts(said), said.finish, said.counts)

    def parts(self, said: Said) -> Parts:
        """Responses, the last of which has the finish reason and the counts."""
        output = [sse(_response([part])) for part in _parts(said)]
        opening = [sse({"responseId": "up-1", "modelVersion": "m"})]
        return Parts(opening, output, [sse(_response([{"text": ""}], said.finish, said.counts))])

    def refusal(self, status: int, message: str = "no") -> Any:
        """An error of google.rpc."""
        return {"error": {"code": status, "message": message, "status": _STATUSES.get(status, "UNAVAILABLE")}}

    def failure(self) -> bytes:
        """An error as an event."""
        return sse(self.late_failure())

    def garbage(self) -> bytes:
        """A response that is not JSON."""
        return sse(b'{"candidates":[{"content":{')

    def late_failure(self) -> Any:
        """An error of google.rpc."""
        return self.refusal(500, "An internal error has occurred")


def _parts(said: Said) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"text": thought, "thought": True} for thought in said.thoughts]
    parts += [{"text": word} for word in said.words]
    for call in said.calls:
        parts.append({"functionCall": {"id": call.id, "name": call.name, "args": json.loads("".join(call.arguments))}})
    return parts


def _response(
    parts: list[dict[str, Any]], finish: FinishReason | None = None, counts: Counts | None = None
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = _FINISHES[finish]
    document: dict[str, Any] = {"candidates": [candidate], "responseId": "up-1"}
    if counts is not None:
        # Thoughts are beside the candidates.
        document["usageMetadata"] = {
            "promptTokenCount": counts.prompt,
            "cachedContentTokenCount": counts.cached,
            "candidatesTokenCount": counts.completion - counts.reasoning,
            "thoughtsTokenCount": counts.reasoning,
            "totalTokenCount": counts.prompt + counts.completion,
        }
    return document
