"""Turns of a Messages request as messages of a chat completions request."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from dialects.anthropic.turns import INVALID_JSON
from dialects.errors import InvalidRequestError
from dialects.messages.blocks import (
    BLOCKS,
    DROPPED_BLOCKS,
    CacheControl,
    CompactionBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from dialects.messages.parts import Part, parts_of, text_part
from dialects.messages.thoughts import unseal_redacted, unseal_thinking
from dialects.request_reading import convert_request

ChatMessage = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_OF_ASSISTANT = frozenset({"tool_use", "thinking", "redacted_thinking", "compaction"})
_OF_USER = frozenset({"tool_result", "image", "document", "search_result"})


class Turn(Struct, frozen=True):
    """One message of the caller. OpenRouter has `system` among the roles."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


def system_message(system: str | list[TextBlock]) -> list[ChatMessage]:
    """Write the instructions, none for empty ones."""
    if isinstance(system, str):
        return [{"role": "system", "content": system}] if system else []
    parts = [text_part(block.text, block.cache_control) for block in system]
    return [{"role": "system", "content": _content(parts)}] if parts else []


def messages_of(turn: Turn, where: str) -> list[ChatMessage]:
    """Write one turn: a message, or several where chat completions has each tool result as a message of its own.

    Args:
        turn: what the caller sent.
        where: its path, such as `messages[0]`.

    Raises:
        InvalidRequestError: a block is not valid, or not one of this role's.
    """
    if isinstance(turn.content, str):
        return [{"role": turn.role, "content": turn.content}]
    blocks = [
        (block, f"{where}.content[{at}]")
        for at, document in enumerate(turn.content)
        if (block := _block(document, turn.role, f"{where}.content[{at}]")) is not None
    ]
    if turn.role == "assistant":
        return _assistant(blocks)
    return _user(blocks, turn.role)


def _block(document: dict[str, Any], role: str, where: str) -> Any:
    """Read a block; None for one that is dropped."""
    kind = document.get("type")
    if not isinstance(kind, str):
        raise InvalidRequestError(f"{where}.type: required", f"{where}.type")
    if kind in DROPPED_BLOCKS:
        return None
    if kind not in BLOCKS:
        raise InvalidRequestError(f"{where}.type: not one of the allowed values", f"{where}.type")
    if (kind in _OF_ASSISTANT and role != "assistant") or (kind in _OF_USER and role != "user"):
        raise InvalidRequestError(f"{where}.type: a {kind} block cannot be in a turn of this role", f"{where}.type")
    return convert_request(document, BLOCKS[kind], where)


def _content(parts: list[Part]) -> str | list[Part]:
    """One text without a marker is a string, which more servers know."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return str(parts[0]["text"])
    return parts


def _user(blocks: list[tuple[Any, str]], role: str) -> list[ChatMessage]:
    messages: list[ChatMessage] = []
    content: list[Part] = []
    for block, where in blocks:
        if isinstance(block, ToolResultBlock):
            if content:
                messages.append({"role": role, "content": _content(content)})
                content = []
            messages.append(_tool_message(block, where))
        else:
            content += parts_of(block, where)
    if content:
        messages.append({"role": role, "content": _content(content)})
    return messages


def _tool_message(block: ToolResultBlock, where: str) -> ChatMessage:
    content: str | list[Part]
    if isinstance(block.content, list):
        content = [part for at, each in enumerate(block.content) for part in parts_of(each, f"{where}.content[{at}]")]
        if content and block.cache_control is not None:
            content[-1] = {**content[-1], "cache_control": block.cache_control}
        content = _content(content) or ""
    elif block.cache_control is not None and block.content:
        content = [text_part(block.content, block.cache_control)]
    else:
        content = block.content or ""
    message: ChatMessage = {"role": "tool", "tool_call_id": block.tool_use_id, "content": content}
    if block.is_error:
        # Chat completions has no member for it; the dialects that have one read this.
        message["is_error"] = True
    return message


class _Assistant:
    """A message of the model that grows. Chat completions has reasoning first, then the text, then the calls."""

    def __init__(self) -> None:
        self.content: list[Part] = []
        self.details: list[dict[str, Any]] = []
        self.thoughts: list[str] = []
        self.calls: list[dict[str, Any]] = []

    def message(self) -> ChatMessage | None:
        if not (self.content or self.details or self.calls):
            return None
        message: ChatMessage = {"role": "assistant", "content": _content(self.content) if self.content else None}
        if self.details:
            message["reasoning_details"] = self.details
        if self.thoughts:
            message["reasoning"] = "".join(self.thoughts)
        if self.calls:
            message["tool_calls"] = self.calls
        return message


def _assistant(blocks: list[tuple[Any, str]]) -> list[ChatMessage]:
    grown = [_Assistant()]
    for block, _ in blocks:
        message = grown[-1]
        if isinstance(block, ThinkingBlock | RedactedThinkingBlock):
            if message.content and not message.calls:
                # Reasoning between texts keeps its place in a further message. Not after calls: their results come next.
                message = _Assistant()
                grown.append(message)
            _add_thought(message, block)
        elif isinstance(block, TextBlock):
            message.content.append(text_part(block.text, block.cache_control))
        elif isinstance(block, CompactionBlock):
            if block.content:
                message.content.append(text_part(block.content))
        else:
            message.calls.append(_call(block))
    return [written for message in grown if (written := message.message()) is not None]


def _add_thought(message: _Assistant, block: ThinkingBlock | RedactedThinkingBlock) -> None:
    index = len(message.details)
    if isinstance(block, RedactedThinkingBlock):
        message.details.append(unseal_redacted(block.data, index))
        return
    message.details.append(unseal_thinking(block.thinking, block.signature, index))
    if block.thinking:
        message.thoughts.append(block.thinking)


def _call(block: ToolUseBlock) -> dict[str, Any]:
    call: dict[str, Any] = {
        "id": block.id,
        "type": "function",
        "function": {"name": block.name, "arguments": _arguments(block.input)},
    }
    mark: CacheControl | None = block.cache_control
    return call if mark is None else {**call, "cache_control": mark}


def _arguments(value: Any) -> str:
    """Write the arguments of a call; those that were no JSON are as the model wrote them."""
    if isinstance(value, dict) and value.keys() == {INVALID_JSON} and isinstance(value[INVALID_JSON], str):
        return str(value[INVALID_JSON])
    return _encode(value).decode()
