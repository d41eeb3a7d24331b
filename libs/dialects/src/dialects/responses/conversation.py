"""Input items of a Responses request as the messages of a chat request."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from dialects.errors import InvalidRequestError
from dialects.responses.content import (
    CustomToolCallItem,
    CustomToolCallOutputItem,
    FunctionCallItem,
    FunctionCallOutputItem,
    ImageCallItem,
    InputAudioPart,
    InputFile,
    InputImage,
    InputText,
    InputVideoPart,
    Item,
    MessageItem,
    MessagePart,
    OutputTextPart,
    ReasoningItem,
    RefusalPart,
    ToolOutput,
    ToolOutputPart,
)
from dialects.responses.reasoning import details_of, text_of
from dialects.responses.tools import ToolName, custom_arguments

_IMAGE_STARTS: Final = ((b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"), (b"RIFF", "webp"), (b"GIF8", "gif"))


def messages_of(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Write items as messages. What one turn of a model consists of (reasoning, text, calls, images) becomes one message.

    Raises:
        InvalidRequestError: an item cannot be said in a chat request.
    """
    conversation = _Conversation()
    for position, item in enumerate(items):
        conversation.add(item, f"input[{position}]")
    return conversation.messages


class _Conversation:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        # The assistant's message that still grows; it is the last one of `messages`.
        self._turn: dict[str, Any] | None = None

    def add(self, item: Item, where: str) -> None:
        if isinstance(item, MessageItem):
            if item.role == "assistant":
                self._say(item, where)
            else:
                self._end_turn({"role": item.role, "content": _content(item.content, where)})
        elif isinstance(item, ReasoningItem):
            self._think(item)
        elif isinstance(item, FunctionCallItem):
            name = ToolName("function", item.name, item.namespace or "").function
            self._call(item.call_id, name, item.arguments)
        elif isinstance(item, CustomToolCallItem):
            name = ToolName("custom", item.name, item.namespace or "").function
            self._call(item.call_id, name, custom_arguments(item.input))
        elif isinstance(item, FunctionCallOutputItem | CustomToolCallOutputItem):
            content = _tool_output(item.output, where)
            self._end_turn({"role": "tool", "tool_call_id": item.call_id, "content": content})
        else:
            self._draw(item)

    def _end_turn(self, message: dict[str, Any]) -> None:
        self._turn = None
        self.messages.append(message)

    def _turn_without(self, *members: str) -> dict[str, Any]:
        """The turn, or a new one where it has any of these members already: they come later in a turn."""
        if self._turn is None or any(name in self._turn for name in members):
            self._turn = {"role": "assistant"}
            self.messages.append(self._turn)
        return self._turn

    def _think(self, item: ReasoningItem) -> None:
        turn = self._turn_without("content", "refusal", "tool_calls", "images")
        details = turn.setdefault("reasoning_details", [])
        added = details_of(item, len(details))
        details += added
        text = text_of(added)
        if text:
            turn["reasoning"] = turn.get("reasoning", "") + text

    def _say(self, item: MessageItem, where: str) -> None:
        turn = self._turn_without("content", "refusal", "tool_calls", "images")
        if isinstance(item.content, str):
            turn["content"] = item.content
            return
        parts = item.content or []
        refusals = [part.refusal for part in parts if isinstance(part, RefusalPart)]
        if refusals:
            turn["refusal"] = "".join(refusals)
        said = [(at, part) for at, part in enumerate(parts) if not isinstance(part, RefusalPart)]
        annotations = [
            chat
            for _, part in said
            if isinstance(part, OutputTextPart)
            for annotation in part.annotations or ()
            if (chat := chat_annotation(annotation)) is not None
        ]
        if annotations:
            turn["annotations"] = annotations
        if len(said) == 1 and isinstance(said[0][1], OutputTextPart):
            # As a model's answer is in the chat dialect, and as every provider takes it.
            turn["content"] = said[0][1].text
        elif said:
            turn["content"] = [_part(part, f"{where}.content[{at}]") for at, part in said]
        elif not refusals:
            turn["content"] = ""

    def _call(self, call_id: str, name: str, arguments: str) -> None:
        turn = self._turn_without()
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        turn.setdefault("tool_calls", []).append(call)

    def _draw(self, item: ImageCallItem) -> None:
        turn = self._turn_without()
        if item.result:
            image = {"type": "image_url", "image_url": {"url": image_url(item.result)}}
            turn.setdefault("images", []).append(image)


def chat_annotation(annotation: dict[str, Any]) -> dict[str, Any] | None:
    """Write an annotation in the chat dialect's words; None where it has none for it."""
    if annotation.get("type") != "url_citation":
        return None
    return {
        "type": "url_citation",
        "url_citation": {name: value for name, value in annotation.items() if name != "type"},
    }


def image_url(result: str) -> str:
    """The data URL of an image in base64; an address stays as it is."""
    if result.startswith(("data:", "https://", "http://")):
        return result
    try:
        start = base64.b64decode(result[:8])
    except (binascii.Error, ValueError):
        start = b""
    kind = next((name for magic, name in _IMAGE_STARTS if start.startswith(magic)), "png")
    return f"data:image/{kind};base64,{result}"


def _content(content: str | list[MessagePart] | None, where: str) -> str | list[dict[str, Any]]:
    if content is None or isinstance(content, str):
        return content or ""
    return [_part(part, f"{where}.content[{at}]") for at, part in enumerate(content)]


def _tool_output(output: ToolOutput, where: str) -> str | list[dict[str, Any]]:
    if isinstance(output, str):
        return output
    return [_part(part, f"{where}.output[{at}]") for at, part in enumerate(output)]


def _part(part: MessagePart | ToolOutputPart, where: str) -> dict[str, Any]:
    if isinstance(part, InputText | OutputTextPart):
        written: dict[str, Any] = {"type": "text", "text": part.text}
        if isinstance(part, InputText) and part.prompt_cache_breakpoint is not None:
            written["prompt_cache_breakpoint"] = msgspec.to_builtins(part.prompt_cache_breakpoint)
    elif isinstance(part, InputImage):
        if part.image_url is None:
            raise _required(f"{where}.image_url")
        image = {"url": part.image_url} if part.detail is None else {"url": part.image_url, "detail": part.detail}
        written = {"type": "image_url", "image_url": image}
    elif isinstance(part, InputFile):
        written = {"type": "file", "file": _file(part, where)}
    elif isinstance(part, InputAudioPart):
        audio = {"data": part.input_audio.data, "format": part.input_audio.format}
        written = {"type": "input_audio", "input_audio": audio}
    elif isinstance(part, InputVideoPart):
        written = {"type": "video_url", "video_url": {"url": part.video_url}}
    else:
        raise InvalidRequestError(f"{where}: only an assistant refuses", where)
    cache_control = getattr(part, "cache_control", None)
    if cache_control is not None:
        written["cache_control"] = msgspec.to_builtins(cache_control)
    return written


def _file(part: InputFile, where: str) -> dict[str, str]:
    data = part.file_data or part.file_url
    if data is None and part.file_id is None:
        raise _required(f"{where}.file_data")
    members = {"filename": part.filename, "file_data": data, "file_id": part.file_id}
    return {name: value for name, value in members.items() if value is not None}


def _required(where: str) -> InvalidRequestError:
    return InvalidRequestError(f"{where}: required", where)
