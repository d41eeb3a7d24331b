"""Tools and the choice among them."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

from dialects.chat import ChatBody, FunctionDefinition
from dialects.gemini.schemas import plain_schema
from dialects.tool_calls import chosen_function, function_tools

_MODES = {"none": "NONE", "required": "ANY"}


def tool_members(body: ChatBody, supported: AbstractSet[str]) -> dict[str, Any]:
    """Return `tools` and `toolConfig`, empty when there is nothing to call."""
    functions = function_tools(body, supported)
    if not functions:
        return {}
    members: dict[str, Any] = {"tools": [{"functionDeclarations": [_declaration(function) for function in functions]}]}
    chosen = chosen_function(body)
    if chosen is not None:
        members["toolConfig"] = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [chosen]}}
    elif isinstance(body.tool_choice, str) and body.tool_choice in _MODES:
        members["toolConfig"] = {"functionCallingConfig": {"mode": _MODES[body.tool_choice]}}
    return members


def _declaration(function: FunctionDefinition) -> dict[str, Any]:
    declaration: dict[str, Any] = {"name": function.name}
    if function.description is not None:
        declaration["description"] = function.description
    if function.parameters:
        declaration["parametersJsonSchema"] = plain_schema(function.parameters)
    return declaration
