"""The catalogue's words for where a server departs from the dialect, and what follows for messages and tools."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any

MAX_COMPLETION_TOKENS = "max-completion-tokens"
NO_STREAM_OPTIONS = "no-stream-options"
NO_DEVELOPER_ROLE = "no-developer-role"
REASONING_CONTENT = "reasoning-content"
PLAIN_MESSAGES = "plain-messages"
NO_STRICT_TOOLS = "no-strict-tools"
STATED_OUTPUT_LIMIT = "stated-output-limit"
THINKING_TYPE = "thinking-type"
ENABLE_THINKING = "enable-thinking"
REASONING_EFFORT = "reasoning-effort"
NONE_EFFORT = "none-effort"
XHIGH_EFFORT = "xhigh-effort"

_OF_MESSAGES = frozenset((NO_DEVELOPER_ROLE, REASONING_CONTENT, PLAIN_MESSAGES))
# The members that OpenAI defined; `reasoning_content` is there only where the server knows it.
_MESSAGE_MEMBERS = frozenset(
    ("role", "content", "name", "refusal", "audio", "tool_calls", "tool_call_id", "reasoning_content")
)
_PART_MEMBERS = frozenset(("type", "text", "refusal", "image_url", "input_audio", "file", "video_url"))
_CALL_MEMBERS = frozenset(("id", "type", "function"))
_TOOL_MEMBERS = frozenset(("type", "function"))


def adapt_messages(messages: list[dict[str, Any]], quirks: AbstractSet[str]) -> list[dict[str, Any]]:
    """Return the messages as a server takes them; the same list where it takes all. None of them is changed."""
    if quirks.isdisjoint(_OF_MESSAGES):
        return messages
    return [_message(message, quirks) for message in messages]


def adapt_tools(tools: list[dict[str, Any]], quirks: AbstractSet[str]) -> list[dict[str, Any]]:
    """Return the function tools as a server takes them."""
    if PLAIN_MESSAGES in quirks:
        tools = [_only(tool, _TOOL_MEMBERS) for tool in tools]
    if NO_STRICT_TOOLS in quirks:
        tools = [{**tool, "function": _without(tool["function"], ("strict",))} for tool in tools]
    return tools


def _message(message: dict[str, Any], quirks: AbstractSet[str]) -> dict[str, Any]:
    if message["role"] == "developer" and NO_DEVELOPER_ROLE in quirks:
        message = {**message, "role": "system"}
    if message["role"] == "assistant" and REASONING_CONTENT in quirks:
        message = _with_reasoning_content(message)
    elif PLAIN_MESSAGES in quirks:
        message = _without(message, ("reasoning_content",))
    return _plain(message) if PLAIN_MESSAGES in quirks else message


def _with_reasoning_content(message: dict[str, Any]) -> dict[str, Any]:
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if not isinstance(reasoning, str):
        texts = [detail.get("text") for detail in message.get("reasoning_details") or ()]
        reasoning = "".join(text for text in texts if isinstance(text, str))
    rest = _without(message, ("reasoning", "reasoning_details", "reasoning_content"))
    return {**rest, "reasoning_content": reasoning} if reasoning else rest


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    plain = _only(message, _MESSAGE_MEMBERS)
    content, calls = plain.get("content"), plain.get("tool_calls")
    if isinstance(content, list):
        plain["content"] = [_only(part, _PART_MEMBERS) for part in content]
    if calls is not None:
        plain["tool_calls"] = [_only(call, _CALL_MEMBERS) for call in calls]
    return plain


def _only(members: dict[str, Any], names: AbstractSet[str]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name in names}


def _without(members: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in names}
