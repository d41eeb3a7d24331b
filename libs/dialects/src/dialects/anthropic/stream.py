"""Reading a stream of the Messages API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dialects.answers import Answer, ChoiceDelta, ToolCallPiece
from dialects.anthropic.answers import MAX_ANNOTATIONS, MAX_BLOCKS, ending, service_tier, url_citation
from dialects.anthropic.documents import member, text, written
from dialects.anthropic.errors import error_of
from dialects.anthropic.reasoning_details import encrypted_detail, text_detail
from dialects.anthropic.usage import read_usage
from dialects.errors import UpstreamAnswerError
from dialects.json_values import decode_object, index_in
from dialects.sse import SseEvent, SseReader

_NOTHING = Answer()


@dataclass(slots=True)
class _Block:
    """A block that has begun.

    Attributes:
        kind: its type.
        number: which one of the reasoning blocks or of the tool calls it is.
        start: how many characters of text came before it.
        input: arguments that came with its beginning rather than in pieces.
        has_pieces: whether a piece of its arguments came.
        citations: what its text cites.
    """

    kind: str
    number: int = 0
    start: int = 0
    input: dict[str, Any] = field(default_factory=dict)
    has_pieces: bool = False
    citations: list[Any] = field(default_factory=list)


class MessagesStream:
    """Reads one streamed message. See `dialects.upstream.StreamReader`."""

    def __init__(self) -> None:
        self._reader = SseReader()
        self._blocks: dict[int, _Block] = {}
        self._usage: dict[str, Any] = {}
        self._text_length = 0
        self._reasoning_blocks = 0
        self._tool_calls = 0
        self._annotations = 0
        self.done = False

    def feed(self, piece: bytes) -> Iterator[Answer]:
        """Take the next bytes. See `dialects.upstream.StreamReader`."""
        for event in self._reader.feed(piece):
            yield self._read(event)
            if self.done:
                return

    def _read(self, event: SseEvent) -> Answer:
        document = decode_object(event.data)
        kind = document.get("type") or event.event
        match kind:
            case "message_start":
                return self._start(member(document, "message"))
            case "content_block_start":
                index = index_in(document, "index", MAX_BLOCKS, -1)
                return _answer(self._start_block(index, member(document, "content_block")))
            case "content_block_delta":
                block = self._block(document)
                return _answer(self._delta(block, member(document, "delta")))
            case "content_block_stop":
                block = self._block(document)
                del self._blocks[document["index"]]
                return _answer(self._stop_block(block))
            case "message_delta":
                return self._end(document)
            case "message_stop":
                self.done = True
            case "error":
                return Answer(error=error_of(document))
        # Pings, and what later versions of the API add.
        return _NOTHING

    def _start(self, message: dict[str, Any]) -> Answer:
        usage = message.get("usage")
        self._usage = usage if isinstance(usage, dict) else {}
        return Answer(id=text(message, "id"), service_tier=service_tier(self._usage))

    def _block(self, document: dict[str, Any]) -> _Block:
        block = self._blocks.get(index_in(document, "index", MAX_BLOCKS, -1))
        if block is None:
            raise UpstreamAnswerError("a block that has not begun")
        return block

    def _start_block(self, index: int, content: dict[str, Any]) -> ChoiceDelta | None:
        block = self._blocks[index] = _Block(text(content, "type"), start=self._text_length)
        match block.kind:
            case "text":
                return self._text(text(content, "text"))
            case "thinking" | "redacted_thinking":
                block.number = self._reasoning_blocks
                self._reasoning_blocks += 1
                if block.kind == "thinking":
                    return _thinking(block.number, text(content, "thinking"), text(content, "signature"))
                return ChoiceDelta(
                    0, extra={"reasoning_details": [encrypted_detail(block.number, text(content, "data"))]}
                )
            case "tool_use":
                block.number = self._tool_calls
                self._tool_calls += 1
                given = content.get("input")
                block.input = given if isinstance(given, dict) else {}
                piece = ToolCallPiece(block.number, text(content, "id"), "function", text(content, "name"))
                return ChoiceDelta(0, tool_calls=(piece,))
        return None

    def _delta(self, block: _Block, delta: dict[str, Any]) -> ChoiceDelta | None:
        match block.kind, delta.get("type"):
            case "text", "text_delta":
                return self._text(text(delta, "text"))
            case "text", "citations_delta":
                if self._annotations < MAX_ANNOTATIONS:
                    self._annotations += 1
                    block.citations.append(delta.get("citation"))
            case "thinking", "thinking_delta":
                return _thinking(block.number, text(delta, "thinking"), "")
            case "thinking", "signature_delta":
                return _thinking(block.number, "", text(delta, "signature"))
            case "tool_use", "input_json_delta":
                arguments = text(delta, "partial_json")
                block.has_pieces = block.has_pieces or bool(arguments)
                return (
                    ChoiceDelta(0, tool_calls=(ToolCallPiece(block.number, arguments=arguments),))
                    if arguments
                    else None
                )
        return None

    def _stop_block(self, block: _Block) -> ChoiceDelta | None:
        if block.kind == "tool_use" and not block.has_pieces:
            # A call without arguments sends none; the caller gets an object all the same.
            return ChoiceDelta(0, tool_calls=(ToolCallPiece(block.number, arguments=written(block.input)),))
        if block.citations:
            found = [url_citation(citation, block.start, self._text_length) for citation in block.citations]
            annotations = [annotation for annotation in found if annotation is not None]
            return ChoiceDelta(0, extra={"annotations": annotations}) if annotations else None
        return None

    def _text(self, said: str) -> ChoiceDelta | None:
        self._text_length += len(said)
        return ChoiceDelta(0, said) if said else None

    def _end(self, document: dict[str, Any]) -> Answer:
        usage = document.get("usage")
        if isinstance(usage, dict):
            # Cumulative; what it leaves out stands as the message began.
            self._usage |= {name: value for name, value in usage.items() if value is not None}
        delta = member(document, "delta")
        finish_reason, native, refusal = ending(delta)
        if finish_reason is None:
            return _NOTHING
        choice = ChoiceDelta(
            0,
            refusal=refusal,
            finish_reason=finish_reason,
            native_finish_reason=native,
            stop_sequence=text(delta, "stop_sequence") or None,
        )
        return Answer(choices=(choice,), usage=read_usage(self._usage))


def _thinking(number: int, thought: str, signature: str) -> ChoiceDelta | None:
    if not thought and not signature:
        return None
    return ChoiceDelta(
        0, reasoning=thought or None, extra={"reasoning_details": [text_detail(number, thought, signature)]}
    )


def _answer(delta: ChoiceDelta | None) -> Answer:
    return _NOTHING if delta is None else Answer(choices=(delta,))
