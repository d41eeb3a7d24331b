"""Content blocks of the Messages API, as callers send them. Only what is read is declared."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from msgspec import Meta, Struct

CacheControl = dict[str, Any]
Address = Annotated[str, Meta(min_length=1)]


class TextBlock(Struct, frozen=True, tag_field="type", tag="text"):
    """Text. What it cites is not sent again: no model reads it."""

    text: str
    cache_control: CacheControl | None = None


class Base64Source(Struct, frozen=True, tag_field="type", tag="base64"):
    """`data` is standard base64."""

    media_type: str
    data: str


class UrlSource(Struct, frozen=True, tag_field="type", tag="url"):
    """An https address."""

    url: Address


class TextSource(Struct, frozen=True, tag_field="type", tag="text"):
    """A document of plain text."""

    data: str
    media_type: str = "text/plain"


class FileSource(Struct, frozen=True, tag_field="type", tag="file"):
    """A file in a store that there is none of here."""

    file_id: str


class ImageBlock(Struct, frozen=True, tag_field="type", tag="image"):
    """An image."""

    source: Base64Source | UrlSource | FileSource
    cache_control: CacheControl | None = None


class ContentSource(Struct, frozen=True, tag_field="type", tag="content"):
    """A document in the blocks of the request itself."""

    content: str | list[TextBlock | ImageBlock]


class DocumentBlock(Struct, frozen=True, tag_field="type", tag="document"):
    """A document. `context` is about it, and not a part of it."""

    source: Base64Source | UrlSource | TextSource | ContentSource | FileSource
    title: str | None = None
    context: str | None = None
    cache_control: CacheControl | None = None


class SearchResultBlock(Struct, frozen=True, tag_field="type", tag="search_result"):
    """What the caller found, with the place where."""

    source: str
    title: str
    content: list[TextBlock]
    cache_control: CacheControl | None = None


class ToolReferenceBlock(Struct, frozen=True, tag_field="type", tag="tool_reference"):
    """A tool that a search among tools found."""

    tool_name: str


class ToolUseBlock(Struct, frozen=True, tag_field="type", tag="tool_use"):
    """A call that the model made."""

    id: Annotated[str, Meta(min_length=1)]
    name: Annotated[str, Meta(min_length=1)]
    input: Any
    cache_control: CacheControl | None = None


ResultContent = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolReferenceBlock


class ToolResultBlock(Struct, frozen=True, tag_field="type", tag="tool_result"):
    """The result of a call."""

    tool_use_id: Annotated[str, Meta(min_length=1)]
    content: str | list[ResultContent] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(Struct, frozen=True, tag_field="type", tag="thinking"):
    """Reasoning that can be read. Without a signature its model does not take it back."""

    thinking: str
    signature: str = ""


class RedactedThinkingBlock(Struct, frozen=True, tag_field="type", tag="redacted_thinking"):
    """Reasoning that only its model can read."""

    data: str


class CompactionBlock(Struct, frozen=True, tag_field="type", tag="compaction"):
    """A summary of what was said before it."""

    content: str | None = None


BLOCKS: Mapping[str, type[Struct]] = MappingProxyType(
    {
        "text": TextBlock,
        "image": ImageBlock,
        "document": DocumentBlock,
        "search_result": SearchResultBlock,
        "tool_use": ToolUseBlock,
        "tool_result": ToolResultBlock,
        "thinking": ThinkingBlock,
        "redacted_thinking": RedactedThinkingBlock,
        "compaction": CompactionBlock,
    }
)
# What tools on the provider's side said in earlier turns, and tools that come and go within a conversation. The former are of no
# use to any other model, and nothing is offered here that makes them; of the latter every tool is there from the start.
DROPPED_BLOCKS = frozenset(
    {
        "advisor_tool_result",
        "bash_code_execution_tool_result",
        "code_execution_tool_result",
        "container_upload",
        "mcp_tool_result",
        "mcp_tool_use",
        "openrouter_bash_tool_result",
        "openrouter_shell_tool_result",
        "server_tool_use",
        "text_editor_code_execution_tool_result",
        "tool_addition",
        "tool_removal",
        "tool_search_tool_result",
        "web_fetch_tool_result",
        "web_search_tool_result",
    }
)
