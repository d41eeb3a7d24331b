"""Function calls for dialects that take arguments as objects and give calls no ids."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from dialects.chat import ChatBody, FunctionDefinition, NamedToolChoice
from dialects.errors import UnsupportedRequestError
from dialects.json_values import decode_or_none

_MADE = re.compile(r"call_[0-9a-f]{24}", re.ASCII)
_encode = msgspec.json.Encoder().encode


def function_tools(body: ChatBody, supported: AbstractSet[str]) -> list[FunctionDefinition]:
    """The functions that a model may call at an endpoint. Server tools are not for providers."""
    if not body.tools or "tools" not in supported:
        return []
    return [tool.function for tool in body.tools if tool.type == "function" and tool.function is not None]


def chosen_function(body: ChatBody) -> str | None:
    """The name of the function that the model must call, None when it may choose."""
    choice = body.tool_choice
    return choice.function.name if isinstance(choice, NamedToolChoice) and choice.function is not None else None


def arguments_object(arguments: str) -> dict[str, Any]:
    """Read the arguments of a call. What is no object stays visible to the model, as the argument `arguments`."""
    if not arguments.strip():
        return {}
    value = decode_or_none(arguments.encode(errors="replace"))
    return value if isinstance(value, dict) else {"arguments": arguments}


def arguments_text(arguments: object) -> str:
    """Write the arguments of a call as JSON."""
    if isinstance(arguments, str):
        return arguments
    return _encode(arguments if arguments is not None else {}).decode()


def make_call_id(*cause: object) -> str:
    """Make an id for a call out of what makes it the call that it is: the same cause gives the same id."""
    return f"call_{hashlib.sha256(_encode(cause)).hexdigest()[:24]}"


def is_made_call_id(call_id: str) -> bool:
    """Say whether an id has the form of those that `make_call_id` makes."""
    return _MADE.fullmatch(call_id) is not None


class CallNames:
    """The names of the functions that earlier turns called, by the id of the call; the latest call with an id counts."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def add(self, call_id: str, name: str) -> None:
        """Take a call."""
        self._names[call_id] = name

    def name(self, call_id: str) -> str:
        """Give the name of the function.

        Raises:
            UnsupportedRequestError: no turn made this call.
        """
        name = self._names.get(call_id)
        if name is None:
            raise UnsupportedRequestError("a tool result answers no call of an earlier turn")
        return name
