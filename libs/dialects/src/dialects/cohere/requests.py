"""Making the body of a request."""

from __future__ import annotations

from typing import Any

from dialects.chat import ChatBody, FunctionDefinition, GrammarFormat, JsonObjectFormat, JsonSchemaFormat, PythonFormat
from dialects.cohere.messages import convert_messages
from dialects.errors import UnsupportedRequestError
from dialects.parameters import supports
from dialects.reasoning_wish import reasoning_wish
from dialects.tool_calls import chosen_function, function_tools
from dialects.upstream import Target

MAX_STOP_SEQUENCES = 5
MAX_TOP_K = 500
# The API has other bounds than the public one; a value beyond one means the most that there is of it.
_LEAST_TOP_P, _MOST_TOP_P = 0.01, 0.99
# A seed is not negative; the lower 63 bits keep equal seeds equal.
_SEED_MASK = 2**63 - 1


def build_request(body: ChatBody, target: Target) -> dict[str, Any]:
    """Return the body of a request.

    Raises:
        UnsupportedRequestError: it says what the API has no place for.
    """
    upstream: dict[str, Any] = {
        "model": target.model,
        "messages": convert_messages(body.messages),
        "stream": target.stream,
    }
    _add_sampling(upstream, body, target)
    _add_tools(upstream, body, target)
    _add_response_format(upstream, body, target)
    _add_thinking(upstream, body, target)
    return upstream


def _add_sampling(upstream: dict[str, Any], body: ChatBody, target: Target) -> None:
    supported = target.supported
    if body.output_limit is not None and supports("max_tokens", supported):
        upstream["max_tokens"] = body.output_limit
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
    if stops and supports("stop", supported):
        upstream["stop_sequences"] = stops[:MAX_STOP_SEQUENCES]
    if body.temperature is not None and supports("temperature", supported):
        upstream["temperature"] = body.temperature
    if body.top_p is not None and supports("top_p", supported):
        upstream["p"] = min(max(body.top_p, _LEAST_TOP_P), _MOST_TOP_P)
    if body.top_k is not None and supports("top_k", supported):
        upstream["k"] = min(body.top_k, MAX_TOP_K)
    if body.seed is not None and supports("seed", supported):
        upstream["seed"] = body.seed & _SEED_MASK
    for name in ("frequency_penalty", "presence_penalty"):
        penalty = getattr(body, name)
        if penalty is not None and supports(name, supported):
            upstream[name] = min(max(penalty, 0.0), 1.0)
    if body.logprobs and supports("logprobs", supported):
        upstream["logprobs"] = True


def _add_tools(upstream: dict[str, Any], body: ChatBody, target: Target) -> None:
    functions = function_tools(body, target.supported)
    if not functions:
        return
    chosen = chosen_function(body)
    if chosen is not None:
        # A function cannot be chosen by name: the only one that is there is chosen.
        functions = [function for function in functions if function.name == chosen] or functions
    upstream["tools"] = [_tool(function) for function in functions]
    if any(function.strict for function in functions):
        upstream["strict_tools"] = True
    if chosen is not None or body.tool_choice == "required":
        upstream["tool_choice"] = "REQUIRED"
    elif body.tool_choice == "none":
        upstream["tool_choice"] = "NONE"


def _tool(function: FunctionDefinition) -> dict[str, Any]:
    described = {"description": function.description} if function.description is not None else {}
    # Parameters are required.
    parameters = function.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": function.name, **described, "parameters": parameters}}


def _add_response_format(upstream: dict[str, Any], body: ChatBody, target: Target) -> None:
    wanted = body.response_format
    if wanted is None or not supports("response_format", target.supported):
        return
    if isinstance(wanted, GrammarFormat | PythonFormat):
        raise UnsupportedRequestError("this provider has no such form of an answer")
    if not isinstance(wanted, JsonObjectFormat | JsonSchemaFormat):
        return
    if "tools" in upstream:
        raise UnsupportedRequestError("this provider has no structured output together with tools")
    upstream["response_format"] = {"type": "json_object"}
    if isinstance(wanted, JsonSchemaFormat) and wanted.json_schema.schema:
        upstream["response_format"]["json_schema"] = wanted.json_schema.schema


def _add_thinking(upstream: dict[str, Any], body: ChatBody, target: Target) -> None:
    if not supports("reasoning", target.supported):
        return
    wish = reasoning_wish(body)
    if wish.off:
        upstream["thinking"] = {"type": "disabled"}
    elif wish.is_on:
        upstream["thinking"] = {"type": "enabled"}
        budget = wish.tokens(body.output_limit or target.max_completion_tokens)
        if budget is not None:
            upstream["thinking"]["token_budget"] = budget
