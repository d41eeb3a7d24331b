"""The content of a message that is not streamed, put together from the same events that a stream of it would have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dialects.anthropic.turns import read_arguments
from dialects.messages.answer_blocks import Event


class MessageContent:
    """Content blocks that grow."""

    def __init__(self) -> None:
        self._blocks: list[dict[str, Any]] = []
        self._pieces: list[list[str]] = []

    def add(self, events: Iterable[Event]) -> None:
        """Take the next events of an `AnswerBlocks`."""
        for event in events:
            if event["type"] == "content_block_start":
                self._blocks.append(event["content_block"])
                self._pieces.append([])
            elif event["type"] == "content_block_delta":
                self._grow(event["index"], event["delta"])

    def blocks(self) -> list[dict[str, Any]]:
        """The blocks, once the last event has come."""
        for block, pieces in zip(self._blocks, self._pieces, strict=True):
            text = "".join(pieces)
            match block["type"]:
                case "text" | "thinking":
                    block[block["type"]] = text
                case "tool_use":
                    block["input"] = read_arguments(text)
        return self._blocks

    def _grow(self, index: int, delta: dict[str, Any]) -> None:
        block, pieces = self._blocks[index], self._pieces[index]
        match delta["type"]:
            case "text_delta":
                pieces.append(delta["text"])
            case "thinking_delta":
                pieces.append(delta["thinking"])
            case "input_json_delta":
                pieces.append(delta["partial_json"])
            case "signature_delta":
                block["signature"] = delta["signature"]
            case "citations_delta":
                block["citations"] = [*(block["citations"] or ()), delta["citation"]]
