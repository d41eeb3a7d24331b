"""Reading a stream of the Converse API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dialects.answers import Answer, ChoiceDelta, ToolCallPiece
from dialects.anthropic.documents import member, text
from dialects.anthropic.reasoning_details import CLAUDE_FORMAT, encrypted_detail, text_detail
from dialects.bedrock.answers import (
    MAX_ANNOTATIONS,
    MAX_BLOCKS,
    SERVER_TOOL_USE,
    finish_reason_of,
    image_bytes,
    image_extra,
    service_tier,
    url_citation,
)
from dialects.bedrock.blocks import CONVERSE_FORMAT
from dialects.bedrock.errors import error_of
from dialects.bedrock.event_stream import EventStreamEvent, EventStreamReader
from dialects.bedrock.usage import read_usage
from dialects.errors import UpstreamAnswerError
from dialects.json_values import decode_object, index_in

# Of all images of one answer together.
MAX_IMAGE_BYTES = 32 * 1024 * 1024

_NOTHING = Answer()


@dataclass(slots=True)
class _Block:
    """A block that has begun. Only those of tools and images are announced.

    Attributes:
        start: how many characters of text came before it.
        reasoning: which one of the reasoning blocks it is.
        call: which one of the tool calls it is, None when it is none for the caller.
        has_pieces: whether a piece of the call's arguments came.
        citations: what its text cites.
        image_format, image: of an image.
    """

    start: int
    reasoning: int | None = None
    call: int | None = None
    has_pieces: bool = False
    citations: list[Any] = field(default_factory=list)
    image_format: str = ""
    image: list[bytes] = field(default_factory=list)


class ConverseStream:
    """Reads one streamed answer. See `dialects.upstream.StreamReader`."""

    def __init__(self) -> None:
        self._reader = EventStreamReader()
        self._blocks: dict[int, _Block] = {}
        self._text_length = 0
        self._reasoning_blocks = 0
        self._tool_calls = 0
        self._annotations = 0
        self._image_bytes = 0
        self.done = False

    def feed(self, piece: bytes) -> Iterator[Answer]:
        """Take the next bytes. See `dialects.upstream.StreamReader`."""
        for event in self._reader.feed(piece):
            yield self._read(event)
            if self.done:
                return

    def _read(self, event: EventStreamEvent) -> Answer:
        if event.kind == "error":
            return Answer(error=error_of(event.name, {"message": event.message}))
        if event.kind == "exception":
            return Answer(error=error_of(event.name, _members(event.payload)))
        match event.name:
            case "contentBlockStart":
                document = decode_object(event.payload)
                return _answer(self._start_block(self._block(document), member(document, "start")))
            case "contentBlockDelta":
                document = decode_object(event.payload)
                return _answer(self._delta(self._block(document), member(document, "delta")))
            case "contentBlockStop":
                document = decode_object(event.payload)
                block = self._block(document)
                del self._blocks[document["contentBlockIndex"]]
                return _answer(self._stop_block(block))
            case "messageStop":
                native = text(decode_object(event.payload), "stopReason")
                if not native:
                    raise UpstreamAnswerError("the message stops without a reason")
                return _answer(ChoiceDelta(0, finish_reason=finish_reason_of(native), native_finish_reason=native))
            case "metadata":
                document = decode_object(event.payload)
                self.done = True
                usage = document.get("usage")
                counted = read_usage(usage) if isinstance(usage, dict) else None
                return Answer(usage=counted, service_tier=service_tier(document))
        # The start of the message, and what later versions of the API add.
        return _NOTHING

    def _block(self, document: dict[str, Any]) -> _Block:
        index = index_in(document, "contentBlockIndex", MAX_BLOCKS, -1)
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block(self._text_length)
        return block

    def _start_block(self, block: _Block, start: dict[str, Any]) -> ChoiceDelta | None:
        if "image" in start:
            block.image_format = text(member(start, "image"), "format")
        if "toolUse" not in start:
            return None
        call = member(start, "toolUse")
        if call.get("type") == SERVER_TOOL_USE:
            return None
        if block.call is not None:
            raise UpstreamAnswerError("a block begins twice")
        block.call = self._tool_calls
        self._tool_calls += 1
        piece = ToolCallPiece(block.call, text(call, "toolUseId"), "function", text(call, "name"))
        return ChoiceDelta(0, tool_calls=(piece,))

    def _delta(self, block: _Block, delta: dict[str, Any]) -> ChoiceDelta | None:
        if "text" in delta:
            said = text(delta, "text")
            self._text_length += len(said)
            return ChoiceDelta(0, said) if said else None
        if "toolUse" in delta:
            arguments = text(member(delta, "toolUse"), "input")
            if block.call is None or not arguments:
                return None
            block.has_pieces = True
            return ChoiceDelta(0, tool_calls=(ToolCallPiece(block.call, arguments=arguments),))
        if "reasoningContent" in delta:
            return self._reasoning(block, member(delta, "reasoningContent"))
        if "citation" in delta and self._annotations < MAX_ANNOTATIONS:
            self._annotations += 1
            block.citations.append(delta["citation"])
        if "image" in delta:
            self._add_image(block, member(delta, "image"))
        return None

    def _reasoning(self, block: _Block, content: dict[str, Any]) -> ChoiceDelta | None:
        if block.reasoning is None:
            block.reasoning = self._reasoning_blocks
            self._reasoning_blocks += 1
        thought, signature = text(content, "text"), text(content, "signature")
        if "redactedContent" in content:
            detail = encrypted_detail(block.reasoning, text(content, "redactedContent"), CONVERSE_FORMAT)
        elif thought or signature:
            # Whose reasoning it is shows with the signature only.
            detail = text_detail(block.reasoning, thought, signature, CLAUDE_FORMAT if signature else "")
        else:
            return None
        return ChoiceDelta(0, reasoning=thought or None, extra={"reasoning_details": [detail]})

    def _add_image(self, block: _Block, image: dict[str, Any]) -> None:
        piece = image_bytes(image)
        self._image_bytes += len(piece)
        if self._image_bytes > MAX_IMAGE_BYTES:
            raise UpstreamAnswerError(f"the images are larger than {MAX_IMAGE_BYTES} bytes")
        if piece:
            block.image.append(piece)

    def _stop_block(self, block: _Block) -> ChoiceDelta | None:
        if block.call is not None and not block.has_pieces:
            # A call without arguments sends none; the caller gets an object all the same.
            return ChoiceDelta(0, tool_calls=(ToolCallPiece(block.call, arguments="{}"),))
        if block.image:
            return ChoiceDelta(0, extra={"images": [image_extra(block.image_format, block.image)]})
        found = [url_citation(citation, block.start, self._text_length) for citation in block.citations]
        annotations = [annotation for annotation in found if annotation is not None]
        return ChoiceDelta(0, extra={"annotations": annotations}) if annotations else None


def _members(payload: bytes) -> dict[str, Any]:
    """The members of an exception, none when it is not JSON: that it is one is known already."""
    try:
        return decode_object(payload)
    except UpstreamAnswerError:
        return {}


def _answer(delta: ChoiceDelta | None) -> Answer:
    return _NOTHING if delta is None else Answer(choices=(delta,))
