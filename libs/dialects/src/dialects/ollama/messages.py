"""Messages, which have their text in one string and their images beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dialects.attachments import read_attachment
from dialects.chat import (
    AssistantMessage,
    Content,
    DeveloperMessage,
    ImagePart,
    Message,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from dialects.errors import UnsupportedRequestError
from dialects.message_text import signed, text_of
from dialects.tool_calls import CallNames, arguments_object


def convert_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Convert a request's messages.

    Raises:
        UnsupportedRequestError: an attachment is no image or is not in the request; a tool result answers no call.
    """
    names = CallNames()
    return [_message(message, names) for message in messages]


def _message(message: Message, names: CallNames) -> dict[str, Any]:
    if isinstance(message, SystemMessage | DeveloperMessage):
        return {"role": "system", "content": text_of(message.content, "system message")}
    if isinstance(message, UserMessage):
        text, images = _split(message.content)
        return {"role": "user", "content": signed(text, message.name), **images}
    if isinstance(message, ToolMessage):
        text, images = _split(message.content)
        name = names.name(message.tool_call_id)
        return {"role": "tool", "content": text, "tool_name": name, "tool_call_id": message.tool_call_id, **images}
    return _assistant(message, names)


def _split(content: Content) -> tuple[str, dict[str, list[str]]]:
    """Return the text, and the images as a member of the message, which is missing when there are none."""
    if isinstance(content, str):
        return content, {}
    texts, images = [], []
    for part in content:
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, ImagePart):
            image = read_attachment(part.image_url.url, "image")
            if not image.base64:
                raise UnsupportedRequestError("this provider takes no images but those in the request itself")
            images.append(image.base64)
        else:
            raise UnsupportedRequestError("this provider takes no attachments but images")
    return "\n".join(texts), {"images": images} if images else {}


def _assistant(message: AssistantMessage, names: CallNames) -> dict[str, Any]:
    text = text_of(message.content, "message of the assistant") or message.refusal or ""
    turn: dict[str, Any] = {"role": "assistant", "content": text}
    if message.reasoning:
        turn["thinking"] = message.reasoning
    calls = []
    for call in message.tool_calls or ():
        names.add(call.id, call.function.name)
        function = {"name": call.function.name, "arguments": arguments_object(call.function.arguments)}
        calls.append({"id": call.id, "function": function})
    if calls:
        turn["tool_calls"] = calls
    return turn
