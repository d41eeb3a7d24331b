"""Pieces of a chat answer as the output items of a response, and as the events of its stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dialects.answers import ChoiceDelta, FinishReason
from dialects.responses.output_items import CallOutput, Event, ImageOutput, MessageOutput
from dialects.responses.reasoning import ENCRYPTED, SUMMARY, TEXT, TEXT_MEMBERS
from dialects.responses.reasoning_output import ReasoningOutput
from dialects.responses.tools import ToolName

_TAG_LENGTH: Final = 9


class ResponseOutput:
    """The output of one response, which grows.

    A chat answer says of its reasoning, text, calls and images only which piece is next; here each is an item with a beginning
    and an end. Reasoning and text end when something else begins; calls end with the answer, because their pieces may
    come in turns. Choices after the first one have no place in a response.

    Attributes:
        finish_reason: why it ended, None before it did.
    """

    def __init__(self, generation_id: str, tools: Mapping[str, ToolName], *, encrypted: bool, logprobs: bool) -> None:
        """Start an answer.

        Args:
            generation_id: its end makes the ids of the items unique.
            tools: the caller's tools, by their names as functions.
            encrypted: whether the caller wants reasoning that only its model can read.
            logprobs: whether the caller wants log probabilities.
        """
        self.finish_reason: FinishReason | None = None
        self._tag = generation_id[-_TAG_LENGTH:].lower()
        self._tools = dict(tools)
        self._encrypted = encrypted
        self._logprobs = logprobs
        self._items: list[ReasoningOutput | MessageOutput | CallOutput | ImageOutput] = []
        self._calls: dict[int, CallOutput] = {}
        self._reasoning: ReasoningOutput | None = None
        self._message: MessageOutput | None = None

    def add(self, delta: ChoiceDelta) -> list[Event]:
        """Take a piece in. The events have no `sequence_number` yet."""
        if delta.index != 0:
            return []
        extra = delta.extra or {}
        events = self._think(delta.reasoning, _objects(extra, "reasoning_details"))
        if delta.content:
            logprobs = _logprobs(delta.logprobs) if self._logprobs else []
            events += self._say("output_text", delta.content, logprobs)
        if delta.refusal:
            events += self._say("refusal", delta.refusal, [])
        for annotation in _objects(extra, "annotations"):
            events += self._annotate(annotation)
        for image in _objects(extra, "images"):
            events += self._draw(image)
        for piece in delta.tool_calls:
            call = self._calls.get(piece.index)
            if call is None:
                events += self._end_reasoning() + self._end_message()
                call = self._calls[piece.index] = CallOutput(len(self._items), self._tag, self._tools)
                self._items.append(call)
            events += call.add(piece.id, piece.name, piece.arguments)
        if delta.finish_reason is not None:
            self.finish_reason = delta.finish_reason
        return events

    def finish(self, status: str = "completed") -> list[Event]:
        """End every item that is still open."""
        return [event for item in self._items if item.open for event in item.finish(status)]

    def items(self, status: str = "completed") -> list[dict[str, Any]]:
        """All items, once they have ended. `status` is that of the last one; those before it were completed."""
        last = len(self._items) - 1
        return [item.document(status if position == last else "completed") for position, item in enumerate(self._items)]

    @property
    def text(self) -> str:
        """The text of all messages."""
        return "".join(item.text for item in self._items if isinstance(item, MessageOutput))

    def _think(self, reasoning: str | None, details: list[dict[str, Any]]) -> list[Event]:
        events: list[Event] = []
        if not any(detail.get("type") in (TEXT, SUMMARY) and _readable(detail) for detail in details) and reasoning:
            # Without details, or with those alone that nobody can read, the plain text is all there is.
            details = [{"type": TEXT, "text": reasoning}, *details]
        for detail in details:
            kind = detail.get("type")
            if kind not in (TEXT, SUMMARY, ENCRYPTED) or (kind == ENCRYPTED and not self._encrypted):
                continue
            if self._reasoning is None or not self._reasoning.takes(detail):
                events += self._end_reasoning() + self._end_message()
                detail_id = detail.get("id")
                self._reasoning = ReasoningOutput(
                    len(self._items), self._tag, detail_id if isinstance(detail_id, str) and detail_id else None
                )
                self._items.append(self._reasoning)
                events += self._reasoning.begin()
            events += self._reasoning.add(detail)
        return events

    def _say(self, kind: str, text: str, logprobs: list[Any]) -> list[Event]:
        if self._message is not None and self._reasoning is None:
            return self._message.say(kind, text, logprobs)
        events = self._end_reasoning()
        if self._message is None:
            self._message = MessageOutput(len(self._items), self._tag)
            self._items.append(self._message)
            events += self._message.begin()
        return events + self._message.say(kind, text, logprobs)

    def _annotate(self, annotation: dict[str, Any]) -> list[Event]:
        citation = annotation.get("url_citation")
        messages = [item for item in self._items if isinstance(item, MessageOutput)]
        if annotation.get("type") != "url_citation" or not isinstance(citation, dict) or not messages:
            return []
        return messages[-1].annotate({"type": "url_citation", **citation})

    def _draw(self, image: dict[str, Any]) -> list[Event]:
        address = image.get("image_url")
        url = address.get("url") if isinstance(address, dict) else None
        if not isinstance(url, str):
            return []
        events = self._end_reasoning() + self._end_message()
        drawn = ImageOutput(len(self._items), self._tag, url)
        self._items.append(drawn)
        return events + drawn.events()

    def _end_reasoning(self) -> list[Event]:
        ended, self._reasoning = self._reasoning, None
        return ended.finish() if ended is not None else []

    def _end_message(self) -> list[Event]:
        ended, self._message = self._message, None
        return ended.finish() if ended is not None else []


def _readable(detail: dict[str, Any]) -> bool:
    return bool(detail.get(TEXT_MEMBERS[detail["type"]]))


def _objects(extra: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = extra.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _logprobs(logprobs: Any) -> list[Any]:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return []
    return [
        {
            "token": each.get("token", ""),
            "logprob": each.get("logprob", 0),
            "bytes": each.get("bytes") or [],
            "top_logprobs": [
                {"token": top.get("token", ""), "logprob": top.get("logprob", 0), "bytes": top.get("bytes") or []}
                for top in _objects(each, "top_logprobs")
            ],
        }
        for each in content
        if isinstance(each, dict)
    ]
