"""Content blocks of the Converse API."""

from __future__ import annotations

import base64
import re
from typing import Any

from dialects.anthropic.documents import written
from dialects.anthropic.reasoning_details import CLAUDE_FORMAT, ENCRYPTED, ReasoningBlock
from dialects.anthropic.turns import Block, CacheMark
from dialects.attachments import Attachment, read_attachment
from dialects.chat import AudioPart, ContentPart, FilePart, FileReference, ImagePart, LegacyVideoPart, VideoPart
from dialects.errors import UnsupportedRequestError

# Encrypted reasoning as this API hands it out; what is in it, its model alone knows.
CONVERSE_FORMAT = "amazon-bedrock-converse-v1"

IMAGE_FORMATS = {"image/jpeg": "jpeg", "image/png": "png", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENT_FORMATS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "application/json": "txt",
    "text/markdown": "md",
}
_VIDEO_FORMATS = {
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
_AUDIO_FORMATS = frozenset(
    ("mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga", "pcm", "webm")
)
_NOT_IN_DOCUMENT_NAME = re.compile(r"[^a-zA-Z0-9\s()\[\]-]|\s(?=\s)", re.ASCII)
_MAX_DOCUMENT_NAME = 180


class ConverseBlocks:
    """Writes the blocks of one request. See `dialects.anthropic.turns.BlockWriter`."""

    def __init__(self, *, cache_points: bool, signed_reasoning: bool, encrypted_reasoning: bool, tools: bool) -> None:
        """Make a writer.

        Args:
            cache_points: whether the model has a prompt cache to mark.
            signed_reasoning, encrypted_reasoning: which reasoning of earlier turns the model takes back.
            tools: whether the request declares tools; without, the API refuses blocks of tools, and they are told as text.
        """
        self._cache_points = cache_points
        self._signed_reasoning = signed_reasoning
        self._encrypted_reasoning = encrypted_reasoning
        self._tools = tools
        self._document_names: set[str] = set()

    def text(self, text: str, mark: CacheMark) -> list[Block]:
        """Write text."""
        return [{"text": text}, *self.cache_point(mark)]

    def cache_point(self, mark: CacheMark) -> list[Block]:
        """Write a prompt-cache marker, which is a block of its own here."""
        if mark is None or not self._cache_points:
            return []
        point = {"type": "default", "ttl": mark["ttl"]} if "ttl" in mark else {"type": "default"}
        return [{"cachePoint": point}]

    def attachment(self, part: ContentPart, mark: CacheMark) -> list[Block]:
        """Write an attachment, which has to be in the request itself: the API fetches nothing from the web."""
        return [self._attachment(part), *self.cache_point(mark)]

    def reasoning(self, block: ReasoningBlock) -> list[Block]:
        """Write signed or encrypted reasoning, as it came."""
        if block.type == ENCRYPTED:
            if not self._encrypted_reasoning or block.format != CONVERSE_FORMAT or not block.data:
                return []
            return [{"reasoningContent": {"redactedContent": block.data}}]
        if not self._signed_reasoning or not block.signature or block.format not in (CLAUDE_FORMAT, ""):
            return []
        return [{"reasoningContent": {"reasoningText": {"text": block.text, "signature": block.signature}}}]

    def tool_use(self, id: str, name: str, arguments: dict[str, Any], mark: CacheMark) -> list[Block]:
        """Write a call."""
        if not self._tools:
            return [{"text": f"(Called the tool {name} with {written(arguments)})"}, *self.cache_point(mark)]
        return [{"toolUse": {"toolUseId": id, "name": name, "input": arguments}}, *self.cache_point(mark)]

    def tool_result(self, id: str, content: list[Block], *, is_error: bool) -> list[Block]:
        """Write a result; markers within come after it, where the API takes them."""
        points = [block for block in content if "cachePoint" in block]
        content = [block for block in content if "cachePoint" not in block]
        if not self._tools:
            return [{"text": "(The tool answered:)"}, *(content or [{"text": "(nothing)"}]), *points]
        # A result without content is refused.
        result: Block = {"toolUseId": id, "content": content or [{"text": "(nothing)"}]}
        if is_error:
            result["status"] = "error"
        return [{"toolResult": result}, *points]

    def _attachment(self, part: ContentPart) -> Block:
        match part:
            case ImagePart():
                return {"image": _media(_inline(part.image_url.url, "image"), IMAGE_FORMATS)}
            case VideoPart() | LegacyVideoPart():
                return {"video": _media(_inline(part.video_url.url, "video"), _VIDEO_FORMATS)}
            case AudioPart():
                kind = part.input_audio.format.lower()
                if kind not in _AUDIO_FORMATS:
                    raise UnsupportedRequestError("the Converse API does not take this audio format")
                return {"audio": {"format": kind, "source": {"bytes": part.input_audio.data}}}
            case FilePart():
                document = _media(_inline(part.file.file_data or "", "file"), _DOCUMENT_FORMATS)
                return {"document": {"name": self._document_name(part.file), **document}}
        raise UnsupportedRequestError("the Converse API does not take this kind of attachment")

    def _document_name(self, file: FileReference) -> str:
        """A name in the characters that the API allows, used once in the request."""
        stem = (file.filename or "").rpartition(".")[0] or file.filename or ""
        plain = _NOT_IN_DOCUMENT_NAME.sub("", stem.replace("_", "-")).strip()[:_MAX_DOCUMENT_NAME] or "document"
        name, number = plain, 1
        while name in self._document_names:
            number += 1
            name = f"{plain} ({number})"
        self._document_names.add(name)
        return name


def _inline(url: str, what: str) -> Attachment:
    attachment = read_attachment(url, what)
    if attachment.url:
        raise UnsupportedRequestError(f"the Converse API takes a {what} as a data URL only")
    return attachment


def _media(attachment: Attachment, formats: dict[str, str]) -> Block:
    kind = formats.get(attachment.media_type)
    if kind is None:
        raise UnsupportedRequestError("the Converse API does not take this media type")
    return {"format": kind, "source": {"bytes": attachment.base64}}


def data_url(kind: str, pieces: list[bytes]) -> str:
    """Write an image of the API as a data URL."""
    return f"data:image/{kind};base64,{base64.b64encode(b''.join(pieces)).decode()}"
