"""Input items of a Responses request and their content parts. What is not declared here cannot be said in a chat request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from dialects.chat.content import InputAudio
from dialects.chat.options import CacheBreakpoint, CacheControl

Status = Literal["in_progress", "completed", "incomplete"]


class InputText(Struct, frozen=True, tag_field="type", tag="input_text"):
    """Text of the caller. Both cache markers mark the end of a prefix that is worth keeping."""

    text: str
    prompt_cache_breakpoint: CacheBreakpoint | None = None
    cache_control: CacheControl | None = None


class InputImage(Struct, frozen=True, tag_field="type", tag="input_image"):
    """An image, by https address or data URL."""

    image_url: Annotated[str, Meta(min_length=1)] | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None
    file_id: str | None = None
    cache_control: CacheControl | None = None


class InputFile(Struct, frozen=True, tag_field="type", tag="input_file"):
    """A document: its content (a data URL), its address, or its id."""

    filename: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    cache_control: CacheControl | None = None


class InputAudioPart(Struct, frozen=True, tag_field="type", tag="input_audio"):
    """A recording."""

    input_audio: InputAudio


class InputVideoPart(Struct, frozen=True, tag_field="type", tag="input_video"):
    """A video, by address or data URL."""

    video_url: Annotated[str, Meta(min_length=1)]


class OutputTextPart(Struct, frozen=True, tag_field="type", tag="output_text"):
    """Text that a model wrote."""

    text: str
    annotations: list[dict[str, Any]] | None = None


class RefusalPart(Struct, frozen=True, tag_field="type", tag="refusal"):
    """What a model said instead of an answer."""

    refusal: str


MessagePart = InputText | InputImage | InputFile | InputAudioPart | InputVideoPart | OutputTextPart | RefusalPart
ToolOutputPart = InputText | InputImage | InputFile
ToolOutput = str | list[ToolOutputPart]


class MessageItem(Struct, frozen=True, tag_field="type", tag="message"):
    """A message of any role. Callers may leave out its `type`."""

    role: Literal["user", "system", "assistant", "developer"]
    content: str | list[MessagePart] | None = None
    id: str | None = None
    status: Status | None = None
    phase: Literal["commentary", "final_answer"] | None = None


class FunctionCallItem(Struct, frozen=True, tag_field="type", tag="function_call"):
    """A call that the model made. `arguments` is JSON as it wrote it, perhaps invalid."""

    call_id: Annotated[str, Meta(min_length=1)]
    name: Annotated[str, Meta(min_length=1)]
    arguments: str
    namespace: str | None = None
    id: str | None = None
    status: Status | None = None


class FunctionCallOutputItem(Struct, frozen=True, tag_field="type", tag="function_call_output"):
    """What a call gave."""

    call_id: Annotated[str, Meta(min_length=1)]
    output: ToolOutput
    id: str | None = None
    status: Status | None = None


class CustomToolCallItem(Struct, frozen=True, tag_field="type", tag="custom_tool_call"):
    """A call of a tool whose input is plain text."""

    call_id: Annotated[str, Meta(min_length=1)]
    name: Annotated[str, Meta(min_length=1)]
    input: str
    namespace: str | None = None
    id: str | None = None


class CustomToolCallOutputItem(Struct, frozen=True, tag_field="type", tag="custom_tool_call_output"):
    """What such a call gave."""

    call_id: Annotated[str, Meta(min_length=1)]
    output: ToolOutput
    id: str | None = None


class SummaryText(Struct, frozen=True, tag_field="type", tag="summary_text"):
    """A paragraph about the reasoning."""

    text: str


class ReasoningText(Struct, frozen=True, tag_field="type", tag="reasoning_text"):
    """The reasoning itself."""

    text: str


class ReasoningItem(Struct, frozen=True, tag_field="type", tag="reasoning"):
    """Reasoning of the model: readable, summarised, or only for itself. `signature` and `format` are OpenRouter's."""

    summary: list[SummaryText] | None = None
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None
    id: str | None = None
    status: Status | None = None
    signature: str | None = None
    format: str | None = None


class ImageCallItem(Struct, frozen=True, tag_field="type", tag="image_generation_call"):
    """An image that the model made, in base64."""

    result: str | None = None
    id: str | None = None
    status: str | None = None


Item = (
    MessageItem
    | FunctionCallItem
    | FunctionCallOutputItem
    | CustomToolCallItem
    | CustomToolCallOutputItem
    | ReasoningItem
    | ImageCallItem
)
ITEM_TYPES = frozenset(
    {
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "reasoning",
        "image_generation_call",
    }
)
