"""The response object: what was asked for, what came of it, every nullable member present."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dialects.responses.codec import ResponsesRequest

Status = Literal["in_progress", "completed", "incomplete", "failed"]

# Members that repeat the request, and what stands in for one that was not sent.
_REPEATED: dict[str, Any] = {
    "background": False,
    "frequency_penalty": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": None,
    "previous_response_id": None,
    "prompt": None,
    "prompt_cache_key": None,
    "prompt_cache_options": None,
    "reasoning": None,
    "safety_identifier": None,
    "service_tier": None,
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a response ended.

    Attributes:
        status: completed, incomplete or failed.
        completed_at: Unix seconds; None unless it is complete.
        incomplete_reason: `max_output_tokens` or `content_filter`.
        error: code and message, of a failed one.
        error_type: the word for the error in the public API.
        service_tier: that was served; empty where the provider does not say.
        usage: the usage object, encoded or not; None when nothing is known.
    """

    status: Status
    completed_at: int | None = None
    incomplete_reason: str | None = None
    error: dict[str, str] | None = None
    error_type: str | None = None
    service_tier: str = ""
    usage: Any = None


class ResponseObject:
    """What does not change of one response."""

    __slots__ = ("_repeated", "model", "response_id")

    def __init__(self, request: ResponsesRequest, response_id: str, created_at: int, model: str) -> None:
        """Start a response.

        Args:
            request: what it answers.
            response_id: its `id`.
            created_at: Unix seconds.
            model: that is asked for, until it is known which one answers.
        """
        document = request.document
        self.response_id = response_id
        self.model = model
        self._repeated: dict[str, Any] = {"object": "response", "id": response_id, "created_at": created_at}
        self._repeated |= {name: document.get(name, default) for name, default in _REPEATED.items()}
        self._repeated["tools"] = [_whole_tool(tool) for tool in document.get("tools", ())]
        text = document.get("text")
        if isinstance(text, dict) and text.get("format") is None:
            self._repeated["text"] = {**text, "format": {"type": "text"}}

    def in_progress(self) -> dict[str, Any]:
        """The response before there is anything of it."""
        return self._document(Ending("in_progress"), [], "")

    def ended(self, ending: Ending, output: list[dict[str, Any]], text: str) -> dict[str, Any]:
        """The response at its end."""
        return self._document(ending, output, text)

    def _document(self, ending: Ending, output: list[dict[str, Any]], text: str) -> dict[str, Any]:
        incomplete = None if ending.incomplete_reason is None else {"reason": ending.incomplete_reason}
        document = self._repeated | {
            "model": self.model,
            "status": ending.status,
            "completed_at": ending.completed_at,
            "error": ending.error,
            "incomplete_details": incomplete,
            "output": output,
            "output_text": text,
            "usage": ending.usage,
        }
        if ending.service_tier:
            document["service_tier"] = ending.service_tier
        if ending.error_type is not None:
            document["error_type"] = ending.error_type
        return document


def _whole_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function says whether it is strict even if its caller did not."""
    if tool.get("type") != "function":
        return tool
    return {"strict": None, "parameters": {"type": "object", "properties": {}}} | tool
