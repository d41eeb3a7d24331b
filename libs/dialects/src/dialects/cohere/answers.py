"""Reading whole answers, and what streams share with them."""

from __future__ import annotations

from typing import Any

from dialects.answers import Answer, ChoiceDelta, FinishReason, ToolCallPiece, UpstreamErrorKind, Usage
from dialects.cohere.errors import find_error
from dialects.cohere.messages import PLAN_ID, THINKING_ID, reasoning_detail
from dialects.errors import UpstreamAnswerError
from dialects.json_values import count_in, object_in, objects_in, text_in
from dialects.tool_calls import arguments_text
from dialects.upstream_errors import upstream_error

MAX_TOOL_CALLS = 1_024

_FINISH_REASONS = {
    "COMPLETE": FinishReason.STOP,
    "STOP_SEQUENCE": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "ERROR_LIMIT": FinishReason.LENGTH,
    "TOOL_CALL": FinishReason.TOOL_CALLS,
    "ERROR_TOXIC": FinishReason.CONTENT_FILTER,
}
# Reasons that say that there is no whole answer.
_FAILURES = {
    "ERROR": UpstreamErrorKind.SERVER,
    "TIMEOUT": UpstreamErrorKind.TIMEOUT,
    "USER_CANCEL": UpstreamErrorKind.SERVER,
}


def read_answer(document: dict[str, Any]) -> Answer:
    """Read a whole answer.

    Raises:
        UpstreamAnswerError: it is neither a message nor an error.
    """
    message = document.get("message")
    if not isinstance(message, dict):
        error = find_error(document)
        if error is None:
            raise UpstreamAnswerError("the answer has no message")
        return Answer(error=error)
    answer = read_end(document, text_in(document, "id"), "")
    if answer.error is not None:
        return answer
    (end,) = answer.choices
    texts = [text_in(item, "text") for item in objects_in(message, "content") if item.get("type") == "text"]
    thoughts = [text_in(item, "thinking") for item in objects_in(message, "content") if item.get("type") == "thinking"]
    plan, thinking = text_in(message, "tool_plan"), "".join(thoughts)
    details = [reasoning_detail(thinking, THINKING_ID)] if thinking else []
    details += [reasoning_detail(plan, PLAN_ID)] if plan else []
    annotations = [annotation for item in objects_in(message, "citations") for annotation in read_citation(item)]
    extra = {"reasoning_details": details, "annotations": annotations}
    calls = objects_in(message, "tool_calls")
    if len(calls) > MAX_TOOL_CALLS:
        raise UpstreamAnswerError("there are too many calls")
    choice = ChoiceDelta(
        0,
        content="".join(texts) if texts else None,
        reasoning="\n".join(text for text in (thinking, plan) if text) or None,
        tool_calls=tuple(read_call(call, number) for number, call in enumerate(calls)),
        finish_reason=end.finish_reason,
        native_finish_reason=end.native_finish_reason,
        extra={name: value for name, value in extra.items() if value} or None,
        logprobs=read_logprobs(objects_in(document, "logprobs")),
    )
    return Answer(id=answer.id, choices=(choice,), usage=answer.usage)


def read_end(document: dict[str, Any], answer_id: str, problem: str) -> Answer:
    """Read how an answer ended: `finish_reason` and `usage`.

    Args:
        document: what has them.
        answer_id: the id of the answer.
        problem: what the provider says of an error.
    """
    native = text_in(document, "finish_reason")
    usage = read_usage(object_in(document, "usage"))
    failure = _FAILURES.get(native)
    if failure is not None or problem:
        error = upstream_error(failure or UpstreamErrorKind.SERVER, 0, native, problem)
        return Answer(id=answer_id, usage=usage, error=error)
    # A word that is not known means that the model stopped by itself.
    finish = _FINISH_REASONS.get(native, FinishReason.STOP) if native else None
    return Answer(
        id=answer_id,
        choices=(ChoiceDelta(0, finish_reason=finish, native_finish_reason=native or None),),
        usage=usage,
    )


def read_call(call: dict[str, Any], index: int) -> ToolCallPiece:
    """Read a call, or its beginning."""
    function = object_in(call, "function")
    arguments = function.get("arguments")
    return ToolCallPiece(
        index,
        text_in(call, "id"),
        "function",
        text_in(function, "name"),
        arguments_text(arguments) if arguments is not None else "",
    )


def read_usage(usage: dict[str, Any]) -> Usage | None:
    """Return the counts, None when they are absent or impossible.

    What is billed counts: the tokens of the model include those of the provider's own template, which nobody pays for.
    """
    counts = object_in(usage, "billed_units")
    if "input_tokens" not in counts:
        counts = object_in(usage, "tokens")
    if "input_tokens" not in counts:
        return None
    prompt, completion = count_in(counts, "input_tokens"), count_in(counts, "output_tokens")
    cached = count_in(usage, "cached_tokens")
    if prompt is None or completion is None or cached is None:
        return None
    # The cache may hold parts of the template.
    return Usage(prompt, completion, cached=min(cached, prompt))


def read_citation(citation: dict[str, Any]) -> list[dict[str, Any]]:
    """Read a citation: a `url_citation` for each source that has an address, else the citation as it came."""
    found = []
    for source in objects_in(citation, "sources"):
        document = object_in(source, "document")
        url = text_in(document, "url")
        if url:
            place = {
                "url": url,
                "title": text_in(document, "title"),
                "content": text_in(citation, "text"),
                "start_index": citation.get("start"),
                "end_index": citation.get("end"),
            }
            found.append({"type": "url_citation", "url_citation": place})
    return found or [{"type": "citation", "citation": citation}]


def read_logprobs(items: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Read log probabilities into the public API's form; the tokens of a piece of text have one together."""
    content = []
    for item in items:
        text, values = text_in(item, "text"), item.get("logprobs")
        numbers = [value for value in values if isinstance(value, int | float)] if isinstance(values, list) else []
        token = {"token": text, "logprob": sum(numbers), "bytes": list(text.encode(errors="replace"))}
        content.append({**token, "top_logprobs": []})
    return {"content": content, "refusal": None} if content else None
