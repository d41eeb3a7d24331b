"""The request of the Messages API, out of the caller's."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from dialects.anthropic.blocks import MessagesBlocks
from dialects.anthropic.caching import MAX_CACHE_MARKS, keep_last_marks, read_cache_mark
from dialects.anthropic.formats import answer_instruction, answer_schema
from dialects.anthropic.thinking import Thinking, plan_thinking
from dialects.anthropic.tools import forces_a_tool, stand_in_tools, write_tool_choice, write_tools
from dialects.anthropic.turns import Conversation, all_blocks, read_conversation
from dialects.chat import ChatRequest
from dialects.errors import UnsupportedRequestError
from dialects.parameters import supports
from dialects.upstream import Target

# The API has no default. Every model of it writes at least this much.
DEFAULT_MAX_TOKENS = 4_096
# The word of the catalogue: the model refuses to go on in the middle of its own turn.
NO_PREFILL = "no-prefill"
# With reasoning, `top_p` has to leave almost everything in.
_LEAST_TOP_P = 0.95

_encode = msgspec.json.Encoder().encode


def build_request(request: ChatRequest, target: Target) -> bytes:
    """Return the body as JSON.

    Raises:
        UnsupportedRequestError: something that must not be dropped cannot be said.
    """
    supported = target.supported
    structured = "structured_outputs" in supported
    conversation = read_conversation(request, MessagesBlocks())
    check_prefill(conversation, target)
    tools = write_tools(request, strict=structured) if "tools" in supported else []
    choice = write_tool_choice(request) if tools and supports("tool_choice", supported) else None
    if not tools and conversation.called:
        tools, choice = stand_in_tools(conversation.called), {"type": "none"}
    limit = output_limit(request, target)
    thinking = plan_thinking(
        request.body,
        supported,
        target.quirks,
        limit,
        possible=not (forces_a_tool(choice) or conversation.is_prefill),
        whole=not conversation.answers_calls_without_reasoning,
    )
    body: dict[str, Any] = {"model": target.model, "max_tokens": limit}
    instruction = answer_instruction(request.body, supported)
    if instruction:
        conversation.system.append({"type": "text", "text": instruction})
    if conversation.system:
        body["system"] = conversation.system
    body["messages"] = [{"role": turn.role, "content": turn.blocks} for turn in conversation.turns]
    if tools:
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice
    if thinking.config is not None:
        body["thinking"] = thinking.config
    schema = answer_schema(request.body, supported)
    output: dict[str, Any] = {"effort": thinking.effort} if thinking.effort else {}
    if schema is not None:
        output["format"] = {"type": "json_schema", "schema": schema}
    if output:
        body["output_config"] = output
    body |= _sampling(request, target, thinking)
    _add_cache_marks(body, request, conversation, tools)
    if request.body.user:
        # The API asks for an opaque word, and for nothing that tells who it is.
        body["metadata"] = {"user_id": hashlib.sha256(request.body.user.encode()).hexdigest()}
    if target.stream:
        body["stream"] = True
    return _encode(body)


def output_limit(request: ChatRequest, target: Target) -> int:
    """Most tokens of the answer: what the caller wants as far as the endpoint goes, else all that it can."""
    most = target.max_completion_tokens
    wanted = request.body.output_limit
    if wanted is None:
        return most or DEFAULT_MAX_TOKENS
    return min(wanted, most) if most else wanted


def check_prefill(conversation: Conversation, target: Target) -> None:
    """Make a prefill fit: blanks at its end are refused.

    Raises:
        UnsupportedRequestError: the model takes none.
    """
    if not conversation.is_prefill:
        return
    if NO_PREFILL in target.quirks:
        raise UnsupportedRequestError("the model does not go on in the middle of its own turn")
    last = conversation.turns[-1].blocks[-1]
    if isinstance(last.get("text"), str):
        last["text"] = last["text"].rstrip()


def stop_sequences(request: ChatRequest) -> list[str]:
    """The stop sequences that are not blank, which are refused."""
    stop = request.body.stop
    sequences = [stop] if isinstance(stop, str) else stop or []
    return [sequence for sequence in sequences if sequence.strip()]


def sampling(request: ChatRequest, target: Target, *, thinks: bool) -> dict[str, float]:
    """The sampling parameters that the model takes, by their names in the public API.

    Temperatures end at 1; `top_p` beside a temperature is refused by newer models, and the documentation advises against it;
    reasoning goes together with neither a temperature nor `top_k`.
    """
    body = request.body
    taken: dict[str, float] = {}
    if body.temperature is not None and supports("temperature", target.supported) and not thinks:
        taken["temperature"] = min(body.temperature, 1.0)
    elif body.top_p is not None and supports("top_p", target.supported) and (not thinks or body.top_p >= _LEAST_TOP_P):
        taken["top_p"] = body.top_p
    if body.top_k and supports("top_k", target.supported) and not thinks:
        taken["top_k"] = body.top_k
    return taken


def _sampling(request: ChatRequest, target: Target, thinking: Thinking) -> dict[str, Any]:
    taken: dict[str, Any] = {**sampling(request, target, thinks=thinking.on)}
    stop = stop_sequences(request)
    if stop and supports("stop", target.supported):
        taken["stop_sequences"] = stop
    return taken


def _add_cache_marks(
    body: dict[str, Any], request: ChatRequest, conversation: Conversation, tools: list[dict[str, Any]]
) -> None:
    most = MAX_CACHE_MARKS
    automatic = read_cache_mark(request.document)
    if automatic is not None:
        body["cache_control"] = automatic
        most -= 1
    keep_last_marks([*tools, *conversation.system, *all_blocks(conversation.turns)], most)
