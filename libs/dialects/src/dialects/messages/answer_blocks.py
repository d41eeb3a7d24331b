"""An answer's pieces cut into the content blocks of the Messages API, as the events of its streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dialects.anthropic.reasoning_details import TEXT
from dialects.errors import DialectError
from dialects.messages.thoughts import SUMMARY, TEXT_MEMBERS, seal

Event = dict[str, Any]

# Where the pieces of one block of reasoning go on with the block before.
_GROWING = frozenset({TEXT, SUMMARY})


class InterleavedCallsError(DialectError):
    """A piece of a tool call came after another call had begun: blocks of a stream are one after the other."""


@dataclass(slots=True)
class _Thought:
    """A block of reasoning that has begun: all its members but the text, which has gone out."""

    key: tuple[object, ...]
    detail: dict[str, Any]
    shown: bool


@dataclass(slots=True)
class AnswerBlocks:
    """Cuts one answer into blocks, each of which ends before the next one begins.

    Every method returns the events that the piece makes.

    Attributes:
        hides_thinking: whether thinking goes out as its signature alone.
        calls_tools: whether there was a tool call.
    """

    hides_thinking: bool = False
    calls_tools: bool = False
    _index: int = -1
    _open: str = ""
    _thought: _Thought | None = None
    _call: int = -1
    _begun: set[int] = field(default_factory=set)

    def text(self, text: str) -> list[Event]:
        """The next characters of the text."""
        if not text:
            return []
        events: list[Event] = []
        if self._open != "text":
            events = [*self.close(), self._start("text", {"type": "text", "text": "", "citations": None})]
        events.append(self._delta({"type": "text_delta", "text": text}))
        return events

    def citations(self, annotations: Sequence[Mapping[str, Any]]) -> list[Event]:
        """What the text so far cites. Only pages of the web are said in both APIs."""
        events: list[Event] = []
        for annotation in annotations:
            cited = annotation.get("url_citation")
            if self._open == "text" and isinstance(cited, dict):
                citation = {
                    "type": "web_search_result_location",
                    "url": cited.get("url") or "",
                    "title": cited.get("title"),
                    "cited_text": cited.get("content") or "",
                    "encrypted_index": "",
                }
                events.append(self._delta({"type": "citations_delta", "citation": citation}))
        return events

    def reasoning(self, text: str, details: Sequence[Mapping[str, Any]]) -> list[Event]:
        """The next piece of the reasoning.

        Args:
            text: its characters.
            details: the same in full, where the provider says it so; then these count.
        """
        events: list[Event] = []
        said = False
        for detail in details:
            said = said or bool(_text_of(detail))
            events += self._detail(detail)
        if text and not said:
            events += self._detail({"type": TEXT, "text": text, "index": "text"})
        return events

    def tool_call(self, index: int, id: str, name: str, arguments: str) -> list[Event]:
        """The next piece of a tool call.

        Raises:
            InterleavedCallsError: another call has begun since this one.
        """
        events: list[Event] = []
        if self._open != "tool_use" or self._call != index:
            if index in self._begun:
                raise InterleavedCallsError("the pieces of tool calls are mixed")
            block = {"type": "tool_use", "id": id, "name": name, "input": {}, "caller": {"type": "direct"}}
            events = [*self.close(), self._start("tool_use", block)]
            self._begun.add(index)
            self._call = index
            self.calls_tools = True
        if arguments:
            events.append(self._delta({"type": "input_json_delta", "partial_json": arguments}))
        return events

    def close(self) -> list[Event]:
        """End the block that is open, if there is one."""
        if not self._open:
            return []
        events: list[Event] = []
        if self._thought is not None:
            events = self._end_of(self._thought)
            self._thought = None
        if self._open:
            events.append({"type": "content_block_stop", "index": self._index})
        self._open = ""
        return events

    def _detail(self, detail: Mapping[str, Any]) -> list[Event]:
        kind = detail.get("type")
        key = (kind, detail.get("index"), detail.get("id") if detail.get("index") is None else None)
        events: list[Event] = []
        thought = self._thought
        if thought is None or thought.key != key:
            events = self.close()
            thought = self._thought = _Thought(key, {}, shown=kind in _GROWING)
            if thought.shown:
                events.append(self._start("thinking", {"type": "thinking", "thinking": "", "signature": ""}))
            else:
                # Its one event needs the whole of it.
                self._open = "redacted_thinking"
        _grow(thought.detail, detail)
        text = _text_of(detail)
        if text and thought.shown and not self.hides_thinking:
            events.append(self._delta({"type": "thinking_delta", "thinking": text}))
        return events

    def _end_of(self, thought: _Thought) -> list[Event]:
        if thought.shown:
            signature = seal(thought.detail)
            return [self._delta({"type": "signature_delta", "signature": signature})] if signature else []
        block = {"type": "redacted_thinking", "data": seal(thought.detail)}
        return [self._start("redacted_thinking", block)]

    def _start(self, kind: str, block: dict[str, Any]) -> Event:
        self._index += 1
        self._open = kind
        return {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, delta: dict[str, Any]) -> Event:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}


def _text_of(detail: Mapping[str, Any]) -> str:
    value = detail.get(TEXT_MEMBERS.get(str(detail.get("type")), ""))
    return value if isinstance(value, str) else ""


def _grow(whole: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add a piece to a detail: signatures and data concatenate, of the rest the last one counts, and the text has gone out."""
    for name, value in piece.items():
        if name in ("signature", "data") and isinstance(value, str):
            whole[name] = whole.get(name, "") + value
        elif value is not None and name not in TEXT_MEMBERS.values():
            whole[name] = value
