"""Making the request that a provider gets out of the one that the caller sent.

An allow-list: a member goes upstream only when the endpoint is known to support it, so nothing that the caller adds can
switch on a feature that costs more than the price says, and our own members (provider, models, plugins, session_id ...)
never leave.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from dialects.chat import ChatRequest

_encode = msgspec.json.Encoder().encode

# Provider parameters of the public API. Everything else in a request is for the router or for nobody.
PARAMETERS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "image_config",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "min_p",
        "modalities",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "reasoning",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "tool_choice",
        "tools",
        "top_a",
        "top_k",
        "top_logprobs",
        "top_p",
        "verbosity",
        "web_search_options",
    }
)
# Names that one parameter goes by. An endpoint that lists any of them supports it.
_SAME_AS = {
    "max_completion_tokens": ("max_completion_tokens", "max_tokens"),
    "max_tokens": ("max_tokens", "max_completion_tokens"),
    "reasoning": ("reasoning", "reasoning_effort"),
    "reasoning_effort": ("reasoning_effort", "reasoning"),
    "tool_choice": ("tool_choice", "tools"),
    "parallel_tool_calls": ("parallel_tool_calls", "tools"),
    "top_logprobs": ("top_logprobs", "logprobs"),
    "response_format": ("response_format", "structured_outputs"),
}
# These three are written below, because their name or form depends on the endpoint.
_WRITTEN_APART = frozenset({"max_tokens", "max_completion_tokens", "reasoning", "reasoning_effort", "tools"})


def sent_parameters(request: ChatRequest) -> list[str]:
    """Name the provider parameters in a request, in the order they came: what `require_parameters` is about."""
    return [name for name in request.document if name in PARAMETERS]


def supports(parameter: str, supported: AbstractSet[str]) -> bool:
    """Say whether an endpoint that lists `supported` honours a parameter, under any of its names."""
    return any(name in supported for name in _SAME_AS.get(parameter, (parameter,)))


def build_request(
    request: ChatRequest,
    *,
    model: str,
    supported: AbstractSet[str],
    stream: bool,
    limit_name: str = "max_tokens",
    ask_usage: bool = True,
) -> bytes:
    """Return the body of a provider's request as JSON.

    Args:
        request: what the caller sent.
        model: the provider's own name of the model.
        supported: parameters that the endpoint honours; others are dropped.
        stream: whether to ask for a stream.
        limit_name: the member that limits the output, `max_tokens` or `max_completion_tokens`.
        ask_usage: whether to ask for the usage of a stream by `stream_options`, which some servers refuse.
    """
    document = request.document
    upstream: dict[str, Any] = {"model": model, "messages": document["messages"]}
    for name in document:
        if name in PARAMETERS and name not in _WRITTEN_APART and supports(name, supported):
            upstream[name] = document[name]
    limit = request.body.output_limit
    if limit is not None and supports("max_tokens", supported):
        upstream[limit_name] = limit
    _add_reasoning(upstream, request, supported)
    _add_tools(upstream, request, supported)
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


def _add_tools(upstream: dict[str, Any], request: ChatRequest, supported: AbstractSet[str]) -> None:
    tools = request.document.get("tools")
    functions = [tool for tool in tools if tool["type"] == "function"] if tools and "tools" in supported else []
    if functions:
        upstream["tools"] = functions
    else:
        # A choice without tools is an error at every provider.
        upstream.pop("tool_choice", None)
        upstream.pop("parallel_tool_calls", None)
