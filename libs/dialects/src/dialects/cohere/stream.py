"""Reading the events of a stream."""

from __future__ import annotations

from typing import Any

from dialects.answers import Answer, ChoiceDelta, ToolCallPiece, UpstreamErrorKind
from dialects.cohere.answers import MAX_TOOL_CALLS, read_call, read_citation, read_end, read_logprobs
from dialects.cohere.errors import find_error
from dialects.cohere.messages import PLAN_ID, THINKING_ID, reasoning_detail
from dialects.json_values import index_in, object_in, text_in
from dialects.tool_calls import arguments_text
from dialects.upstream_errors import upstream_error


class EventReader:
    """Reads one answer's events. Remembers its id, never text."""

    def __init__(self) -> None:
        self._id = ""
        self.done = False

    def read(self, document: dict[str, Any], event: str) -> Answer:
        """Read an event; one that is not known is an empty answer.

        Args:
            document: its data.
            event: the event's type where the framing has it; the data's own counts.

        Raises:
            UpstreamAnswerError: it is not in the dialect.
        """
        delta = object_in(document, "delta")
        message = object_in(delta, "message")
        match text_in(document, "type") or event:
            case "message-start":
                self._id = text_in(document, "id")
                return Answer(id=self._id)
            case "content-start" | "content-delta":
                return self._content(document, object_in(message, "content"))
            case "tool-plan-delta":
                return self._piece(_thought(text_in(message, "tool_plan"), PLAN_ID))
            case "tool-call-start":
                call = read_call(object_in(message, "tool_calls"), index_in(document, "index", MAX_TOOL_CALLS))
                return self._piece(ChoiceDelta(0, tool_calls=(call,)))
            case "tool-call-delta":
                return self._piece(_arguments(document, object_in(message, "tool_calls")))
            case "citation-start":
                annotations = read_citation(object_in(message, "citations"))
                return self._piece(ChoiceDelta(0, extra={"annotations": annotations}))
            case "message-end":
                self.done = True
                return read_end(delta, self._id, text_in(delta, "error"))
            case "error":
                return Answer(error=find_error(document) or upstream_error(UpstreamErrorKind.SERVER))
            case "":
                return Answer(id=self._id, error=find_error(document))
            case _:
                return Answer(id=self._id)

    def _content(self, document: dict[str, Any], content: dict[str, Any]) -> Answer:
        thinking, text = text_in(content, "thinking"), text_in(content, "text")
        if thinking:
            return self._piece(_thought(thinking, THINKING_ID))
        logprobs = object_in(document, "logprobs")
        if not text and not logprobs:
            return Answer(id=self._id)
        return self._piece(ChoiceDelta(0, content=text, logprobs=read_logprobs([logprobs] if logprobs else [])))

    def _piece(self, choice: ChoiceDelta) -> Answer:
        return Answer(id=self._id, choices=(choice,))


def _thought(text: str, kind: str) -> ChoiceDelta:
    if not text:
        return ChoiceDelta(0)
    return ChoiceDelta(0, reasoning=text, extra={"reasoning_details": [reasoning_detail(text, kind)]})


def _arguments(document: dict[str, Any], call: dict[str, Any]) -> ChoiceDelta:
    index = index_in(document, "index", MAX_TOOL_CALLS)
    arguments = object_in(call, "function").get("arguments")
    piece = ToolCallPiece(index, arguments=arguments_text(arguments) if arguments is not None else "")
    return ChoiceDelta(0, tool_calls=(piece,))
