"""Tools and the choice among them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dialects.anthropic.caching import read_cache_mark
from dialects.anthropic.schemas import object_schema, strict_schema
from dialects.anthropic.turns import Block
from dialects.chat import ChatRequest, FunctionDefinition, NamedToolChoice


def functions_of(request: ChatRequest) -> list[tuple[FunctionDefinition, dict[str, str] | None]]:
    """The functions of a request, each with its prompt-cache marker. Server tools are not for providers."""
    return [
        (tool.function, read_cache_mark(raw) or read_cache_mark(raw.get("function")))
        for tool, raw in zip(request.body.tools or (), request.document.get("tools") or (), strict=True)
        if tool.type == "function" and tool.function is not None
    ]


def write_tools(request: ChatRequest, *, strict: bool) -> list[Block]:
    """Write the tools.

    Args:
        request: what the caller sent.
        strict: whether the endpoint can hold the model to a schema.
    """
    tools = []
    for function, mark in functions_of(request):
        tool: Block = {"name": function.name}
        if function.description:
            tool["description"] = function.description
        tool["input_schema"] = object_schema(function.parameters)
        if strict and function.strict:
            tool["input_schema"] = strict_schema(tool["input_schema"])
            tool["strict"] = True
        if mark is not None:
            tool["cache_control"] = mark
        tools.append(tool)
    return tools


def stand_in_tools(names: Iterable[str]) -> list[Block]:
    """Declare tools that earlier turns called and the request no longer has: blocks of undeclared tools are refused."""
    return [{"name": name, "input_schema": object_schema(None)} for name in names]


def write_tool_choice(request: ChatRequest) -> Block | None:
    """Write the choice, None for what the API does by itself."""
    choice = request.body.tool_choice
    written: dict[str, Any] | None = None
    if isinstance(choice, NamedToolChoice):
        if choice.function is not None:
            written = {"type": "tool", "name": choice.function.name}
    elif choice is not None:
        written = {"type": {"none": "none", "auto": "auto", "required": "any"}[choice]}
    if request.body.parallel_tool_calls is False:
        written = written or {"type": "auto"}
        if written["type"] != "none":
            written["disable_parallel_tool_use"] = True
    return written


def forces_a_tool(choice: Block | None) -> bool:
    """Whether a choice leaves the model no way but to call a tool."""
    return choice is not None and choice["type"] in ("any", "tool")
