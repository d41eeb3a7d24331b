"""Messages as contents."""

from __future__ import annotations

from typing import Any

from dialects.attachments import Attachment, read_attachment, recording
from dialects.chat import (
    AssistantMessage,
    AudioPart,
    ChatRequest,
    Content,
    ContentPart,
    DeveloperMessage,
    FilePart,
    ImagePart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from dialects.errors import UnsupportedRequestError
from dialects.gemini.signatures import NO_SIGNATURE, TEXT_ID, Signatures, image_id
from dialects.json_values import decode_or_none, object_in, objects_in, text_in
from dialects.message_text import signed, text_of
from dialects.tool_calls import CallNames, arguments_object, is_made_call_id

# The API's own word for a recording in MP3.
_MEDIA_TYPES = {"audio/mpeg": "audio/mp3"}


class Conversation:
    """A request's messages, converted.

    Attributes:
        contents: the turns; results of tools are a turn of their own, because the API counts them.
        instructions: parts of the system's messages, which the API has in one place.
    """

    def __init__(self, request: ChatRequest, *, by_level: bool) -> None:
        """Convert; `by_level` says that the model thinks by level, so knows ids of calls and checks signatures.

        Raises:
            UnsupportedRequestError: a message says what the API has no place for.
        """
        self.contents: list[dict[str, Any]] = []
        self.instructions: list[dict[str, Any]] = []
        self._by_level = by_level
        self._names = CallNames()
        for number, message in enumerate(request.body.messages):
            if isinstance(message, SystemMessage | DeveloperMessage):
                self.instructions.append({"text": text_of(message.content, "system message")})
            elif isinstance(message, UserMessage):
                self._add("user", _user_parts(message))
            elif isinstance(message, ToolMessage):
                self._add("user", [self._result(message)])
            else:
                images = objects_in(request.document["messages"][number], "images")
                self._add("model", self._assistant_parts(message, images))
        if not self.contents:
            # A request needs a turn.
            self.contents, self.instructions = [{"role": "user", "parts": self.instructions}], []

    def _add(self, role: str, parts: list[dict[str, Any]]) -> None:
        """Take a turn. Turns of one role become one, but results and what the user says beside them do not."""
        if not parts:
            return
        last = self.contents[-1] if self.contents else None
        if last is not None and last["role"] == role and _are_results(last["parts"]) == _are_results(parts):
            last["parts"].extend(parts)
        else:
            self.contents.append({"role": role, "parts": parts})

    def _assistant_parts(self, message: AssistantMessage, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
        signatures = Signatures(message.reasoning_details)
        calls = message.tool_calls or []
        call_signatures = signatures.take_for_calls([call.id for call in calls])
        parts: list[dict[str, Any]] = [
            {"text": text, "thought": True, "thoughtSignature": signature}
            for text, signature in signatures.signed_thoughts
        ]
        text = text_of(message.content, "message of the assistant") or message.refusal or ""
        if text:
            parts.append(_with_signature({"text": text}, signatures.take(TEXT_ID)))
        for number, image in enumerate(images):
            attachment = read_attachment(text_in(object_in(image, "image_url"), "url"), "image")
            parts.append(_with_signature(_media(attachment), signatures.take(image_id(number))))
        parts.extend({"text": "", "thoughtSignature": signature} for signature in signatures.take_loose())
        if call_signatures and not any(call_signatures) and self._by_level:
            call_signatures[0] = NO_SIGNATURE
        for call, signature in zip(calls, call_signatures, strict=True):
            self._names.add(call.id, call.function.name)
            function = {"name": call.function.name, "args": arguments_object(call.function.arguments)}
            parts.append(_with_signature({"functionCall": {**function, **self._id(call.id)}}, signature))
        return parts

    def _result(self, message: ToolMessage) -> dict[str, Any]:
        texts, media = [], []
        for part in [TextPart(message.content)] if isinstance(message.content, str) else message.content:
            if isinstance(part, TextPart):
                texts.append(part.text)
            else:
                media.append(_media(_attachment(part)))
        text = "\n".join(texts)
        value = decode_or_none(text.encode(errors="replace")) if text.lstrip().startswith("{") else None
        response: dict[str, Any] = {
            "name": self._names.name(message.tool_call_id),
            "response": value if isinstance(value, dict) else {"output": text},
            **self._id(message.tool_call_id),
        }
        if media:
            if not self._by_level or any("inlineData" not in item for item in media):
                raise UnsupportedRequestError("an attachment in a tool result cannot be sent to this provider")
            response["parts"] = media
        return {"functionResponse": response}

    def _id(self, call_id: str) -> dict[str, str]:
        """The id for the API: ours stand for calls that it gave none."""
        return {"id": call_id} if self._by_level and not is_made_call_id(call_id) else {}


def _are_results(parts: list[dict[str, Any]]) -> bool:
    return "functionResponse" in parts[0]


def _with_signature(part: dict[str, Any], signature: str) -> dict[str, Any]:
    return {**part, "thoughtSignature": signature} if signature else part


def _user_parts(message: UserMessage) -> list[dict[str, Any]]:
    content: Content = message.content
    if isinstance(content, str):
        return [{"text": signed(content, message.name)}]
    parts = [{"text": part.text} if isinstance(part, TextPart) else _media(_attachment(part)) for part in content]
    return [{"text": f"{message.name}:"}, *parts] if message.name else parts


def _attachment(part: ContentPart) -> Attachment:
    if isinstance(part, ImagePart):
        return read_attachment(part.image_url.url, "image")
    if isinstance(part, AudioPart):
        return recording(part.input_audio.data, part.input_audio.format)
    if isinstance(part, FilePart):
        if not part.file.file_data:
            raise UnsupportedRequestError("a document by id cannot be sent to this provider")
        return read_attachment(part.file.file_data, "document")
    if isinstance(part, TextPart):
        raise UnsupportedRequestError("text is no attachment")
    return read_attachment(part.video_url.url, "video")


def _media(attachment: Attachment) -> dict[str, Any]:
    media_type = _MEDIA_TYPES.get(attachment.media_type, attachment.media_type)
    if attachment.base64:
        return {"inlineData": {"mimeType": media_type, "data": attachment.base64}}
    if not attachment.url:
        raise UnsupportedRequestError("an attachment is empty")
    file = {"fileUri": attachment.url}
    return {"fileData": {**file, "mimeType": media_type} if media_type else file}
