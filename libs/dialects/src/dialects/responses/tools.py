"""Tools of a Responses request as function tools of a chat request, and back to the names that the caller knows.

A custom tool takes plain text; to a model it is a function with one string. A namespace groups tools under a name; to a model
the name is a prefix. Tools that a gateway would have to run itself (search, code, computer ...) are not offered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from dialects.chat.content import MAX_NAME_LENGTH
from dialects.chat.options import CacheControl
from dialects.errors import InvalidRequestError
from dialects.request_reading import convert_request

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]
_SEPARATOR: Final = "__"
_INPUT: Final = "input"
_NOT_OFFERED: Final = "tools of this type are not offered here"


class FunctionTool(Struct, frozen=True, tag_field="type", tag="function"):
    """A function that the model may call; `parameters` is a JSON Schema."""

    name: Name
    parameters: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class CustomTextFormat(Struct, frozen=True, tag_field="type", tag="text"):
    """Any text."""


class CustomGrammarFormat(Struct, frozen=True, tag_field="type", tag="grammar"):
    """Text of a grammar."""

    definition: str
    syntax: Literal["lark", "regex"]


class CustomTool(Struct, frozen=True, tag_field="type", tag="custom"):
    """A tool whose input is text."""

    name: Name
    description: str | None = None
    format: CustomTextFormat | CustomGrammarFormat | None = None


class NamespaceTool(Struct, frozen=True, tag_field="type", tag="namespace"):
    """Tools under a common name."""

    name: Name
    tools: Annotated[list[FunctionTool | CustomTool], Meta(max_length=1_024)]
    description: str | None = None


Tool = FunctionTool | CustomTool | NamespaceTool
TOOL_TYPES: Final = frozenset({"function", "custom", "namespace"})
ToolType = Literal["function", "custom"]


class ToolName(NamedTuple):
    """A tool as the caller knows it. `namespace` is empty for most."""

    type: ToolType
    name: str
    namespace: str = ""

    @property
    def function(self) -> str:
        """Its name as a function of a chat request."""
        return f"{self.namespace}{_SEPARATOR}{self.name}" if self.namespace else self.name


def check_tool_types(tools: object) -> None:
    """Refuse tools of a type that is not offered.

    Raises:
        InvalidRequestError: names the tool.
    """
    if not isinstance(tools, list):
        return
    for position, tool in enumerate(tools):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind not in TOOL_TYPES:
            raise InvalidRequestError(f"tools[{position}].type: {_NOT_OFFERED}", f"tools[{position}].type")


def functions_of(tools: Sequence[Tool]) -> dict[ToolName, dict[str, Any]]:
    """Write tools as the function tools of a chat request, by the names that the caller knows.

    Raises:
        InvalidRequestError: a name is too long with its namespace, or not unique.
    """
    found: dict[ToolName, dict[str, Any]] = {}
    names: set[str] = set()
    for position, tool in enumerate(tools):
        where = f"tools[{position}]"
        if isinstance(tool, NamespaceTool):
            inner = [(_name(each, tool.name), each, f"{where}.tools[{at}]") for at, each in enumerate(tool.tools)]
        else:
            inner = [(_name(tool, ""), tool, where)]
        for name, each, path in inner:
            if len(name.function) > MAX_NAME_LENGTH:
                reason = f"with its namespace longer than {MAX_NAME_LENGTH} characters"
                raise InvalidRequestError(f"{path}.name: {reason}", f"{path}.name")
            if name.function in names:
                raise InvalidRequestError(f"{path}.name: another tool has the same name", f"{path}.name")
            names.add(name.function)
            found[name] = _function(name, each)
    return found


def custom_arguments(text: str) -> str:
    """Write the input of a custom tool as the arguments of its function."""
    return msgspec.json.encode({_INPUT: text}).decode()


def custom_input(arguments: str) -> str:
    """Read the input of a custom tool from the arguments of its function; what is none is the input itself."""
    try:
        document = msgspec.json.decode(arguments)
    except (msgspec.MsgspecError, RecursionError):
        return arguments
    text = document.get(_INPUT) if isinstance(document, dict) else None
    return text if isinstance(text, str) else arguments


class _Named(Struct, frozen=True):
    type: str
    name: Name
    namespace: str = ""


class _Allowed(Struct, frozen=True):
    mode: Literal["auto", "required"]
    tools: Annotated[list[_Named], Meta(max_length=1_024)]


def choose_tools(
    choice: object, functions: Mapping[ToolName, dict[str, Any]]
) -> tuple[list[dict[str, Any]], str | dict[str, Any] | None]:
    """Return the functions of a chat request that may be called, and its `tool_choice`.

    Args:
        choice: `tool_choice` as it was sent; None when it was not.
        functions: all tools.

    Raises:
        InvalidRequestError: the choice is none, or names a tool that is not there.
    """
    every = list(functions.values())
    if choice is None or choice in ("none", "auto", "required"):
        return every, choice if isinstance(choice, str) else None
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind in ("function", "custom"):
        wanted = convert_request(choice, _Named, "tool_choice")
        name = _find(wanted, functions, "tool_choice.name")
        return every, {"type": "function", "function": {"name": name.function}}
    if kind == "allowed_tools":
        allowed = convert_request(choice, _Allowed, "tool_choice")
        names = [
            _find(each, functions, f"tool_choice.tools[{position}].name") for position, each in enumerate(allowed.tools)
        ]
        return [functions[name] for name in functions if name in names], allowed.mode
    where = "tool_choice.type" if isinstance(kind, str) else "tool_choice"
    raise InvalidRequestError(f"{where}: not one of the allowed values", where)


def _find(wanted: _Named, functions: Mapping[ToolName, Any], where: str) -> ToolName:
    for name in functions:
        if (name.type, name.name, name.namespace) == (wanted.type, wanted.name, wanted.namespace):
            return name
    raise InvalidRequestError(f"{where}: there is no such tool", where)


def _name(tool: FunctionTool | CustomTool, namespace: str) -> ToolName:
    return ToolName("custom" if isinstance(tool, CustomTool) else "function", tool.name, namespace)


def _function(name: ToolName, tool: FunctionTool | CustomTool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name.function}
    written: dict[str, Any] = {"type": "function", "function": function}
    if isinstance(tool, CustomTool):
        description = _described(tool)
        if description:
            function["description"] = description
        function["parameters"] = {
            "type": "object",
            "properties": {_INPUT: {"type": "string"}},
            "required": [_INPUT],
            "additionalProperties": False,
        }
        return written
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    if tool.strict is not None:
        function["strict"] = tool.strict
    if tool.cache_control is not None:
        written["cache_control"] = msgspec.to_builtins(tool.cache_control)
    return written


def _described(tool: CustomTool) -> str:
    description = tool.description or ""
    if isinstance(tool.format, CustomGrammarFormat):
        return (
            f"{description}\n\nThe input follows this {tool.format.syntax} grammar:\n{tool.format.definition}".strip()
        )
    return description
