"""A conversation as alternating turns of user and assistant, which the Messages and the Converse API both want.

Instructions go to the front, messages of one role become one turn, tool results come first in theirs. How a block looks is
the writer's business, so that both APIs share the order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from dialects.anthropic.caching import read_cache_mark
from dialects.anthropic.reasoning_details import ReasoningBlock, read_reasoning_details
from dialects.chat import (
    AssistantMessage,
    ChatRequest,
    Content,
    ContentPart,
    DeveloperMessage,
    SystemMessage,
    TextPart,
    ToolMessage,
)
from dialects.errors import UnsupportedRequestError
from dialects.request_reading import MAX_DEPTH, is_deeper_than

Block = dict[str, Any]
CacheMark = dict[str, str] | None

# Both APIs want a user to begin. This says nothing that could lead the model anywhere.
_OPENING = "(The conversation begins with your turn.)"
# The name that Anthropic's guide gives to arguments which are not a JSON object.
INVALID_JSON = "INVALID_JSON"
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_NOT_IN_CALL_ID = re.compile(r"[^a-zA-Z0-9_-]", re.ASCII)


class BlockWriter(Protocol):
    """Writes content blocks in an API's words. Each method returns the blocks, none when there is nothing to say."""

    def text(self, text: str, mark: CacheMark) -> list[Block]:
        """Text that is not blank."""
        ...

    def attachment(self, part: ContentPart, mark: CacheMark) -> list[Block]:
        """Anything but text.

        Raises:
            UnsupportedRequestError: the API has no way to say it.
        """
        ...

    def reasoning(self, block: ReasoningBlock) -> list[Block]:
        """Reasoning of an earlier turn, if it is of a kind that may be sent back."""
        ...

    def tool_use(self, id: str, name: str, arguments: dict[str, Any], mark: CacheMark) -> list[Block]:
        """A tool call of an earlier turn."""
        ...

    def tool_result(self, id: str, content: list[Block], *, is_error: bool) -> list[Block]:
        """The result of one."""
        ...


@dataclass(slots=True)
class Turn:
    """Consecutive messages of one role.

    Attributes:
        role: `user` or `assistant`.
        blocks: its content.
        results: how many of the first blocks are tool results.
        calls: whether it calls tools.
        reasons: whether it has reasoning that is sent back.
    """

    role: str
    blocks: list[Block] = field(default_factory=list)
    results: int = 0
    calls: bool = False
    reasons: bool = False


@dataclass(slots=True)
class Conversation:
    """What was said.

    Attributes:
        system: the instructions.
        turns: at least one; the first is the user's.
        called: the names of the tools that were called, each once.
        has_results: whether there are tool results.
    """

    system: list[Block] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    called: dict[str, None] = field(default_factory=dict)
    has_results: bool = False

    @property
    def is_prefill(self) -> bool:
        """Whether the model is to go on in the middle of its own turn."""
        return self.turns[-1].role == "assistant"

    @property
    def answers_calls_without_reasoning(self) -> bool:
        """Whether the last turn gives results of calls that were made without reasoning, or whose reasoning is lost."""
        if len(self.turns) < 2 or not self.turns[-1].results:
            return False
        return self.turns[-2].calls and not self.turns[-2].reasons

    def turn(self, role: str) -> Turn:
        """The turn to add to: the last one if it is of this role, else a new one."""
        if not self.turns or self.turns[-1].role != role:
            self.turns.append(Turn(role))
        return self.turns[-1]


