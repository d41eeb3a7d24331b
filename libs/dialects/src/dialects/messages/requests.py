"""A request of the Messages API as a chat completions request, which is the one form that everything behind it knows.

What chat completions cannot say and whose absence would change the answer is refused by name; what changes only how the answer
is come by is dropped: context editing (nothing is edited here), task budgets, betas.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dialects.chat import ChatRequest, chat_request_from_document
from dialects.errors import InvalidRequestError
from dialects.messages.body import MessagesBody, ThinkingAdaptive, ThinkingDisabled, ThinkingEnabled
from dialects.messages.tools import choice_of, tools_of
from dialects.messages.turns import messages_of, system_message
from dialects.request_reading import convert_request, parse_request

# Members that both APIs have, with the same meaning.
_SAME = (
    "model", "models", "max_tokens", "stream", "temperature", "top_p", "top_k", "cache_control", "provider", "plugins", "route",
    "preset", "debug", "stop_server_tools_when", "session_id", "trace",
)  # fmt: skip
_TIERS = {"standard_only": "default"}
# Chat completions wants a name, and tells it to nobody.
_SCHEMA_NAME = "answer"
# Anthropic's own default, where thinking is adaptive and the effort is left out.
_DEFAULT_EFFORT = "high"


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """A valid request.

    Attributes:
        chat: the same in chat completions.
        streamed: whether the answer is a stream.
        stop_sequences: where the answer is to end.
        hides_thinking: whether thinking is shown as its signature alone.
        edits_context: whether the caller asks for context editing, and so reads what was edited.
    """

    chat: ChatRequest
    streamed: bool
    stop_sequences: tuple[str, ...] = field(default=(), repr=False)
    hides_thinking: bool = False
    edits_context: bool = False


def decode_messages_request(data: bytes) -> MessagesRequest:
    """Read and validate a request.

    Args:
        data: JSON in UTF-8.

    Raises:
        InvalidRequestError: it is not valid; names the member.
    """
    document = parse_request(data)
    if isinstance(document, dict):
        document = {name: value for name, value in document.items() if value is not None}
    body = convert_request(document, MessagesBody)
    _check(body)
    chat = {name: document[name] for name in _SAME if name in document}
    chat |= _models(body)
    chat["messages"] = [*_instructions(body), *_conversation(body)]
    if not chat["messages"]:
        raise InvalidRequestError("messages: nothing is said in them", "messages")
    if body.stop_sequences:
        chat["stop"] = body.stop_sequences
    if body.tools is not None:
        chat["tools"] = tools_of(body.tools)
    if body.tool_choice is not None:
        chat |= choice_of(body.tool_choice)
    chat |= _thinking(body) | _format(body) | _tier(body) | _user(body)
    return MessagesRequest(
        chat_request_from_document(chat),
        streamed=body.stream is True,
        stop_sequences=tuple(body.stop_sequences or ()),
        hides_thinking=_hides_thinking(body),
        edits_context=body.context_management is not None,
    )


def _check(body: MessagesBody) -> None:
    if body.fallbacks is not None and body.models is not None:
        raise InvalidRequestError("fallbacks: cannot be combined with `models`", "fallbacks")
    if body.mcp_servers:
        raise InvalidRequestError("mcp_servers: not offered here", "mcp_servers")
    if body.container is not None:
        raise InvalidRequestError("container: not offered here", "container")
    if body.inference_geo not in (None, "global"):
        raise InvalidRequestError("inference_geo: only `global` is offered here", "inference_geo")


def _models(body: MessagesBody) -> dict[str, Any]:
    if not body.fallbacks:
        return {}
    return {"models": [fallback.model for fallback in body.fallbacks]}


def _instructions(body: MessagesBody) -> list[dict[str, Any]]:
    return [] if body.system is None else system_message(body.system)


def _conversation(body: MessagesBody) -> list[dict[str, Any]]:
    return [message for at, turn in enumerate(body.messages) for message in messages_of(turn, f"messages[{at}]")]


def _thinking(body: MessagesBody) -> dict[str, Any]:
    """The effort is that of the reasoning where the model decides how much there is, else that of the whole answer."""
    thinking, effort = body.thinking, body.output_config.effort if body.output_config is not None else None
    if isinstance(thinking, ThinkingAdaptive):
        return {"reasoning": {"effort": effort or _DEFAULT_EFFORT}}
    members: dict[str, Any] = {} if effort is None else {"verbosity": effort}
    if isinstance(thinking, ThinkingEnabled):
        members["reasoning"] = {"max_tokens": thinking.budget_tokens}
    elif isinstance(thinking, ThinkingDisabled):
        members["reasoning"] = {"enabled": False}
    return members


def _hides_thinking(body: MessagesBody) -> bool:
    return isinstance(body.thinking, ThinkingEnabled | ThinkingAdaptive) and body.thinking.display == "omitted"


def _format(body: MessagesBody) -> dict[str, Any]:
    wanted = body.output_config.format if body.output_config is not None else None
    wanted = wanted or body.output_format
    if wanted is None:
        return {}
    schema = {"name": _SCHEMA_NAME, "schema": wanted.schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _tier(body: MessagesBody) -> dict[str, Any]:
    if body.service_tier is not None:
        return {"service_tier": _TIERS.get(body.service_tier, body.service_tier)}
    return {"service_tier": "fast"} if body.speed == "fast" else {}


def _user(body: MessagesBody) -> dict[str, Any]:
    user = body.user or (body.metadata.user_id if body.metadata is not None else None)
    return {"user": user} if user else {}
