"""The dialects of the public API as a caller speaks them: one request in the words of each, and where each names an error."""

from __future__ import annotations

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
    """An error as a dialect reports it; an event has no status in some."""

    status: int | None
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


class Responses:
    """The Responses API."""

    name = "responses"
    path = "/responses"

    def body(self, ask: Ask) -> dict[str, Any]:
        """Say it."""
        parts: list[dict[str, Any]] = [{"type": "input_text", "text": ask.text}]
        if ask.image:
            parts.append({"type": "input_image", "image_url": ask.image, "detail": "auto"})
        body: dict[str, Any] = {"model": ask.model, "input": [{"role": "user", "content": parts}]}
        if ask.tool:
            body["tools"] = [{"type": "function", "name": ask.tool, "parameters": TOOL}]
        if ask.max_tokens:
            body["max_output_tokens"] = ask.max_tokens
        return body | dict(ask.members)

    def error(self, answer: Answer) -> Said:
        """Read an error that came instead of an answer."""
        document = answer.document
        assert document["error"]["code"] == answer.status
        return Said(answer.status, document["error_type"], document["error"].get("availability"))

    def late_error(self, answer: Answer) -> Said:
        """Read the error that ended a stream."""
        response = answer.events[-1]["response"]
        assert "[DONE]" not in answer.events
        assert (answer.events[-1]["type"], response["status"]) == ("response.failed", "failed")
        return Said(None, response["error_type"], None)

    def too_long(self, answer: Answer) -> str:
        """What a response is incomplete for: a length is no error here."""
        if answer.headers["Content-Type"] == "text/event-stream":
            assert answer.events[-1] == "[DONE]"
            assert answer.events[-2]["type"] == "response.incomplete"
            response = answer.events[-2]["response"]
        else:
            response = answer.document
        assert (answer.status, response["status"]) == (200, "incomplete")
        reason: str = response["incomplete_details"]["reason"]
        return reason

    def text(self, answer: Answer) -> str:
        """The text of a stream, as far as it came."""
        deltas = [event for event in answer.events if event != "[DONE]"]
        return "".join(event["delta"] for event in deltas if event["type"] == "response.output_text.delta")


class Messages:
    """Anthropic's Messages API."""

    name = "messages"
    path = "/messages"

    def body(self, ask: Ask) -> dict[str, Any]:
        """Say it."""
        parts: list[dict[str, Any]] = [{"type": "text", "text": ask.text}]
        if ask.image.startswith("data:"):
            head, _, data = ask.image.removeprefix("data:").partition(";base64,")
            parts.append({"type": "image", "source": {"type": "base64", "media_type": head, "data": data}})
        elif ask.image:
            parts.append({"type": "image", "source": {"type": "url", "url": ask.image}})
        body: dict[str, Any] = {"model": ask.model, "messages": [{"role": "user", "content": parts}]}
        if ask.tool:
            body["tools"] = [{"name": ask.tool, "input_schema": TOOL}]
        if ask.max_tokens:
            body["max_tokens"] = ask.max_tokens
        return body | dict(ask.members)

    def error(self, answer: Answer) -> Said:
        """Read an error that came instead of an answer."""
        document = answer.document
        assert document["type"] == "error"
        assert document["error"]["type"].endswith("_error")
        return Said(answer.status, document["error"]["error_type"], document["error"].get("availability"))

    def late_error(self, answer: Answer) -> Said:
        """Read the error that ended a stream."""
        document = answer.events[-1]
        assert document["type"] == "error"
        return Said(None, document["error"]["error_type"], None)

    def text(self, answer: Answer) -> str:
        """The text of a stream, as far as it came."""
        deltas = [event["delta"] for event in answer.events if event["type"] == "content_block_delta"]
        return "".join(delta["text"] for delta in deltas if delta["type"] == "text_delta")


Speaker = Chat | Responses | Messages
SPEAKERS: tuple[Speaker, ...] = (Chat(), Responses(), Messages())
