"""Tools and the choice among them."""

from __future__ import annotations

from typing import Any

from dialects.anthropic.schemas import object_schema, strict_schema
from dialects.anthropic.tools import functions_of
from dialects.bedrock.blocks import ConverseBlocks
from dialects.chat import ChatRequest, NamedToolChoice
from dialects.parameters import supports
from dialects.upstream import Target

# The word of the catalogue: the model's prompt cache takes markers among the tools too.
TOOL_CACHE_POINTS = "tool-cache-points"


def declares_tools(request: ChatRequest, target: Target) -> bool:
    """Whether the request has tools for the model. The API cannot forbid their use, so `none` withholds them."""
    return "tools" in target.supported and request.body.tool_choice != "none" and bool(functions_of(request))


def write_tool_config(request: ChatRequest, target: Target, blocks: ConverseBlocks) -> dict[str, Any]:
    """Write the tools and the choice."""
    tools: list[dict[str, Any]] = []
    for function, mark in functions_of(request):
        schema = object_schema(function.parameters)
        specification: dict[str, Any] = {"name": function.name}
        if function.description:
            specification["description"] = function.description
        if function.strict and "structured_outputs" in target.supported:
            schema = strict_schema(schema)
            specification["strict"] = True
        specification["inputSchema"] = {"json": schema}
        tools.append({"toolSpec": specification})
        if TOOL_CACHE_POINTS in target.quirks:
            tools += blocks.cache_point(mark)
    config: dict[str, Any] = {"tools": tools}
    choice = _choice(request)
    if choice is not None and supports("tool_choice", target.supported):
        config["toolChoice"] = choice
    return config


def forces_a_tool(config: dict[str, Any] | None) -> bool:
    """Whether the model has no way but to call a tool."""
    choice = config.get("toolChoice", {}) if config is not None else {}
    return "any" in choice or "tool" in choice


def _choice(request: ChatRequest) -> dict[str, Any] | None:
    choice = request.body.tool_choice
    if isinstance(choice, NamedToolChoice):
        return {"tool": {"name": choice.function.name}} if choice.function is not None else None
    if choice == "required":
        return {"any": {}}
    return {"auto": {}} if choice == "auto" else None
