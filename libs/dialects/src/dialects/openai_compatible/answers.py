"""Reading a provider's answers: whole ones and the events of streams."""

from __future__ import annotations

from typing import Any

import msgspec

from dialects.answers import Answer, ChoiceDelta, FinishReason, ToolCallPiece
from dialects.errors import UpstreamAnswerError
from dialects.openai_compatible.errors import find_error
from dialects.openai_compatible.usage import read_usage

DONE = b"[DONE]"
# Indexes beyond these are a fault; they would make a reader allocate without end.
MAX_CHOICES = 128
MAX_TOOL_CALLS = 1_024

_decode = msgspec.json.Decoder().decode
_KNOWN = frozenset(("role", "content", "reasoning", "reasoning_content", "refusal", "tool_calls", "function_call"))
_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "max_output_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.CONTENT_FILTER,
    "recitation": FinishReason.CONTENT_FILTER,
    "error": FinishReason.ERROR,
    "abort": FinishReason.ERROR,
    "insufficient_system_resource": FinishReason.ERROR,
}


def normalise_finish_reason(native: str) -> FinishReason:
    """Translate a provider's finish reason. A word that is not known means that the model stopped by itself."""
    return _FINISH_REASONS.get(native) or _FINISH_REASONS.get(native.lower(), FinishReason.STOP)


def read_answer(body: bytes) -> Answer:
    """Read a whole answer. `error` is set when it reports one, whatever its status was.

    Raises:
        UpstreamAnswerError: not a JSON object, or neither a completion nor an error.
    """
    document = _object(body)
    error = find_error(document)
    if error is not None:
        return Answer(error=error)
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices:
        raise UpstreamAnswerError("the answer has no choices")
    return _answer(document, choices, "message")


def read_event(data: bytes) -> Answer:
    """Read the data of one event of a stream (not DONE).

    An event that holds nothing known is an empty answer: whether a stream is complete is told by its finish reasons.

    Raises:
        UpstreamAnswerError: not a JSON object, or a member is of the wrong type.
    """
    document = _object(data)
    if "error" in document or document.get("object") == "error" or document.get("type") == "error":
        error = find_error(document)
        if error is not None:
            return Answer(error=error)
    choices = document.get("choices")
    if choices is None:
        choices = []
    elif not isinstance(choices, list):
        raise UpstreamAnswerError("choices is not an array")
    return _answer(document, choices, "delta")


def _object(data: bytes) -> dict[str, Any]:
    try:
        document = _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UpstreamAnswerError("not valid JSON") from None
    if not isinstance(document, dict):
        raise UpstreamAnswerError("not a JSON object")
    return document


def _answer(document: dict[str, Any], choices: list[Any], member: str) -> Answer:
    usage = document.get("usage")
    return Answer(
        id=_text(document.get("id")),
        choices=tuple([_choice(choice, member) for choice in choices]),
        usage=read_usage(usage) if usage is not None else None,
        system_fingerprint=_text(document.get("system_fingerprint")),
        service_tier=_text(document.get("service_tier")),
        error=_choice_error(choices),
    )


def _choice_error(choices: list[Any]) -> Any:
    for choice in choices:
        if choice.get("error") is not None:
            return find_error(choice)
    return None


