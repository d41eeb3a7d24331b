"""Reading the Converse API's answers: whole ones, and what both whole and streamed ones are made of."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from dialects.answers import Answer, ChoiceDelta, FinishReason, ToolCallPiece
from dialects.anthropic.documents import member, text, written
from dialects.anthropic.reasoning_details import CLAUDE_FORMAT, encrypted_detail, text_detail
from dialects.bedrock.blocks import CONVERSE_FORMAT, IMAGE_FORMATS, data_url
from dialects.bedrock.usage import read_usage
from dialects.errors import UpstreamAnswerError
from dialects.json_values import decode_object

# Beyond these it is a fault; they would make a reader allocate without end.
MAX_BLOCKS = 4_096
MAX_ANNOTATIONS = 1_024

_FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "content_filtered": FinishReason.CONTENT_FILTER,
    "malformed_model_output": FinishReason.ERROR,
    "malformed_tool_use": FinishReason.ERROR,
}
# The type of calls that the service makes itself: they show nothing to the caller.
SERVER_TOOL_USE = "server_tool_use"


def read_answer(body: bytes) -> Answer:
    """Read a whole answer.

    Raises:
        UpstreamAnswerError: it is none.
    """
    document = decode_object(body)
    blocks = member(member(document, "output"), "message").get("content")
    if not isinstance(blocks, list) or len(blocks) > MAX_BLOCKS:
        raise UpstreamAnswerError("the answer has no content")
    whole = _Whole()
    for block in blocks:
        if not isinstance(block, dict):
            raise UpstreamAnswerError("a block is not an object")
        whole.add(block)
    usage = document.get("usage")
    return Answer(
        choices=(whole.choice(text(document, "stopReason")),),
        usage=read_usage(usage) if isinstance(usage, dict) else None,
        service_tier=service_tier(document),
    )


def finish_reason_of(native: str) -> FinishReason | None:
    """Translate why a message ended. A word that is not known means that the model stopped by itself."""
    return _FINISH_REASONS.get(native, FinishReason.STOP) if native else None


def service_tier(document: dict[str, Any]) -> str:
    """The tier that served the request, empty when it is not said."""
    tier = document.get("serviceTier")
    return text(tier, "type") if isinstance(tier, dict) else ""


def url_citation(citation: object, start: int, end: int) -> dict[str, Any] | None:
    """Write a citation of a web page as an annotation of the characters `start` to `end`; None when it is of anything else."""
    location = citation.get("location") if isinstance(citation, dict) else None
    web = location.get("web") if isinstance(location, dict) else None
    if not isinstance(citation, dict) or not isinstance(web, dict):
        return None
    cited: dict[str, Any] = {"url": text(web, "url"), "title": text(citation, "title")}
    cited["content"] = joined_texts(citation.get("sourceContent"))
    return {"type": "url_citation", "url_citation": {**cited, "start_index": start, "end_index": end}}


def image_extra(kind: str, pieces: list[bytes]) -> dict[str, Any]:
    """Write an image as the public API has it.

    Raises:
        UpstreamAnswerError: it is of no known format.
    """
    if kind not in IMAGE_FORMATS.values():
        raise UpstreamAnswerError("the format of an image is not known")
    return {"type": "image_url", "image_url": {"url": data_url(kind, pieces)}}


def image_bytes(image: dict[str, Any]) -> bytes:
    """Read an image's bytes, or a piece of them.

    Raises:
        UpstreamAnswerError: they are not base64.
    """
    source = image.get("source")
    try:
        return base64.b64decode(text(source, "bytes"), validate=True) if isinstance(source, dict) else b""
    except (binascii.Error, ValueError):
        raise UpstreamAnswerError("an image is not base64") from None


def joined_texts(parts: object) -> str:
    """Join the texts of a list of `{"text": ...}`."""
    return "".join(text(part, "text") for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ""


class _Whole:
    """Puts the blocks of a whole message together."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._length = 0
        self._reasoning: list[str] = []
        self._extra: dict[str, list[dict[str, Any]]] = {"reasoning_details": [], "annotations": [], "images": []}
        self._calls: list[ToolCallPiece] = []

    def add(self, block: dict[str, Any]) -> None:
        """Take the next block, whose only member says its kind. Kinds that are not known show nothing to the caller."""
        if "text" in block:
            self._add_text(text(block, "text"))
        elif "citationsContent" in block:
            self._add_cited(member(block, "citationsContent"))
        elif "reasoningContent" in block:
            self._add_reasoning(member(block, "reasoningContent"))
        elif "toolUse" in block:
            self._add_call(member(block, "toolUse"))
        elif "image" in block:
            image = member(block, "image")
            self._extra["images"].append(image_extra(text(image, "format"), [image_bytes(image)]))

    def _add_text(self, said: str) -> None:
        self._length += len(said)
        self._texts.append(said)

    def _add_cited(self, cited: dict[str, Any]) -> None:
        start = self._length
        self._add_text(joined_texts(cited.get("content")))
        citations = cited.get("citations")
        for citation in citations if isinstance(citations, list) else ():
            annotation = url_citation(citation, start, self._length)
            if annotation is not None and len(self._extra["annotations"]) < MAX_ANNOTATIONS:
                self._extra["annotations"].append(annotation)

    def _add_reasoning(self, content: dict[str, Any]) -> None:
        details = self._extra["reasoning_details"]
        if "reasoningText" in content:
            block = member(content, "reasoningText")
            thought, signature = text(block, "text"), text(block, "signature")
            self._reasoning.append(thought)
            details.append(text_detail(len(details), thought, signature, CLAUDE_FORMAT if signature else ""))
        elif "redactedContent" in content:
            details.append(encrypted_detail(len(details), text(content, "redactedContent"), CONVERSE_FORMAT))

    def _add_call(self, call: dict[str, Any]) -> None:
        if call.get("type") == SERVER_TOOL_USE:
            return
        arguments = written(call.get("input", {}))
        piece = ToolCallPiece(len(self._calls), text(call, "toolUseId"), "function", text(call, "name"), arguments)
        self._calls.append(piece)

    def choice(self, native: str) -> ChoiceDelta:
        """The message as a choice."""
        return ChoiceDelta(
            0,
            "".join(self._texts) if self._texts else None,
            "".join(self._reasoning) or None,
            None,
            tuple(self._calls),
            finish_reason_of(native),
            native or None,
            {name: values for name, values in self._extra.items() if values} or None,
        )
