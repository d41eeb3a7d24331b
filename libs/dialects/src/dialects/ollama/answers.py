"""Reading answers: a whole one, or the lines of a stream, which have the same form."""

from __future__ import annotations

from typing import Any

from dialects.answers import Answer, ChoiceDelta, FinishReason, ToolCallPiece, Usage
from dialects.errors import UpstreamAnswerError
from dialects.json_values import count_in, object_in, objects_in, text_in
from dialects.openai_compatible import find_error
from dialects.tool_calls import arguments_text, make_call_id

MAX_TOOL_CALLS = 1_024


class AnswerReader:
    """Reads one answer, in as many lines as it comes. Remembers counts, never text."""

    def __init__(self) -> None:
        self._calls = 0
        self.done = False

    def read(self, document: dict[str, Any]) -> Answer:
        """Read a line.

        Raises:
            UpstreamAnswerError: it is not in the dialect.
        """
        error = find_error(document)
        if error is not None:
            return Answer(error=error)
        message = document.get("message")
        if message is not None and not isinstance(message, dict):
            raise UpstreamAnswerError("the message is not an object")
        message = message or {}
        calls = tuple([self._call(call, text_in(document, "created_at")) for call in objects_in(message, "tool_calls")])
        self.done = document.get("done") is True
        finish, native = self._finish(text_in(document, "done_reason"))
        choice = ChoiceDelta(
            0,
            content=text_in(message, "content") or None,
            reasoning=text_in(message, "thinking") or None,
            tool_calls=calls,
            finish_reason=finish,
            native_finish_reason=native,
            logprobs=_read_logprobs(document),
        )
        return Answer(choices=(choice,), usage=_read_usage(document) if self.done else None)

    def _call(self, call: dict[str, Any], created_at: str) -> ToolCallPiece:
        """Read a call. One without an id gets one from when it was made: its server counts in nanoseconds."""
        function = object_in(call, "function")
        name = text_in(function, "name")
        number = self._calls
        self._calls += 1
        if not name:
            raise UpstreamAnswerError("a call names no function")
        if number >= MAX_TOOL_CALLS:
            raise UpstreamAnswerError("there are too many calls")
        arguments = arguments_text(function.get("arguments"))
        call_id = text_in(call, "id") or make_call_id(created_at, number, name, arguments)
        return ToolCallPiece(number, call_id, "function", name, arguments)

    def _finish(self, native: str) -> tuple[FinishReason | None, str | None]:
        if not self.done:
            return None, None
        if native == "length":
            return FinishReason.LENGTH, native
        # Older servers give no reason.
        return FinishReason.TOOL_CALLS if self._calls else FinishReason.STOP, native or "stop"


def _read_usage(document: dict[str, Any]) -> Usage | None:
    """Return the counts, None when they are absent or impossible.

    An older server that has the whole prompt in its cache does not count it.
    """
    if "prompt_eval_count" not in document:
        return None
    prompt, completion = count_in(document, "prompt_eval_count"), count_in(document, "eval_count")
    return Usage(prompt, completion) if prompt is not None and completion is not None else None


def _read_logprobs(document: dict[str, Any]) -> dict[str, Any] | None:
    """The items have the public API's form already."""
    items = objects_in(document, "logprobs")
    return {"content": items, "refusal": None} if items else None
