"""Reading answers: a whole one, or the events of a stream, which have the same form."""

from __future__ import annotations

from typing import Any

from dialects.answers import Answer, ChoiceDelta, FinishReason, ToolCallPiece
from dialects.errors import UpstreamAnswerError
from dialects.gemini.errors import find_error, prompt_block
from dialects.gemini.evidence import read_annotations, read_logprobs
from dialects.gemini.signatures import TEXT_ID, image_id, signature_detail, thought_detail
from dialects.gemini.usage import read_usage
from dialects.json_values import index_in, object_in, objects_in, text_in
from dialects.tool_calls import arguments_text, make_call_id

# Indexes beyond these are a fault; they would make a reader allocate without end.
MAX_CHOICES = 128
MAX_TOOL_CALLS = 1_024

_LENGTH = frozenset(("MAX_TOKENS", "CONTINUATION"))
_FILTERED = frozenset(
    (
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "ESCALATION",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    )
)
# The model or its server failed; what was written may be of no use.
_FAILED = frozenset(
    (
        "OTHER",
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "PUP_LIMITED_DISABLED",
        "NO_IMAGE",
        "IMAGE_OTHER",
    )
)


class AnswerReader:
    """Reads one answer, in as many responses as it comes. Remembers counts, never text."""

    def __init__(self) -> None:
        self._candidates: dict[int, _CandidateReader] = {}
        self._id = ""

    def read(self, document: dict[str, Any]) -> Answer:
        """Read a response.

        Raises:
            UpstreamAnswerError: it is not in the dialect.
        """
        error = find_error(document)
        if error is not None:
            return Answer(error=error)
        self._id = self._id or text_in(document, "responseId")
        candidates = document.get("candidates")
        if candidates is not None and not isinstance(candidates, list):
            raise UpstreamAnswerError("candidates is not an array")
        return Answer(
            id=self._id,
            choices=tuple([self._choice(candidate) for candidate in candidates or ()]),
            usage=read_usage(document.get("usageMetadata")),
            error=prompt_block(document),
        )

    def _choice(self, candidate: object) -> ChoiceDelta:
        if not isinstance(candidate, dict):
            raise UpstreamAnswerError("a candidate is not an object")
        index = index_in(candidate, "index", MAX_CHOICES)
        reader = self._candidates.get(index)
        if reader is None:
            reader = self._candidates[index] = _CandidateReader(index, self._id)
        return reader.read(candidate)


class _CandidateReader:
    """Reads the pieces of one choice."""

    def __init__(self, index: int, answer_id: str) -> None:
        self._index = index
        self._answer_id = answer_id
        self._calls = 0
        self._images = 0
        self._details = 0
        self._in_thought = False

    def read(self, candidate: dict[str, Any]) -> ChoiceDelta:
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[ToolCallPiece] = []
        extra: dict[str, list[dict[str, Any]]] = {}
        content = candidate.get("content")
        if content is not None and not isinstance(content, dict):
            raise UpstreamAnswerError("the content of a candidate is not an object")
        for part in _parts(content or {}):
            signature = text_in(part, "thoughtSignature")
            owner: str | None = None
            text = part.get("text")
            if text is not None and not isinstance(text, str):
                raise UpstreamAnswerError("the text of a part is not a string")
            if part.get("thought") is True:
                # A draft image of a model that thinks in images is no part of the answer.
                if text or signature:
                    thoughts.append(text or "")
                    extra.setdefault("reasoning_details", []).append(self._thought(text or "", signature))
                continue
            if text:
                texts.append(text)
                owner = TEXT_ID
            elif "functionCall" in part:
                call = self._call(part)
                calls.append(call)
                owner = call.id
            elif "inlineData" in part:
                owner = self._media(object_in(part, "inlineData"), extra)
            if signature:
                extra.setdefault("reasoning_details", []).append(self._signature(signature, owner))
        annotations = read_annotations(candidate)
        if annotations:
            extra["annotations"] = annotations
        finish, native = self._finish(text_in(candidate, "finishReason"))
        return ChoiceDelta(
            self._index,
            content="".join(texts) if texts else None,
            reasoning="".join(thoughts) if thoughts else None,
            tool_calls=tuple(calls),
            finish_reason=finish,
            native_finish_reason=native,
            extra=dict(extra) or None,
            logprobs=read_logprobs(object_in(candidate, "logprobsResult")),
        )

    def _call(self, part: dict[str, Any]) -> ToolCallPiece:
        call = object_in(part, "functionCall")
        name = text_in(call, "name")
        number = self._calls
        self._calls += 1
        if not name:
            raise UpstreamAnswerError("a call names no function")
        if number >= MAX_TOOL_CALLS:
            raise UpstreamAnswerError("there are too many calls")
        arguments = arguments_text(call.get("args"))
        call_id = text_in(call, "id") or make_call_id(self._answer_id, self._index, number, name, arguments)
        return ToolCallPiece(number, call_id, "function", name, arguments)

    def _media(self, data: dict[str, Any], extra: dict[str, list[dict[str, Any]]]) -> str | None:
        media_type = text_in(data, "mimeType")
        address = f"data:{media_type};base64,{text_in(data, 'data')}"
        if not media_type.startswith("image/"):
            extra.setdefault("media", []).append({"type": media_type, "url": address})
            return None
        number = self._images
        self._images += 1
        image = {"type": "image_url", "image_url": {"url": address}, "index": number}
        extra.setdefault("images", []).append(image)
        return image_id(number)

    def _thought(self, text: str, signature: str) -> dict[str, Any]:
        """Describe a piece of a thought: pieces that follow each other are one, until one is signed."""
        if not self._in_thought:
            self._details += 1
        self._in_thought = not signature
        return thought_detail(self._details - 1, text, signature)

    def _signature(self, signature: str, owner: str | None) -> dict[str, Any]:
        self._in_thought = False
        self._details += 1
        return signature_detail(self._details - 1, signature, owner)

    def _finish(self, native: str) -> tuple[FinishReason | None, str | None]:
        if not native or native == "FINISH_REASON_UNSPECIFIED":
            return None, None
        if native in _LENGTH:
            return FinishReason.LENGTH, native
        if native in _FILTERED:
            return FinishReason.CONTENT_FILTER, native
        if native in _FAILED:
            return FinishReason.ERROR, native
        return FinishReason.TOOL_CALLS if self._calls else FinishReason.STOP, native


def _parts(content: dict[str, Any]) -> list[dict[str, Any]]:
    parts = content.get("parts")
    if parts is not None and not isinstance(parts, list):
        raise UpstreamAnswerError("parts is not an array")
    return objects_in(content, "parts")
