"""Tools of a Messages request and the choice among them, as chat completions has them."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from dialects.chat.content import MAX_NAME_LENGTH
from dialects.errors import InvalidRequestError
from dialects.messages.blocks import CacheControl
from dialects.request_reading import convert_request

# Tools of OpenRouter, which chat completions names in the same way.
_SERVER_TOOL = "openrouter:"


class CustomTool(Struct, frozen=True):
    """A function that the model may call; `input_schema` is a JSON Schema."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]
    input_schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class AutoChoice(Struct, frozen=True, tag_field="type", tag="auto"):
    """The model may call a tool."""

    disable_parallel_tool_use: bool | None = None


class AnyChoice(Struct, frozen=True, tag_field="type", tag="any"):
    """The model must call a tool."""

    disable_parallel_tool_use: bool | None = None


class NoChoice(Struct, frozen=True, tag_field="type", tag="none"):
    """The model must not call a tool."""


class NamedChoice(Struct, frozen=True, tag_field="type", tag="tool"):
    """The model must call this tool."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]
    disable_parallel_tool_use: bool | None = None


ToolChoice = AutoChoice | AnyChoice | NoChoice | NamedChoice


def tools_of(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write the tools. Tools that Anthropic runs, or whose schema only its models know, are refused by name.

    Raises:
        InvalidRequestError: a tool is not valid, or not offered here.
    """
    return [_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools)]


def _tool(tool: dict[str, Any], where: str) -> dict[str, Any]:
    kind = tool.get("type")
    if isinstance(kind, str) and kind.startswith(_SERVER_TOOL):
        return tool
    if kind not in (None, "custom"):
        raise InvalidRequestError(
            f"{where}.type: this kind of tool is not offered here; declare it as a custom tool", f"{where}.type"
        )
    custom = convert_request(tool, CustomTool, where)
    function: dict[str, Any] = {"name": custom.name, "parameters": custom.input_schema}
    if custom.description is not None:
        function["description"] = custom.description
    if custom.strict is not None:
        function["strict"] = custom.strict
    written: dict[str, Any] = {"type": "function", "function": function}
    if custom.cache_control is not None:
        written["cache_control"] = custom.cache_control
    return written


def choice_of(choice: ToolChoice) -> dict[str, Any]:
    """Write the choice, as the members of a chat completions request that say it."""
    if isinstance(choice, NoChoice):
        return {"tool_choice": "none"}
    written: dict[str, Any]
    if isinstance(choice, NamedChoice):
        written = {"tool_choice": {"type": "function", "function": {"name": choice.name}}}
    else:
        written = {"tool_choice": "auto" if isinstance(choice, AutoChoice) else "required"}
    if choice.disable_parallel_tool_use is not None:
        written["parallel_tool_calls"] = not choice.disable_parallel_tool_use
    return written
