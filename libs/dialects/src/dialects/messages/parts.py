"""Blocks of a caller as content parts of a chat completions request."""

from __future__ import annotations

import base64
from typing import Any

from dialects.errors import InvalidRequestError
from dialects.messages.blocks import (
    Base64Source,
    CacheControl,
    ContentSource,
    DocumentBlock,
    FileSource,
    ImageBlock,
    ResultContent,
    SearchResultBlock,
    TextBlock,
    TextSource,
    ToolReferenceBlock,
    UrlSource,
)

Part = dict[str, Any]

_PDF = "application/pdf"


def parts_of(block: ResultContent, where: str) -> list[Part]:
    """Write a block as parts, the last of which has the block's prompt-cache marker.

    Args:
        block: what the caller sent.
        where: its path, for the error.

    Raises:
        InvalidRequestError: a source that cannot be read.
    """
    if isinstance(block, TextBlock):
        return [text_part(block.text, block.cache_control)]
    if isinstance(block, ImageBlock):
        return [_marked(_image(block, where), block.cache_control)]
    if isinstance(block, ToolReferenceBlock):
        return [text_part(block.tool_name)]
    parts = _search_result(block) if isinstance(block, SearchResultBlock) else _document(block, where)
    if parts:
        parts[-1] = _marked(parts[-1], block.cache_control)
    return parts


def text_part(text: str, mark: CacheControl | None = None) -> Part:
    """Write text."""
    return _marked({"type": "text", "text": text}, mark)


def _marked(part: Part, mark: CacheControl | None) -> Part:
    return part if mark is None else {**part, "cache_control": mark}


def _image(block: ImageBlock, where: str) -> Part:
    source = block.source
    if isinstance(source, FileSource):
        raise _no_files(where)
    if isinstance(source, UrlSource):
        return {"type": "image_url", "image_url": {"url": source.url}}
    if not source.media_type.startswith("image/"):
        raise InvalidRequestError(f"{where}.source.media_type: not the type of an image", f"{where}.source.media_type")
    return {"type": "image_url", "image_url": {"url": _data_url(source.media_type, source.data)}}


def _search_result(block: SearchResultBlock) -> list[Part]:
    """The place of the text goes before it: chat completions has no other way to say it."""
    return [text_part(f"{block.title}\n{block.source}"), *(text_part(text.text) for text in block.content)]


def _document(block: DocumentBlock, where: str) -> list[Part]:
    source = block.source
    about = [text_part(block.context)] if block.context else []
    if isinstance(source, ContentSource):
        title = [text_part(block.title)] if block.title else []
        content = [TextBlock(source.content)] if isinstance(source.content, str) else source.content
        inner = [part for at, each in enumerate(content) for part in parts_of(each, f"{where}.source.content[{at}]")]
        return [*about, *title, *inner]
    file: dict[str, Any] = {"filename": block.title} if block.title else {}
    if isinstance(source, FileSource):
        raise _no_files(where)
    if isinstance(source, UrlSource):
        file["file_data"] = source.url
    elif isinstance(source, TextSource):
        file["file_data"] = _data_url("text/plain", base64.b64encode(source.data.encode(errors="replace")).decode())
    else:
        file["file_data"] = _data_url(_document_type(source, where), source.data)
    return [*about, {"type": "file", "file": file}]


def _document_type(source: Base64Source, where: str) -> str:
    if source.media_type != _PDF:
        raise InvalidRequestError(f"{where}.source.media_type: must be {_PDF}", f"{where}.source.media_type")
    return source.media_type


def _data_url(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{data}"


def _no_files(where: str) -> InvalidRequestError:
    return InvalidRequestError(f"{where}.source: files are not stored here; send the content itself", f"{where}.source")