def read_conversation(request: ChatRequest, writer: BlockWriter) -> Conversation:
    """Write a request's messages as turns.

    Raises:
        UnsupportedRequestError: an attachment that cannot be said, or nothing is said at all.
    """
    conversation = Conversation()
    for message, raw in zip(request.body.messages, request.document["messages"], strict=True):
        if isinstance(message, SystemMessage | DeveloperMessage):
            conversation.system += _text_only(message.content, raw, writer, "instructions")
        elif isinstance(message, AssistantMessage):
            _add_assistant(conversation, message, raw, writer)
        elif isinstance(message, ToolMessage):
            turn = conversation.turn("user")
            content = _content(message.content, raw, writer)
            is_error = raw.get("is_error") is True
            blocks = writer.tool_result(portable_call_id(message.tool_call_id), content, is_error=is_error)
            turn.blocks[turn.results : turn.results] = blocks
            turn.results += len(blocks)
            conversation.has_results = True
        else:
            blocks = _content(message.content, raw, writer, f"{message.name}: " if message.name else "")
            if blocks:
                conversation.turn("user").blocks += blocks
    if not conversation.turns and conversation.system:
        # Instructions alone are no conversation for these APIs: they are what the user says.
        conversation.turns.append(Turn("user", conversation.system))
        conversation.system = []
    if not conversation.turns:
        raise UnsupportedRequestError("the dialect cannot send a conversation without any text")
    if conversation.turns[0].role == "assistant":
        conversation.turns.insert(0, Turn("user", writer.text(_OPENING, None)))
    return conversation


def portable_call_id(id: str) -> str:
    """Make an id of a tool call from any provider fit for these APIs; equal ids stay equal, different ones different."""
    if _CALL_ID.fullmatch(id):
        return id
    digest = hashlib.sha256(id.encode()).hexdigest()[:16]
    return f"{_NOT_IN_CALL_ID.sub('_', id)[:40]}_{digest}"


def read_arguments(arguments: str) -> dict[str, Any]:
    """Parse a call's arguments, which must be an object here; what is not one is kept as text under a name of its own."""
    if not arguments.strip():
        return {}
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        value = None
    # Deeper ones could not be written again.
    if not isinstance(value, dict) or is_deeper_than(value, MAX_DEPTH):
        return {INVALID_JSON: arguments}
    return value


def _add_assistant(
    conversation: Conversation, message: AssistantMessage, raw: Mapping[str, Any], writer: BlockWriter
) -> None:
    reasoning = [
        block for detail in read_reasoning_details(message.reasoning_details) for block in writer.reasoning(detail)
    ]
    blocks = _text_only(message.content, raw, writer, "an assistant's message")
    if not blocks and message.refusal:
        blocks = writer.text(message.refusal, None)
    for call, raw_call in zip(message.tool_calls or (), raw.get("tool_calls") or (), strict=True):
        conversation.called[call.function.name] = None
        arguments, mark = read_arguments(call.function.arguments), read_cache_mark(raw_call)
        blocks += writer.tool_use(portable_call_id(call.id), call.function.name, arguments, mark)
    if not blocks:
        # Reasoning alone is refused as a turn.
        return
    turn = conversation.turn("assistant")
    turn.reasons = turn.reasons or bool(reasoning)
    turn.calls = turn.calls or bool(message.tool_calls)
    turn.blocks += reasoning + blocks


def _content(content: Content, raw: Mapping[str, Any], writer: BlockWriter, prefix: str = "") -> list[Block]:
    if isinstance(content, str):
        return _written(prefix + content, None, writer) if content else []
    blocks: list[Block] = []
    for part, raw_part in zip(content, raw["content"], strict=True):
        if isinstance(part, TextPart):
            written = _written(prefix + part.text, read_cache_mark(raw_part), writer)
            prefix = ""
        else:
            written = writer.attachment(part, read_cache_mark(raw_part))
        blocks += written
    return blocks


def _text_only(content: Content | None, raw: Mapping[str, Any], writer: BlockWriter, where: str) -> list[Block]:
    if content is None:
        return []
    if not isinstance(content, str) and not all(isinstance(part, TextPart) for part in content):
        raise UnsupportedRequestError(f"the dialect has no attachments in {where}")
    return _content(content, raw, writer)


def _written(text: str, mark: CacheMark, writer: BlockWriter) -> list[Block]:
    # Blank text blocks are refused.
    return writer.text(text, mark) if text.strip() else []


def all_blocks(turns: Sequence[Turn]) -> list[Block]:
    """Every block of some turns, those within tool results before the results themselves."""
    blocks: list[Block] = []
    for turn in turns:
        for block in turn.blocks:
            inner = block.get("content")
            if isinstance(inner, list):
                blocks += inner
            blocks.append(block)
    return blocks
