"""Reading the Messages API's answers: whole ones, and the blocks that both whole and streamed ones are made of."""

from __future__ import annotations

from typing import Any

from dialects.answers import Answer, ChoiceDelta, FinishReason, ToolCallPiece
from dialects.anthropic.documents import member, text, written
from dialects.anthropic.errors import error_of
from dialects.anthropic.reasoning_details import encrypted_detail, text_detail
from dialects.anthropic.usage import read_usage
from dialects.errors import UpstreamAnswerError
from dialects.json_values import decode_object

# Beyond these it is a fault; they would make a reader allocate without end.
MAX_BLOCKS = 4_096
MAX_ANNOTATIONS = 1_024

_FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "pause_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.CONTENT_FILTER,
}


def read_answer(body: bytes) -> Answer:
    """Read a whole answer.

    Raises:
        UpstreamAnswerError: neither a message nor an error.
    """
    document = decode_object(body)
    if document.get("type") == "error":
        return Answer(error=error_of(document))
    blocks = document.get("content")
    if not isinstance(blocks, list) or len(blocks) > MAX_BLOCKS:
        raise UpstreamAnswerError("the answer has no content")
    whole = _Whole()
    for block in blocks:
        if not isinstance(block, dict):
            raise UpstreamAnswerError("a block is not an object")
        whole.add(block)
    usage = document.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Answer(
        id=text(document, "id"),
        choices=(whole.choice(document),),
        usage=read_usage(usage),
        service_tier=service_tier(usage),
    )


def ending(document: dict[str, Any]) -> tuple[FinishReason | None, str | None, str | None]:
    """Read why a message ended, from the message or the delta that says it.

    Returns:
        The reason, the API's word for it, and the text of a refusal; None as long as it has not ended.

    Raises:
        UpstreamAnswerError: a member is of the wrong type.
    """
    native = text(document, "stop_reason")
    if not native:
        return None, None, None
    details = document.get("stop_details")
    refusal = text(details, "explanation") if isinstance(details, dict) and native == "refusal" else ""
    # A word that is not known means that the model stopped by itself.
    return _FINISH_REASONS.get(native, FinishReason.STOP), native, refusal or None


def service_tier(usage: dict[str, Any]) -> str:
    """The tier that served the request, empty when it is not said."""
    tier = usage.get("service_tier")
    return tier if isinstance(tier, str) else ""


def url_citation(citation: object, start: int, end: int) -> dict[str, Any] | None:
    """Write a citation of a web page as an annotation of the characters `start` to `end`; None when it is of anything else."""
    if not isinstance(citation, dict) or citation.get("type") != "web_search_result_location":
        return None
    cited: dict[str, Any] = {"url": text(citation, "url"), "title": text(citation, "title")}
    return {
        "type": "url_citation",
        "url_citation": {**cited, "content": text(citation, "cited_text"), "start_index": start, "end_index": end},
    }


class _Whole:
    """Puts the blocks of a whole message together."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._length = 0
        self._reasoning: list[str] = []
        self._details: list[dict[str, Any]] = []
        self._calls: list[ToolCallPiece] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, block: dict[str, Any]) -> None:
        """Take the next block. Those of the provider's own tools show nothing to the caller."""
        kind = block.get("type")
        if kind == "text":
            self._add_text(block)
        elif kind == "thinking":
            thought = text(block, "thinking")
            self._reasoning.append(thought)
            self._details.append(text_detail(len(self._details), thought, text(block, "signature")))
        elif kind == "redacted_thinking":
            self._details.append(encrypted_detail(len(self._details), text(block, "data")))
        elif kind == "tool_use":
            arguments = written(member(block, "input"))
            piece = ToolCallPiece(len(self._calls), text(block, "id"), "function", text(block, "name"), arguments)
            self._calls.append(piece)

    def _add_text(self, block: dict[str, Any]) -> None:
        said = text(block, "text")
        start, self._length = self._length, self._length + len(said)
        self._texts.append(said)
        citations = block.get("citations")
        for citation in citations if isinstance(citations, list) else ():
            annotation = url_citation(citation, start, self._length)
            if annotation is not None and len(self._annotations) < MAX_ANNOTATIONS:
                self._annotations.append(annotation)

    def choice(self, message: dict[str, Any]) -> ChoiceDelta:
        """The message as a choice."""
        finish_reason, native, refusal = ending(message)
        extra: dict[str, Any] = {}
        if self._details:
            extra["reasoning_details"] = self._details
        if self._annotations:
            extra["annotations"] = self._annotations
        return ChoiceDelta(
            0,
            "".join(self._texts) if self._texts else None,
            "".join(self._reasoning) or None,
            refusal,
            tuple(self._calls),
            finish_reason,
            native,
            extra or None,
            stop_sequence=text(message, "stop_sequence") or None,
        )
