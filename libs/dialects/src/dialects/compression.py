"""Making a conversation fit a context: what is in the middle goes first, because models attend to it least.

OpenRouter's `middle-out`. Messages are taken out whole, a tool call together with its results; when that is not enough, the
longest text that is left loses its middle. The first instruction and the last message always stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dialects.chat import ChatRequest
from dialects.estimates import BYTES_PER_TOKEN, measure_message, measure_prompt, text_bytes

_INSTRUCTIONS = frozenset({"system", "developer"})
_GAP = "\n[...]\n"
# What a cut text keeps at least, so that the end of the loop is certain.
_LEAST_BYTES = 64

Message = Mapping[str, Any]


def compress_middle(request: ChatRequest, most_tokens: int) -> ChatRequest:
    """Return the request with its prompt cut to about `most_tokens` by the estimate of `measure_prompt`.

    The request itself is returned when it fits. When even the shortest form is too long, that form is returned, and the
    provider decides.
    """
    if _tokens(request) <= most_tokens:
        return request
    units = _units(request)
    # Each message is rounded up for itself, so their sum is the larger one, unless there are tools.
    total = max(_tokens(request), sum(unit.tokens for unit in units))
    while len(units) > 1 and total > most_tokens:
        place = _middle(units)
        if place is None:
            break
        total -= units.pop(place).tokens
    request = _with_messages(request, [message for unit in units for message in unit.messages])
    return request if _tokens(request) <= most_tokens else _shorten(request, most_tokens)


@dataclass(slots=True)
class _Unit:
    """Messages that belong together: the results of a tool call are nothing without it, and it is an error without them."""

    messages: list[Message] = field(default_factory=list)
    tokens: int = 0


def _units(request: ChatRequest) -> list[_Unit]:
    units: list[_Unit] = []
    for message, typed in zip(request.document["messages"], request.body.messages, strict=True):
        if message.get("role") != "tool" or not units:
            units.append(_Unit())
        units[-1].messages.append(message)
        units[-1].tokens += measure_message(typed).estimated_tokens
    return units


def _middle(units: Sequence[_Unit]) -> int | None:
    """The unit in the middle of those that may go."""
    first = 1 if units[0].messages[0].get("role") in _INSTRUCTIONS else 0
    removable = range(first, len(units) - 1)
    return removable[len(removable) // 2] if removable else None


def _shorten(request: ChatRequest, most_tokens: int) -> ChatRequest:
    """Cut the middle out of the longest text, again and again, until it fits or nothing is left to cut."""
    messages = [dict(message) for message in request.document["messages"]]
    while (excess := _tokens(request) - most_tokens) > 0:
        longest = max(messages, key=lambda message: _text_size(message.get("content")))
        size = _text_size(longest["content"]) if isinstance(longest.get("content"), str) else 0
        kept = max(_LEAST_BYTES, size - excess * BYTES_PER_TOKEN - len(_GAP))
        if size <= kept + len(_GAP):
            break
        longest["content"] = _without_middle(longest["content"], kept)
        request = _with_messages(request, messages)
    return request


def _without_middle(text: str, kept_bytes: int) -> str:
    """Keep the same number of bytes at both ends, and whole characters."""
    data, half = text.encode(), kept_bytes // 2
    return data[:half].decode(errors="ignore") + _GAP + data[len(data) - half :].decode(errors="ignore")


def _text_size(content: object) -> int:
    return text_bytes(content) if isinstance(content, str) else 0


def _tokens(request: ChatRequest) -> int:
    return measure_prompt(request.body).estimated_tokens


def _with_messages(request: ChatRequest, messages: Sequence[Message]) -> ChatRequest:
    return request.with_members({"messages": list(messages)})
