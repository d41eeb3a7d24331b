"""The dialects of the public API as a caller speaks them: one request in the words of each, and where each names an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.testing.stack import Answer

TOOL = {"type": "object", "properties": {}}


@dataclass(frozen=True)
class Ask:
    """A request, whatever the dialect.

    Attributes:
        model: that it names.
        text: what it says.
        image: address of an image, empty for none.
        tool: name of a function tool, empty for none.
        max_tokens: 0 for no limit.
        members: that are the same in every dialect.
    """

    model: str
    text: str = "Say something"
    image: str = ""
    tool: str = ""
    max_tokens: int = 0
    members: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """An error as a dialect reports it."""

    status: int
    error_type: str
    availability: Mapping[str, Any] | None


class Chat:
    """Chat completions."""

    name = "chat"
    path = "/chat/completions"

    def body(self, ask: Ask) -> dict[str, Any]:
        """Say it."""
        content: Any = ask.text
        if ask.image:
            content = [{"type": "text", "text": ask.text}, {"type": "image_url", "image_url": {"url": ask.image}}]
        body: dict[str, Any] = {"model": ask.model, "messages": [{"role": "user", "content": content}]}
        if ask.tool:
            body["tools"] = [{"type": "function", "function": {"name": ask.tool, "parameters": TOOL}}]
        if ask.max_tokens:
            body["max_tokens"] = ask.max_tokens
        return body | dict(ask.members)

    def error(self, answer: Answer) -> Said:
        """Read an error that came instead of an answer."""
        error = answer.document["error"]
        assert error["code"] == answer.status
        return Said(answer.status, error["metadata"]["error_type"], error.get("availability"))

    def late_error(self, answer: Answer) -> Said:
        """Read the error that ended a stream."""
        error = answer.events[-1]["error"]
        assert "[DONE]" not in answer.events
        assert answer.events[-1]["choices"][0]["finish_reason"] == "error"
        return Said(error["code"], error["metadata"]["error_type"], None)

    def text(self, answer: Answer) -> str:
        """The text of a stream, as far as it came."""
        return "".join(choice["delta"].get("content") or "" for event in answer.events for choice in event["choices"])


def named_events(answer: Answer) -> list[tuple[str, Any]]:
    """Events of a stream with their names."""
    found: list[tuple[str, Any]] = []
    for block in answer.body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":") and ": " in line)
        if lines.get("data", "[DONE]") != "[DONE]":
            found.append((lines.get("event", ""), json.loads(lines["data"])))
    return found


Speaker = Chat
SPEAKERS: tuple[Speaker, ...] = (Chat(),)
