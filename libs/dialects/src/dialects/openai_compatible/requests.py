"""Making the request that a provider gets out of the one that the caller sent.

An allow-list: a member goes upstream only when the endpoint is known to support it, so nothing that the caller adds can
switch on a feature that costs more than the price says, and our own members (provider, models, plugins, session_id ...)
never leave.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from dialects.chat import ChatBody, ChatRequest
from dialects.openai_compatible.quirks import (
    ENABLE_THINKING,
    NONE_EFFORT,
    REASONING_EFFORT,
    THINKING_TYPE,
    XHIGH_EFFORT,
    adapt_messages,
    adapt_tools,
)
from dialects.parameters import PARAMETERS, supports
from dialects.reasoning_wish import reasoning_wish

_encode = msgspec.json.Encoder().encode

# These three are written below, because their name or form depends on the endpoint.
_WRITTEN_APART = frozenset({"max_tokens", "max_completion_tokens", "reasoning", "reasoning_effort", "tools"})
# The nearest of the three efforts that every server with the member has.
_EFFORTS = {"minimal": "low", "xhigh": "high", "max": "high"}


def build_request(
    request: ChatRequest,
    *,
    model: str,
    supported: AbstractSet[str],
    stream: bool,
    limit_name: str = "max_tokens",
    ask_usage: bool = True,
    quirks: AbstractSet[str] = frozenset(),
    default_limit: int = 0,
    most: int = 0,
    service_tier: str = "",
) -> bytes:
    """Return the body of a provider's request as JSON.

    Args:
        request: what the caller sent.
        model: the provider's own name of the model.
        supported: parameters that the endpoint honours; others are dropped.
        stream: whether to ask for a stream.
        limit_name: the member that limits the output, `max_tokens` or `max_completion_tokens`.
        ask_usage: whether to ask for the usage of a stream by `stream_options`, which some servers refuse.
        quirks: where the endpoint departs from the dialect in messages, tools and reasoning; the words of the catalogue.
        default_limit: the output limit when the caller sets none; 0 sends none.
        service_tier: tier to ask for, empty for none.
        most: most tokens that the endpoint writes in one answer, 0 when that is not known; a budget is a share of it.
    """
    document = request.document
    upstream: dict[str, Any] = {"model": model, "messages": adapt_messages(document["messages"], quirks)}
    for name in document:
        if name in PARAMETERS and name not in _WRITTEN_APART and supports(name, supported):
            upstream[name] = document[name]
    limit = request.body.output_limit or default_limit
    if limit and supports("max_tokens", supported):
        upstream[limit_name] = limit
    if REASONING_EFFORT in quirks:
        # What a model knows counts for more than the switch that its provider has for all.
        _add_effort(upstream, request.body, supported, quirks, most)
    elif THINKING_TYPE in quirks or ENABLE_THINKING in quirks:
        _add_switch(upstream, request.body, supported, quirks)
    else:
        _add_reasoning(upstream, request, supported)
    _add_tools(upstream, request, supported, quirks)
    if service_tier:
        upstream["service_tier"] = service_tier
    if stream:
        upstream["stream"] = True
        if ask_usage:
            upstream["stream_options"] = {"include_usage": True}
    return _encode(upstream)


def _add_reasoning(upstream: dict[str, Any], request: ChatRequest, supported: AbstractSet[str]) -> None:
    reasoning = request.document.get("reasoning")
    effort = request.body.reasoning_effort
    if effort is None and request.body.reasoning is not None:
        effort = request.body.reasoning.effort
        if effort is None and request.body.reasoning.enabled:
            effort = "medium"
    if "reasoning" in supported and reasoning is not None:
        upstream["reasoning"] = reasoning
    elif "reasoning_effort" in supported and effort is not None:
        upstream["reasoning_effort"] = effort
    elif "reasoning" in supported and effort is not None:
        upstream["reasoning"] = {"effort": effort}


def _add_effort(
    upstream: dict[str, Any], body: ChatBody, supported: AbstractSet[str], quirks: AbstractSet[str], most: int
) -> None:
    """Say how much to reason in one of the words that the server knows."""
    if not supports("reasoning", supported):
        return
    wish = reasoning_wish(body)
    word = wish.word(body.output_limit or most)
    if wish.off:
        if NONE_EFFORT in quirks:
            upstream["reasoning_effort"] = "none"
    elif word in ("xhigh", "max") and XHIGH_EFFORT in quirks:
        upstream["reasoning_effort"] = "xhigh"
    elif word is not None:
        upstream["reasoning_effort"] = _EFFORTS.get(word, word)


def _add_switch(
    upstream: dict[str, Any], body: ChatBody, supported: AbstractSet[str], quirks: AbstractSet[str]
) -> None:
    """Say whether to reason where that is all that a server can be told, but for a budget."""
    wish = reasoning_wish(body)
    if not supports("reasoning", supported) or not (wish.off or wish.is_on):
        return
    if THINKING_TYPE in quirks:
        upstream["thinking"] = {"type": "disabled" if wish.off else "enabled"}
        return
    upstream["enable_thinking"] = wish.is_on
    if wish.budget is not None:
        upstream["thinking_budget"] = wish.budget


def _add_tools(
    upstream: dict[str, Any], request: ChatRequest, supported: AbstractSet[str], quirks: AbstractSet[str]
) -> None:
    tools = request.document.get("tools")
    functions = [tool for tool in tools if tool["type"] == "function"] if tools and "tools" in supported else []
    if functions:
        upstream["tools"] = adapt_tools(functions, quirks)
    else:
        # A choice without tools is an error at every provider.
        upstream.pop("tool_choice", None)
        upstream.pop("parallel_tool_calls", None)
