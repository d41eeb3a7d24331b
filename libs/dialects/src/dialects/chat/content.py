"""Messages and their content parts.

Only what routing, validation and billing read is declared. Members that are not declared are not lost: the request
keeps the document that it was read from.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from dialects.chat.options import CacheBreakpoint, CacheControl

MAX_NAME_LENGTH = 64


class TextPart(Struct, frozen=True, tag_field="type", tag="text"):
    """Text."""

    text: str
    cache_control: CacheControl | None = None
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class ImageUrl(Struct, frozen=True):
    """`url` is an https address or a data URL."""

    url: Annotated[str, Meta(min_length=1)]
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Struct, frozen=True, tag_field="type", tag="image_url"):
    """An image."""

    image_url: ImageUrl


class InputAudio(Struct, frozen=True):
    """`data` is base64, `format` such as `wav`."""

    data: str
    format: str


class AudioPart(Struct, frozen=True, tag_field="type", tag="input_audio"):
    """A recording."""

    input_audio: InputAudio


class VideoUrl(Struct, frozen=True):
    """Address of a video, or a data URL."""

    url: Annotated[str, Meta(min_length=1)]


class VideoPart(Struct, frozen=True, tag_field="type", tag="video_url"):
    """A video."""

    video_url: VideoUrl


class LegacyVideoPart(Struct, frozen=True, tag_field="type", tag="input_video"):
    """A video, in the form that older clients send."""

    video_url: VideoUrl


class FileReference(Struct, frozen=True):
    """A document, by address, by data URL or by id."""

    filename: str | None = None
    file_data: str | None = None
    file_id: str | None = None


class FilePart(Struct, frozen=True, tag_field="type", tag="file"):
    """A document."""

    file: FileReference


ContentPart = TextPart | ImagePart | AudioPart | VideoPart | LegacyVideoPart | FilePart
Content = str | list[ContentPart]


class FunctionCall(Struct, frozen=True):
    """`arguments` is JSON as the model wrote it; it may be invalid."""

    name: str
    arguments: str


class ToolCall(Struct, frozen=True):
    """A call that the model made in an earlier turn."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class SystemMessage(Struct, frozen=True, tag_field="role", tag="system"):
    """Instructions."""

    content: Content
    name: str | None = None


class DeveloperMessage(Struct, frozen=True, tag_field="role", tag="developer"):
    """Instructions, by the newer name."""

    content: Content
    name: str | None = None


class UserMessage(Struct, frozen=True, tag_field="role", tag="user"):
    """A turn of the user."""

    content: Content
    name: str | None = None


class AssistantMessage(Struct, frozen=True, tag_field="role", tag="assistant"):
    """A turn of the model. As the last message it is a prefill."""

    content: Content | None = None
    name: str | None = None
    reasoning: str | None = None
    reasoning_details: list[dict[str, Any]] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    model: str | None = None


class ToolMessage(Struct, frozen=True, tag_field="role", tag="tool"):
    """The result of a tool call."""

    content: Content
    tool_call_id: str


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage
