"""A reasoning item that grows, with the events that say so."""

from __future__ import annotations

from typing import Any

from dialects.responses.reasoning import ENCRYPTED, ID_PREFIX, SUMMARY, TEXT, TEXT_MEMBERS

Event = dict[str, Any]


class ReasoningOutput:
    """One reasoning item: parts of a summary, parts of text, a signature, encrypted content.

    Attributes:
        open: whether it still grows.
    """

    __slots__ = (
        "_content", "_detail_id", "_encrypted", "_format", "_index", "_kind", "_open_part", "_signature",
        "_summary", "item_id", "open", "output_index",
    )  # fmt: skip

    def __init__(self, output_index: int, tag: str, detail_id: str | None) -> None:
        self.output_index = output_index
        self.item_id = detail_id or f"{ID_PREFIX}{tag}{output_index}"
        self.open = True
        self._detail_id = detail_id
        self._summary: list[list[str]] = []
        self._content: list[list[str]] = []
        # Which part grows, and the index of the block in the details that it comes from.
        self._open_part: list[str] | None = None
        self._kind = ""
        self._index: object = None
        self._signature: list[str] = []
        self._encrypted: list[str] = []
        self._format: str | None = None

    def takes(self, detail: dict[str, Any]) -> bool:
        """Whether a detail belongs to this item: what its provider calls by one id does, and what continues a block."""
        detail_id, index = _text(detail, "id") or None, detail.get("index")
        if detail_id is not None and detail_id == self._detail_id:
            return True
        if index is not None and index != self._index:
            # Another block. Blocks share an item only if the item can say whose they are.
            same_owner = detail_id == self._detail_id and (_text(detail, "format") or None) == self._format
            return same_owner and not self._encrypted and not self._signature and detail.get("type") != ENCRYPTED
        if detail_id is not None:
            return False
        if self._encrypted or self._signature:
            # Sealed: only more of the seal is the same block.
            return detail.get("type") == (ENCRYPTED if self._encrypted else TEXT) and not _text(detail, "text")
        return True

    def begin(self) -> list[Event]:
        """Events for its beginning."""
        item = {"type": "reasoning", "id": self.item_id, "summary": [], "status": "in_progress"}
        return [{"type": "response.output_item.added", "output_index": self.output_index, "item": item}]

    def add(self, detail: dict[str, Any]) -> list[Event]:
        """Take a detail in."""
        kind = detail.get("type")
        if kind not in (TEXT, SUMMARY, ENCRYPTED):
            return []
        self._format = _text(detail, "format") or self._format
        index = detail.get("index")
        signature = _text(detail, "signature")
        if signature:
            self._signature.append(signature)
        text = _text(detail, TEXT_MEMBERS[kind])
        if kind == ENCRYPTED:
            self._encrypted.append(text)
            self._index = index
            return []
        events: list[Event] = []
        if text:
            part = self._open_part
            if part is None or kind != self._kind or (index is not None and index != self._index):
                part = []
                events += self._begin_part(kind, part)
            part.append(text)
            events.append(self._about(self._delta_type(), delta=text))
        self._index = index if index is not None else self._index
        return events

    def finish(self, status: str = "completed") -> list[Event]:
        """Events for its end."""
        self.open = False
        events = self._end_part()
        done = {"type": "response.output_item.done", "output_index": self.output_index, "item": self.document(status)}
        return [*events, done]

    def document(self, status: str = "completed") -> dict[str, Any]:
        """The whole item."""
        item: dict[str, Any] = {
            "type": "reasoning",
            "id": self.item_id,
            "summary": [{"type": "summary_text", "text": "".join(part)} for part in self._summary],
            "status": status,
        }
        if self._content:
            item["content"] = [{"type": "reasoning_text", "text": "".join(part)} for part in self._content]
        if self._encrypted:
            item["encrypted_content"] = "".join(self._encrypted)
        if self._signature:
            item["signature"] = "".join(self._signature)
        if self._format is not None:
            item["format"] = self._format
        return item

    def _delta_type(self) -> str:
        return "response.reasoning_text.delta" if self._kind == TEXT else "response.reasoning_summary_text.delta"

    def _begin_part(self, kind: str, part: list[str]) -> list[Event]:
        events = self._end_part()
        self._kind = kind
        self._open_part = part
        (self._content if kind == TEXT else self._summary).append(part)
        part_type, added = (
            ("reasoning_text", "response.content_part.added")
            if kind == TEXT
            else ("summary_text", "response.reasoning_summary_part.added")
        )
        return [*events, self._about(added, part={"type": part_type, "text": ""})]

    def _end_part(self) -> list[Event]:
        if self._open_part is None:
            return []
        text = "".join(self._open_part)
        if self._kind == TEXT:
            done = self._about("response.reasoning_text.done", text=text)
            part = self._about("response.content_part.done", part={"type": "reasoning_text", "text": text})
        else:
            done = self._about("response.reasoning_summary_text.done", text=text)
            part = self._about("response.reasoning_summary_part.done", part={"type": "summary_text", "text": text})
        self._open_part = None
        return [done, part]

    def _about(self, kind: str, **members: Any) -> Event:
        position = (
            {"content_index": len(self._content) - 1}
            if self._kind == TEXT
            else {"summary_index": len(self._summary) - 1}
        )
        return {"type": kind, "output_index": self.output_index, "item_id": self.item_id, **position, **members}


def _text(detail: dict[str, Any], name: str) -> str:
    value = detail.get(name)
    return value if isinstance(value, str) else ""
