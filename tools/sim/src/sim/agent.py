"""What `sim-agent` says: a tool call where there are tools, JSON where a form of the answer is asked for, else an echo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from sim.schema_values import value_for

Json = dict[str, Any]

_encode = msgspec.json.Encoder().encode
# Arguments come in pieces of so many characters.
_PIECE = 12


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. Each item of `arguments` is one token."""

    id: str
    name: str
    arguments: tuple[str, ...]

    def document(self) -> Json:
        """The whole call."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": "".join(self.arguments)},
        }

    def pieces(self, index: int) -> list[Json]:
        """The call as a stream gives it: its name, then its arguments."""
        first = {"index": index, "id": self.id, "type": "function", "function": {"name": self.name, "arguments": ""}}
        return [first, *({"index": index, "function": {"arguments": piece}} for piece in self.arguments)]


def calls_for(request: Mapping[str, Any], messages: Sequence[Json], id: str) -> tuple[Call, ...]:
    """Call the first function, or the one that is asked for; none once there is a result, or where none may be called.

    Args:
        request: the members of the request besides its messages.
        messages: of the request.
        id: makes the id of the call.
    """
    choice = request.get("tool_choice")
    functions = [tool["function"] for tool in request.get("tools") or () if isinstance(tool.get("function"), dict)]
    if choice == "none" or not functions or (messages and messages[-1].get("role") == "tool"):
        return ()
    wanted = (choice.get("function") or {}).get("name") if isinstance(choice, dict) else None
    function = next((each for each in functions if each.get("name") == wanted), functions[0])
    arguments = _encode(value_for(function.get("parameters") or {"type": "object"})).decode()
    pieces = tuple(arguments[at : at + _PIECE] for at in range(0, len(arguments), _PIECE))
    return (Call(f"call_sim_{id}", str(function.get("name")), pieces),)


def json_for(request: Mapping[str, Any]) -> str | None:
    """JSON in the form that is asked for; None where none is."""
    wanted = request.get("response_format") or {}
    kind = wanted.get("type")
    if kind == "json_schema":
        return _encode(value_for((wanted.get("json_schema") or {}).get("schema") or {"type": "object"})).decode()
    return '{"simulated":true}' if kind == "json_object" else None
