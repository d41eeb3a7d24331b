"""Messages in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

# What the ids of `reasoning_details` say, so that a returned piece goes back to where it came from.
PLAN_ID = "tool_plan"
THINKING_ID = "thinking"
_DETAILS = frozenset(("auto", "low", "high"))


def reasoning_detail(text: str, kind: str) -> dict[str, Any]:
    """Describe a plan or a thought, or a piece of one. It needs no signature."""
    index = 0 if kind == THINKING_ID else 1
    return {"type": "reasoning.text", "text": text, "id": kind, "format": "unknown", "index": index}


def convert_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Convert a request's messages.

    Raises:
        UnsupportedRequestError: an attachment is no image, or is where none can be.
    """
    return [converted for message in messages if (converted := _message(message))]


def _message(message: Message) -> dict[str, Any]:
    if isinstance(message, SystemMessage | DeveloperMessage):
        return {"role": "system", "content": text_of(message.content, "system message")}
    if isinstance(message, UserMessage):
        return {"role": "user", "content": _user_content(message.content, message.name)}
    if isinstance(message, ToolMessage):
        content = text_of(message.content, "tool result")
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": content}
    return _assistant(message)


def _user_content(content: Content, name: str | None) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return signed(content, name)
    parts: list[dict[str, Any]] = [{"type": "text", "text": f"{name}:"}] if name else []
    for part in content:
        if isinstance(part, TextPart):
            parts.append({"type": "text", "text": part.text})
        elif isinstance(part, ImagePart):
            # It takes both kinds of address as they are, and no others.
            read_attachment(part.image_url.url, "image")
            detail = part.image_url.detail
            said = {"detail": detail} if detail in _DETAILS else {}
            parts.append({"type": "image_url", "image_url": {"url": part.image_url.url, **said}})
        else:
            raise UnsupportedRequestError("this provider takes no attachments but images")
    return parts


def _assistant(message: AssistantMessage) -> dict[str, Any]:
    """Convert a turn of the model; an empty one becomes nothing, because the API refuses it."""
    plan, thinking = _reasoning(message.reasoning_details)
    calls = message.tool_calls or []
    if calls and not plan and not thinking:
        plan = message.reasoning or ""
    text = text_of(message.content, "message of the assistant") or message.refusal or ""
    turn: dict[str, Any] = {}
    if thinking and calls:
        # Thoughts are of use only within the turn that they belong to.
        content: list[dict[str, Any]] = [{"type": "thinking", "thinking": thinking}]
        turn["content"] = [*content, {"type": "text", "text": text}] if text else content
    elif text:
        turn["content"] = text
    if calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in calls
        ]
        if plan:
            turn["tool_plan"] = plan
    return {"role": "assistant", **turn} if turn else {}


def _reasoning(details: Sequence[dict[str, Any]] | None) -> tuple[str, str]:
    plan, thinking = [], []
    for detail in details or ():
        text = detail.get("text")
        if not isinstance(text, str):
            continue
        if detail.get("id") == PLAN_ID:
            plan.append(text)
        elif detail.get("id") == THINKING_ID:
            thinking.append(text)
    return "".join(plan), "".join(thinking)