def _choice(choice: Any, member: str) -> ChoiceDelta:
    if type(choice) is not dict:
        raise UpstreamAnswerError("a choice is not an object")
    index = choice.get("index", 0)
    if type(index) is not int or not 0 <= index < MAX_CHOICES:
        raise UpstreamAnswerError("the index of a choice is out of range")
    delta = choice.get(member)
    if delta is None:
        if member == "message":
            raise UpstreamAnswerError("a choice has no message")
        delta = {}
    elif type(delta) is not dict:
        raise UpstreamAnswerError(f"{member} is not an object")
    native = choice.get("finish_reason")
    if native is not None and type(native) is not str:
        raise UpstreamAnswerError("finish_reason is not a string")
    reasoning = delta.get("reasoning")
    if reasoning is None:
        reasoning = delta.get("reasoning_content")
    tool_calls = delta.get("tool_calls")
    content = delta.get("content")
    if content is not None and type(content) is not str:
        content, thought = _split_content(content)
        reasoning = thought if reasoning is None else reasoning
    return ChoiceDelta(
        index,
        content,
        _optional_text(reasoning, "reasoning"),
        _optional_text(delta.get("refusal"), "refusal"),
        _tool_calls(tool_calls) if tool_calls else (),
        normalise_finish_reason(native) if native else None,
        _native(choice, native) if native else None,
        _extra(delta) if len(delta) > 1 else None,
        choice.get("logprobs"),
        _stop_sequence(choice) if native else None,
    )


def _stop_sequence(choice: dict[str, Any]) -> str | None:
    """The stop sequence that was met: vLLM says it as `stop_reason`, SGLang as `matched_stop`; a number is a token's."""
    for name in ("stop_reason", "matched_stop"):
        if type(choice.get(name)) is str and choice[name]:
            return str(choice[name])
    return None


def _native(choice: dict[str, Any], finish_reason: str) -> str:
    native = choice.get("native_finish_reason")
    return native if type(native) is str and native else finish_reason


def _extra(delta: dict[str, Any]) -> dict[str, Any] | None:
    names = delta.keys() - _KNOWN
    if not names:
        return None
    # In the order they came: a set has none, and the same answer must always give the same bytes.
    return {name: value for name, value in delta.items() if name in names and value is not None} or None


def _split_content(content: object) -> tuple[str | None, str | None]:
    """Return text and reasoning of content that is a list of parts.

    Some servers send text so; with Mistral's, a part of reasoning is a list of text parts itself.
    """
    if type(content) is not list:
        raise UpstreamAnswerError("content is not a string")
    texts, thoughts = [], []
    for part in content:
        if type(part) is not dict:
            raise UpstreamAnswerError("a content part is not an object")
        if part.get("type") == "thinking":
            thoughts.append(_thought(part.get("thinking")))
            continue
        text = part.get("text")
        if type(text) is not str:
            raise UpstreamAnswerError("a content part is not text")
        texts.append(text)
    return "".join(texts) if texts or not thoughts else None, "".join(thoughts) if thoughts else None


def _thought(thinking: object) -> str:
    if type(thinking) is str:
        return thinking
    pieces = thinking if type(thinking) is list else []
    return "".join(_text(piece.get("text")) for piece in pieces if type(piece) is dict)


def _tool_calls(pieces: Any) -> tuple[ToolCallPiece, ...]:
    if type(pieces) is not list:
        raise UpstreamAnswerError("tool_calls is not an array")
    result = []
    for position, piece in enumerate(pieces):
        if type(piece) is not dict:
            raise UpstreamAnswerError("a tool call is not an object")
        index = piece.get("index", position)
        if index is None:
            index = position
        if type(index) is not int or not 0 <= index < MAX_TOOL_CALLS:
            raise UpstreamAnswerError("the index of a tool call is out of range")
        function = piece.get("function") or {}
        if type(function) is not dict:
            raise UpstreamAnswerError("the function of a tool call is not an object")
        arguments = function.get("arguments")
        if arguments is not None and type(arguments) is not str:
            # Ollama and others send the arguments as an object.
            arguments = msgspec.json.encode(arguments).decode()
        result.append(
            ToolCallPiece(
                index,
                _text(piece.get("id")),
                _text(piece.get("type")),
                _text(function.get("name")),
                arguments or "",
            )
        )
    return tuple(result)


def _text(value: object) -> str:
    return value if type(value) is str else ""


def _optional_text(value: object, name: str) -> str | None:
    if value is None or type(value) is str:
        return value
    raise UpstreamAnswerError(f"{name} is not a string")
