"""Reasoning items and `reasoning_details` of the chat dialect: the same blocks of reasoning, one way and the other.

An item holds what belongs together: summaries, text with its signature, what only the model can read. Details are the pieces of
it, in order. An id that was made up here is dropped on the way back, so that a provider sees its own ids only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from dialects.responses.content import ReasoningItem

ID_PREFIX: Final = "rs_tmp_"

TEXT: Final = "reasoning.text"
SUMMARY: Final = "reasoning.summary"
ENCRYPTED: Final = "reasoning.encrypted"
# Where a detail of each kind has its text.
TEXT_MEMBERS: Final = {TEXT: "text", SUMMARY: "summary", ENCRYPTED: "data"}


def details_of(item: ReasoningItem, first_index: int) -> list[dict[str, Any]]:
    """Write an item as details, numbered from `first_index`."""
    details = [_detail(SUMMARY, part.text) for part in item.summary or ()]
    texts = [_detail(TEXT, part.text) for part in item.content or ()]
    if item.signature:
        if not texts:
            texts.append({"type": TEXT})
        texts[-1]["signature"] = item.signature
    details += texts
    if item.encrypted_content:
        details.append(_detail(ENCRYPTED, item.encrypted_content))
    for number, detail in enumerate(details, first_index):
        if item.id and not item.id.startswith(ID_PREFIX):
            detail["id"] = item.id
        if item.format:
            detail["format"] = item.format
        detail["index"] = number
    return details


def text_of(details: Iterable[dict[str, Any]]) -> str:
    """What a person can read of the details: the text of an assistant message's `reasoning`."""
    return "".join(
        text
        for detail in details
        if detail.get("type") in (TEXT, SUMMARY) and isinstance(text := detail.get(TEXT_MEMBERS[detail["type"]]), str)
    )


def _detail(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, TEXT_MEMBERS[kind]: text}
