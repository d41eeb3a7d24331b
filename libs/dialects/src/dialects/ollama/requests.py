"""Making the body of a request."""

from __future__ import annotations

from typing import Any

from dialects.chat import ChatBody, FunctionDefinition, GrammarFormat, JsonObjectFormat, JsonSchemaFormat, PythonFormat
from dialects.errors import UnsupportedRequestError
from dialects.ollama.messages import convert_messages
from dialects.parameters import supports
from dialects.reasoning_wish import reasoning_wish
from dialects.tool_calls import chosen_function, function_tools
from dialects.upstream import Target

# Members of `options` by the parameters that they are.
_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "repetition_penalty": "repeat_penalty",
}
# The API knows three levels; a model without levels takes any for yes.
_LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


def build_request(body: ChatBody, target: Target) -> dict[str, Any]:
    """Return the body of a request.

    Raises:
        UnsupportedRequestError: it says what the API has no place for.
    """
    upstream: dict[str, Any] = {
        "model": target.model,
        "messages": convert_messages(body.messages),
        "stream": target.stream,
        # A prompt that is too long is an error, which another endpoint may not have; it is never cut without a word.
        "truncate": False,
    }
    options = _options(body, target)
    if options:
        upstream["options"] = options
    _add_tools(upstream, body, target)
    _add_format(upstream, body, target)
    _add_thinking(upstream, body, target)
    if body.logprobs and supports("logprobs", target.supported):
        upstream["logprobs"] = True
        if body.top_logprobs:
            upstream["top_logprobs"] = body.top_logprobs
    return upstream


def _options(body: ChatBody, target: Target) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for ours, theirs in _OPTIONS.items():
        value = getattr(body, ours)
        if value is not None and supports(ours, target.supported):
            options[theirs] = value
    if body.output_limit is not None and supports("max_tokens", target.supported):
        options["num_predict"] = body.output_limit
    stops = [body.stop] if isinstance(body.stop, str) else body.stop
    if stops and supports("stop", target.supported):
        options["stop"] = stops
    return options


def _add_tools(upstream: dict[str, Any], body: ChatBody, target: Target) -> None:
    functions = function_tools(body, target.supported)
    # There is no choice but the model's: tools that it may not use are not shown to it.
    if not functions or body.tool_choice == "none":
        return
    if body.tool_choice == "required" or chosen_function(body) is not None:
        raise UnsupportedRequestError("this provider cannot force a call of a tool")
    upstream["tools"] = [_tool(function) for function in functions]


def _tool(function: FunctionDefinition) -> dict[str, Any]:
    # Its templates read all three members.
    parameters = function.parameters or {"type": "object", "properties": {}}
    described = {"name": function.name, "description": function.description or "", "parameters": parameters}
    return {"type": "function", "function": described}


def _add_format(upstream: dict[str, Any], body: ChatBody, target: Target) -> None:
    wanted = body.response_format
    if wanted is None or not supports("response_format", target.supported):
        return
    if isinstance(wanted, GrammarFormat | PythonFormat):
        raise UnsupportedRequestError("this provider has no such form of an answer")
    if isinstance(wanted, JsonSchemaFormat) and wanted.json_schema.schema:
        upstream["format"] = wanted.json_schema.schema
    elif isinstance(wanted, JsonObjectFormat | JsonSchemaFormat):
        upstream["format"] = "json"


def _add_thinking(upstream: dict[str, Any], body: ChatBody, target: Target) -> None:
    if not supports("reasoning", target.supported):
        return
    wish = reasoning_wish(body)
    if wish.off:
        upstream["think"] = False
    elif wish.effort is not None:
        upstream["think"] = _LEVELS[wish.effort]
    elif wish.is_on:
        # It has no budget.
        upstream["think"] = True
