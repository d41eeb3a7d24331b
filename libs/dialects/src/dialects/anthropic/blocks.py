"""Content blocks of the Messages API."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from dialects.anthropic.reasoning_details import CLAUDE_FORMAT, ENCRYPTED, ReasoningBlock
from dialects.anthropic.turns import Block, CacheMark
from dialects.attachments import Attachment, read_attachment
from dialects.chat import ContentPart, FilePart, FileReference, ImagePart
from dialects.errors import UnsupportedRequestError

IMAGE_TYPES = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_PDF = "application/pdf"
# Formats of earlier clients, which left it out: their reasoning came from these models.
_OURS = frozenset((CLAUDE_FORMAT, ""))


class MessagesBlocks:
    """Writes blocks. See `dialects.anthropic.turns.BlockWriter`."""

    def text(self, text: str, mark: CacheMark) -> list[Block]:
        """Write text."""
        return [_marked({"type": "text", "text": text}, mark)]

    def attachment(self, part: ContentPart, mark: CacheMark) -> list[Block]:
        """Write an image or a document."""
        if isinstance(part, ImagePart):
            return [_marked({"type": "image", "source": _image_source(part.image_url.url)}, mark)]
        if isinstance(part, FilePart):
            return [_marked(_document(part.file), mark)]
        raise UnsupportedRequestError("the Messages API takes no audio and no video")

    def reasoning(self, block: ReasoningBlock) -> list[Block]:
        """Write signed or encrypted thinking; what is neither is refused by the API."""
        if block.format not in _OURS:
            return []
        if block.type == ENCRYPTED:
            return [{"type": "redacted_thinking", "data": block.data}] if block.data else []
        if not block.signature:
            return []
        return [{"type": "thinking", "thinking": block.text, "signature": block.signature}]

    def tool_use(self, id: str, name: str, arguments: dict[str, Any], mark: CacheMark) -> list[Block]:
        """Write a call."""
        return [_marked({"type": "tool_use", "id": id, "name": name, "input": arguments}, mark)]

    def tool_result(self, id: str, content: list[Block], *, is_error: bool) -> list[Block]:
        """Write a result. A marker of its content is its own: the API has both, and the outer one reaches further."""
        result: Block = {"type": "tool_result", "tool_use_id": id}
        marks = [mark for block in content if (mark := block.pop("cache_control", None)) is not None]
        if content:
            result["content"] = content
        if marks:
            result["cache_control"] = marks[-1]
        if is_error:
            result["is_error"] = True
        return [result]


def _marked(block: Block, mark: CacheMark) -> Block:
    if mark is not None:
        block["cache_control"] = mark
    return block


def _image_source(url: str) -> Block:
    image = read_attachment(url, "image")
    if image.url:
        return {"type": "url", "url": image.url}
    if image.media_type not in IMAGE_TYPES:
        raise UnsupportedRequestError("the Messages API takes images as JPEG, PNG, GIF or WebP")
    return {"type": "base64", "media_type": image.media_type, "data": image.base64}


def _document(file: FileReference) -> Block:
    block: Block = {"type": "document", "source": _document_source(file)}
    if file.filename:
        block["title"] = file.filename
    return block


def _document_source(file: FileReference) -> Block:
    if not file.file_data:
        raise UnsupportedRequestError("a file's id is known to the provider that gave it only")
    document = read_attachment(file.file_data, "file")
    if document.url:
        return {"type": "url", "url": document.url}
    if document.media_type == _PDF:
        return {"type": "base64", "media_type": _PDF, "data": document.base64}
    if document.media_type.startswith("text/") or document.media_type == "application/json":
        return {"type": "text", "media_type": "text/plain", "data": _text_of(document)}
    raise UnsupportedRequestError("the Messages API takes files as PDF or text")


def _text_of(document: Attachment) -> str:
    try:
        return base64.b64decode(document.base64, validate=True).decode()
    except (binascii.Error, ValueError):
        raise UnsupportedRequestError("a text file is not UTF-8 in base64") from None
