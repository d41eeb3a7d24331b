"""`reasoning_details` of the public API: written from an answer's blocks, and read back when a caller returns them.

Callers return them as they came, whole or in the pieces of a stream; pieces of one block have the same index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# The signatures are Anthropic's, and hold wherever its models run.
CLAUDE_FORMAT = "anthropic-claude-v1"

TEXT = "reasoning.text"
ENCRYPTED = "reasoning.encrypted"


@dataclass(frozen=True, slots=True)
class ReasoningBlock:
    """One block of reasoning that a model wrote in an earlier turn.

    Attributes:
        type: `reasoning.text` or `reasoning.encrypted`.
        format: whose block it is; empty when nobody said.
        text, signature: of a readable one.
        data: of an encrypted one.
    """

    type: str
    format: str = ""
    text: str = ""
    signature: str = ""
    data: str = ""


def text_detail(index: int, text: str, signature: str = "", format: str = CLAUDE_FORMAT) -> dict[str, Any]:
    """Describe readable reasoning, or a piece of it. An empty format is left out: it is not known yet."""
    detail: dict[str, Any] = {"type": TEXT, "index": index}
    if text or not signature:
        detail["text"] = text
    if signature:
        detail["signature"] = signature
    if format:
        detail["format"] = format
    return detail


def encrypted_detail(index: int, data: str, format: str = CLAUDE_FORMAT) -> dict[str, Any]:
    """Describe reasoning that only its model can read."""
    return {"type": ENCRYPTED, "index": index, "data": data, "format": format}


def read_reasoning_details(details: Sequence[dict[str, Any]] | None) -> list[ReasoningBlock]:
    """Put the pieces of each block together, in the order in which the blocks began. What is neither text nor data is left out."""
    pieces: dict[tuple[object, object], list[dict[str, Any]]] = {}
    for position, detail in enumerate(details or ()):
        kind, index = detail.get("type"), detail.get("index")
        if kind in (TEXT, ENCRYPTED):
            # One without an index is a block of its own.
            pieces.setdefault((kind, index if type(index) is int else f"at {position}"), []).append(detail)
    return [
        ReasoningBlock(
            type=str(kind),
            format=next((name for piece in reversed(found) if (name := _text(piece, "format"))), ""),
            text="".join(_text(piece, "text") for piece in found),
            signature="".join(_text(piece, "signature") for piece in found),
            data="".join(_text(piece, "data") for piece in found),
        )
        for (kind, _), found in pieces.items()
    ]


def _text(detail: dict[str, Any], name: str) -> str:
    value = detail.get(name)
    return value if isinstance(value, str) else ""
